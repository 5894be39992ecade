"""What a descriptor is: pixels in, one unit vector out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neardup.errors import Undescribable
from neardup.types import Descriptors, Pixels


class Descriptor(ABC):
    """Turns images into float16 unit vectors; similar images lie close in L2 distance.

    Describing has two steps. `prepare` runs once per image, in any thread, and shrinks the pixels to what the
    descriptor needs, so that no full-size image outlives its decoding. `describe` runs once per batch: in the process
    that has decoded its images, or, where `describer` is None, in the one that has asked for them.

    Attributes
    ----------
    spec
        How the command line names it, such as ``dct`` or ``pixels:320``.
    fingerprint
        Changes whenever the numbers do; an index stores it and refuses any other.
    dimension
        Length of a descriptor.
    reduce_to_px
        A JPEG may be decoded smaller as long as both sides keep this many pixels.
    default_radius
        Largest distance that counts as a duplicate unless the user says otherwise; docs/descriptors.md says where it
        was measured.
    radius_is_measured
        Whether that default was measured; if not, it is a guess.
    """

    spec: str
    fingerprint: str
    dimension: int
    reduce_to_px: int
    default_radius: float
    radius_is_measured: bool = True

    @property
    def candidate_radius(self) -> float:
        """Most that calibration takes where a second look decides between what is near; see docs/calibration.md."""
        return self.default_radius

    def radius_for(self, agreement: float | None) -> float:
        """Return the radius unless the user says otherwise: with a second look the candidate radius."""
        return self.default_radius if agreement is None else self.candidate_radius

    @abstractmethod
    def prepare(self, pixels: Pixels) -> NDArray[np.uint8]:
        """Shrink uint8 (height, width, 3) RGB pixels to the descriptor's own fixed-size input."""

    @property
    def preparer(self) -> Callable[[Pixels], NDArray[np.uint8]]:
        """What `prepare` does, as a function that can be pickled: images are prepared in processes without a model."""
        return self.prepare

    @property
    def describer(self) -> "Callable[[Sequence[NDArray[np.uint8]]], Descriptors] | None":
        """What `describe` does, as a function that can be pickled, for each decoding process to have its own.

        None, unless a descriptor says otherwise: a large model serves all batches in one process, and where prepared
        images are smaller than their descriptors, the one is cheaper to send than the other.
        """
        return None

    @abstractmethod
    def features(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 (n, d) raw features of a stacked batch (n, ...) of prepared images."""

    def describe(self, prepared: Sequence[NDArray[np.uint8]]) -> Descriptors:
        """Describe a batch of prepared images.

        Returns
        -------
        ndarray
            float16 (n, d), unit norm; row i is the same whatever else is in the batch.

        Raises
        ------
        Undescribable
            Some features are not finite.
        """
        if not prepared:
            return np.empty((0, self.dimension), dtype=np.float16)
        return unit_float16(self.features(np.stack(prepared)))


def unit_float16(features: NDArray[np.float32]) -> Descriptors:
    """Scale each row to unit L2 norm and round it to float16, once and for all.

    A row of zeros has no direction (an all-black image in `pixels`); it gets the uniform one, as flat grey does.

    Raises
    ------
    Undescribable
        A row holds NaN or infinity.
    """
    rows = features.astype(np.float64)
    if not np.isfinite(rows).all():
        raise Undescribable("the descriptor gave NaN or infinity")
    rows[~rows.any(axis=1)] = 1.0
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float16)


def thumbnail(pixels: Pixels, side_px: int) -> Pixels:
    """Return uint8 (side_px, side_px, 3): each pixel a mean over twice its own area, the nearest weighing most.

    Pillow's BOX filter takes or leaves whole pixels: two sizes of one photo are then sampled at different places and
    lie further apart (docs/descriptors.md has the figures).
    """
    small = Image.fromarray(pixels).resize((side_px, side_px), Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.uint8)
