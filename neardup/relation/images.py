"""What images are compared by, stacked into arrays."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from neardup.relation.kept import Parts, stacked_kept
from neardup.types import Descriptors, Kept, Member, Variant

_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Images:
    """Images, one row each.

    Attributes
    ----------
    descriptors
        float16 (n, d), unit norm.
    kept
        uint8 (n, b), what is kept of them besides; None where nothing but descriptors is compared.
    variants
        What else of the same images is compared; these have no variants of their own.
    of_part
        Whether the descriptors are those of a part of each image. What is kept is of the whole, and may be the same
        array as that of another variant.
    """

    descriptors: Descriptors
    kept: Kept | None = None
    variants: tuple["Images", ...] = ()
    of_part: bool = False

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.descriptors)

    def at(self, rows: NDArray[np.intp]) -> "Images":
        """Return some of the rows."""
        kept = None if self.kept is None else self.kept[rows]
        return Images(self.descriptors[rows], kept, tuple(variant.at(rows) for variant in self.variants), self.of_part)

    def with_variants(self, variants: tuple["Images", ...] = ()) -> "Images":
        """Return the images as they came, with other variants or none."""
        return Images(self.descriptors, self.kept, variants)


def images_of(members: Sequence[Member], parts: Parts) -> Images:
    """Return one or more members as they are stored, with these parts of what is kept of them.

    Raises
    ------
    Misconfigured
        One lacks a part.
    """
    descriptors = np.stack([member.descriptor for member in members])
    return Images(descriptors, stacked_kept((member.kept for member in members), parts))


def joined(first: Images, others: Images) -> Images:
    """Return the first images, then the others, all without variants."""
    kept = None
    if first.kept is not None and others.kept is not None:
        kept = np.concatenate([first.kept, others.kept])
    return Images(np.concatenate([first.descriptors, others.descriptors]), kept)


def side_by_side(compared: Sequence[Sequence[Variant]], parts: Parts) -> Images:
    """Return one or more images with the same variants, the image as it came first, with these parts of what is kept.

    Raises
    ------
    Misconfigured
        One lacks a part.
    """
    columns: list[Images] = []
    for column in zip(*compared, strict=True):
        is_part = column[0].part is not None
        # A part keeps what its whole does, which stands before it.
        kept = columns[-1].kept if is_part else stacked_kept((variant.kept for variant in column), parts)
        columns.append(Images(np.stack([variant.descriptor for variant in column]), kept, of_part=is_part))
    image, *variants = columns
    return image.with_variants(tuple(variants))


def packed(compared: Iterable[Sequence[Variant]], parts: Parts) -> Images | None:
    """Return any number of images as `side_by_side` does, None for none, without holding all their own arrays at once.

    Raises
    ------
    Misconfigured
        One lacks a part.
    """
    remaining, blocks = iter(compared), deque[Images]()
    while block := list(islice(remaining, _BLOCK)):
        blocks.append(side_by_side(block, parts))
    return _joined(blocks) if blocks else None


def _joined(blocks: deque[Images]) -> Images:
    """Move the blocks into one, releasing each as soon as it is copied."""
    rows, first = sum(map(len, blocks)), blocks[0]
    columns: list[Images] = []
    for like in (first, *first.variants):
        kept = columns[-1].kept if like.of_part else _empty(like.kept, rows)
        columns.append(Images(np.empty((rows, first.descriptors.shape[1]), np.float16), kept, of_part=like.of_part))
    start = 0
    while blocks:
        block = blocks.popleft()
        for to, part in zip(columns, (block, *block.variants), strict=True):
            to.descriptors[start : start + len(part)] = part.descriptors
            if to.kept is not None and part.kept is not None and not part.of_part:
                to.kept[start : start + len(part)] = part.kept
        start += len(block)
    return columns[0].with_variants(tuple(columns[1:]))


def _empty(like: Kept | None, rows: int) -> Kept | None:
    return None if like is None else np.empty((rows, like.shape[1]), dtype=np.uint8)
