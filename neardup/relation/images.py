"""What images are compared by, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.relation.local_change import Thumbnails
from neardup.relation.rule import stacked_thumbnails
from neardup.types import Descriptors, Member


@dataclass(frozen=True, slots=True)
class Images:
    """Images, a row each.

    Attributes
    ----------
    descriptors
        float16 (n, d), unit norm.
    thumbnails
        uint8 (n, b); None where local change does not count.
    variants
        The same images after each symmetry under which they may match, without variants of their own.
    """

    descriptors: Descriptors
    thumbnails: Thumbnails | None = None
    variants: tuple["Images", ...] = ()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.descriptors)

    def at(self, rows: NDArray[np.intp]) -> "Images":
        """Return some of the rows."""
        thumbnails = None if self.thumbnails is None else self.thumbnails[rows]
        return Images(self.descriptors[rows], thumbnails, tuple(variant.at(rows) for variant in self.variants))

    def with_variants(self, variants: tuple["Images", ...] = ()) -> "Images":
        """Return the images as they came, with other variants or none."""
        return Images(self.descriptors, self.thumbnails, variants)


def images_of(members: Sequence[Member], *, with_thumbnails: bool) -> Images:
    """Return members, at least one, as they are stored.

    Raises
    ------
    Misconfigured
        One has no thumbnail and should.
    """
    descriptors = np.stack([member.descriptor for member in members])
    thumbnails = stacked_thumbnails(member.thumbnail for member in members) if with_thumbnails else None
    return Images(descriptors, thumbnails)


def joined(first: Images, others: Images) -> Images:
    """Return images, then others, all without variants."""
    thumbnails = None
    if first.thumbnails is not None and others.thumbnails is not None:
        thumbnails = np.concatenate([first.thumbnails, others.thumbnails])
    return Images(np.concatenate([first.descriptors, others.descriptors]), thumbnails)
