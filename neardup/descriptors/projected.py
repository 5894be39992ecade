"""Any descriptor, shortened by the principal components that an index keeps."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from neardup.descriptors.base import Descriptor, unit_float16
from neardup.descriptors.pca import Pca
from neardup.errors import IndexMismatch
from neardup.types import Descriptors, Pixels


class ProjectedDescriptor(Descriptor):
    """Describes with another descriptor, projects, and scales to unit length again.

    An image exactly at the mean of the seed set has no direction, and gets the uniform one, as a row of zeros
    always does.

    Parameters
    ----------
    raw
        The descriptor to wrap.
    pca
        The principal components to project onto.

    Raises
    ------
    IndexMismatch
        The components were found for descriptors of another length.
    """

    def __init__(self, raw: Descriptor, pca: Pca) -> None:
        if pca.raw_dimension != raw.dimension:
            raise IndexMismatch(
                f"the index's principal components take descriptors of {pca.raw_dimension} numbers, {raw.spec} gives "
                f"{raw.dimension}: use the descriptor and weights of its bootstrap"
            )
        self.raw = raw
        self.pca = pca
        self.spec = raw.spec
        self.fingerprint = f"{raw.fingerprint}+{pca.fingerprint}"
        self.dimension = pca.components
        self.reduce_to_px = raw.reduce_to_px
        self.default_radius = raw.default_radius
        self.radius_is_measured = False  # distances change with the projection

    def prepare(self, pixels: Pixels) -> NDArray[np.uint8]:
        """Prepare as the other descriptor does."""
        return self.raw.prepare(pixels)

    @property
    def preparer(self) -> Callable[[Pixels], NDArray[np.uint8]]:
        """What the other descriptor prepares with; see `Descriptor.preparer`."""
        return self.raw.preparer

    @property
    def describer(self) -> Callable[[Sequence[NDArray[np.uint8]]], Descriptors] | None:
        """What `describe` does, components and all, if the other one may; see `Descriptor.describer`."""
        return None if self.raw.describer is None else self.describe

    def features(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 (n, components) coordinates, not yet of unit length."""
        return self.pca.coordinates(self.raw.describe(list(prepared))).astype(np.float32)

    def describe(self, prepared: Sequence[NDArray[np.uint8]]) -> Descriptors:
        """Describe and project a batch; see `Descriptor.describe`."""
        return self.project(self.raw.describe(prepared))

    def project(self, described: Descriptors) -> Descriptors:
        """Return float16 (m, components), unit norm, from the other descriptor's float16 (m, d)."""
        return unit_float16(self.pca.coordinates(described).astype(np.float32))


def projected(raw: Descriptor, pca: Pca | None) -> Descriptor:
    """Return the descriptor with its projection, if there is one."""
    return raw if pca is None else ProjectedDescriptor(raw, pca)


def pca_of(descriptor: Descriptor) -> Pca | None:
    """Return a descriptor's principal components, if it has any."""
    return descriptor.pca if isinstance(descriptor, ProjectedDescriptor) else None
