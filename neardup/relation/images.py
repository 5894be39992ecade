"""What images are compared by, stacked into arrays."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest

import numpy as np
from numpy.typing import NDArray

from neardup.relation.kept import Parts, stacked_kept
from neardup.relation.rule import of_parts
from neardup.types import Descriptors, Kept, Member, Symmetry, Variant

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
    symmetry
        What was done to them.
    of_part
        bool (n,): which images have such a part, whose descriptors these are; those of the others are of the whole.
        None if these are no parts. What is kept is of the whole, and is the same array as that of another variant.
    """

    descriptors: Descriptors
    kept: Kept | None = None
    variants: tuple["Images", ...] = ()
    symmetry: Symmetry = Symmetry.NONE
    of_part: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.descriptors)

    @property
    def present(self) -> NDArray[np.intp]:
        """Which rows there are anything to compare of: all but those that have no such part."""
        return np.arange(len(self)) if self.of_part is None else np.flatnonzero(self.of_part)

    def at(self, rows: NDArray[np.intp]) -> "Images":
        """Return some of the rows."""
        kept = None if self.kept is None else self.kept[rows]
        of_part = None if self.of_part is None else self.of_part[rows]
        variants = tuple(variant.at(rows) for variant in self.variants)
        return Images(self.descriptors[rows], kept, variants, self.symmetry, of_part)

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
    """Return one or more images after the same symmetries, as they came first, with these parts of what is kept.

    Raises
    ------
    Misconfigured
        One lacks a part.
    """
    columns: list[Images] = []
    for column in zip(*map(_by_symmetry, compared), strict=True):
        wholes = [whole for whole, *_ in column]
        kept = stacked_kept((whole.kept for whole in wholes), parts)
        for number, seen in enumerate(zip_longest(*column)):
            shown = [variant or whole for variant, whole in zip(seen, wholes, strict=True)]
            of_part = of_parts(shown) if number else None
            descriptors = np.stack([variant.descriptor for variant in shown])
            columns.append(Images(descriptors, kept, (), wholes[0].symmetry, of_part))
    image, *variants = columns
    return image.with_variants(tuple(variants))


def _by_symmetry(compared: Sequence[Variant]) -> list[list[Variant]]:
    """Return the variants after each symmetry: the whole, then its parts."""
    found: list[list[Variant]] = []
    for variant in compared:
        if variant.part is None:
            found.append([])
        found[-1].append(variant)
    return found


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
    most = [max(map(len, same)) for same in zip(*map(_columns, blocks), strict=True)]
    columns: list[Images] = []
    for (whole, *_), count in zip(_columns(first), most, strict=True):
        kept = _empty(whole.kept, rows)
        for number in range(count):
            of_part = np.zeros(rows, dtype=np.bool_) if number else None
            descriptors = np.empty((rows, first.descriptors.shape[1]), np.float16)
            columns.append(Images(descriptors, kept, (), whole.symmetry, of_part))
    start = 0
    while blocks:
        block = blocks.popleft()
        for to, part in zip(columns, _widened(block, most), strict=True):
            end = start + len(block)
            to.descriptors[start:end] = part.descriptors
            if to.of_part is not None and part.of_part is not None:
                to.of_part[start:end] = part.of_part
            elif to.kept is not None and part.kept is not None:
                to.kept[start:end] = part.kept
        start += len(block)
    return columns[0].with_variants(tuple(columns[1:]))


def _columns(images: Images) -> list[list[Images]]:
    """Return the images after each symmetry: the wholes, then their parts."""
    found: list[list[Images]] = []
    for column in (images, *images.variants):
        if column.of_part is None:
            found.append([])
        found[-1].append(column)
    return found


def _widened(images: Images, most: Sequence[int]) -> Iterator[Images]:
    """Iterate over the columns of images, and over more after each symmetry up to a number: nobody has such a part."""
    for own, count in zip(_columns(images), most, strict=True):
        yield from own
        yield from (replace(own[0], of_part=np.zeros(len(images), dtype=np.bool_)) for _ in range(count - len(own)))


def _empty(like: Kept | None, rows: int) -> Kept | None:
    return None if like is None else np.empty((rows, like.shape[1]), dtype=np.uint8)
