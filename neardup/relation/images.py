"""What images are compared by, stacked into arrays."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from neardup.relation.local_change import Thumbnails
from neardup.relation.rule import stacked_thumbnails
from neardup.types import Descriptors, Member, Variant

_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Images:
    """Images, one row each.

    Attributes
    ----------
    descriptors
        float16 (n, d), unit norm.
    thumbnails
        uint8 (n, b); None where local change does not count.
    variants
        The same images after each symmetry under which they may match; these have no variants of their own.
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
    """Return one or more members as they are stored.

    Raises
    ------
    Misconfigured
        One has no thumbnail and should.
    """
    descriptors = np.stack([member.descriptor for member in members])
    thumbnails = stacked_thumbnails(member.thumbnail for member in members) if with_thumbnails else None
    return Images(descriptors, thumbnails)


def joined(first: Images, others: Images) -> Images:
    """Return the first images, then the others, all without variants."""
    thumbnails = None
    if first.thumbnails is not None and others.thumbnails is not None:
        thumbnails = np.concatenate([first.thumbnails, others.thumbnails])
    return Images(np.concatenate([first.descriptors, others.descriptors]), thumbnails)


def side_by_side(compared: Sequence[Sequence[Variant]], *, with_thumbnails: bool) -> Images:
    """Return one or more images, each as it came and after the same symmetries.

    Raises
    ------
    Misconfigured
        One has no thumbnail and should.
    """
    image, *variants = (_stacked(column, with_thumbnails=with_thumbnails) for column in zip(*compared, strict=True))
    return image.with_variants(tuple(variants))


def packed(compared: Iterable[Sequence[Variant]], *, with_thumbnails: bool) -> Images | None:
    """Return any number of images as `side_by_side` does, None for none, without holding all their own arrays at once.

    Raises
    ------
    Misconfigured
        One has no thumbnail and should.
    """
    remaining, blocks = iter(compared), deque[Images]()
    while block := list(islice(remaining, _BLOCK)):
        blocks.append(side_by_side(block, with_thumbnails=with_thumbnails))
    return _joined(blocks) if blocks else None


def _stacked(column: Sequence[Variant], *, with_thumbnails: bool) -> Images:
    thumbnails = stacked_thumbnails(variant.thumbnail for variant in column) if with_thumbnails else None
    return Images(np.stack([variant.descriptor for variant in column]), thumbnails)


def _joined(blocks: deque[Images]) -> Images:
    """Move the blocks into one, releasing each as soon as it is copied."""
    rows, first = sum(map(len, blocks)), blocks[0]
    whole = _empty(first, rows).with_variants(tuple(_empty(variant, rows) for variant in first.variants))
    start = 0
    while blocks:
        block = blocks.popleft()
        for to, part in zip((whole, *whole.variants), (block, *block.variants), strict=True):
            to.descriptors[start : start + len(part)] = part.descriptors
            if to.thumbnails is not None and part.thumbnails is not None:
                to.thumbnails[start : start + len(part)] = part.thumbnails
        start += len(block)
    return whole


def _empty(like: Images, rows: int) -> Images:
    thumbnails = None if like.thumbnails is None else np.empty((rows, like.thumbnails.shape[1]), dtype=np.uint8)
    return Images(np.empty((rows, like.descriptors.shape[1]), dtype=np.float16), thumbnails)
