"""The descriptor of an index: loaded, projected as its members were, and checked against its fingerprint."""

from typing import Protocol

from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.descriptors.pca import Pca
from neardup.descriptors.projected import projected
from neardup.index.base import IndexMeta


class Described(Protocol):
    """An index, or one generation of it, as far as its descriptor needs it."""

    @property
    def meta(self) -> IndexMeta:
        """What it was built by."""

    def pca(self) -> Pca | None:
        """Return the principal components that make its descriptors short; None without any."""


def descriptor_of(index: Described, spec: str | None = None, weights: str | None = None) -> Descriptor:
    """Load the descriptor that an index was built by.

    Parameters
    ----------
    index
        The index.
    spec, weights
        Name of the descriptor where the index's own does not lead to it (None: it does), and weights if it has any.

    Raises
    ------
    Misconfigured
        There is no such descriptor here.
    IndexMismatch
        It has another version or other weights, or `spec` names another one.
    RedisUnavailable, CorruptIndex
        The principal components cannot be read.
    """
    raw = load_descriptor(spec or index.meta.descriptor, weights)
    # Reading the components may take the index on to its next generation: its metadata are asked for after that.
    pca = index.pca()
    return fitted_to(index.meta, pca, raw)


def fitted_to(meta: IndexMeta, pca: Pca | None, raw: Descriptor) -> Descriptor:
    """Return a descriptor, projected by an index's principal components if it has any.

    Raises
    ------
    IndexMismatch
        The index was built by another one.
    """
    descriptor = projected(raw, pca)
    meta.check_descriptor(descriptor.fingerprint)
    return descriptor
