"""What images are compared by, stacked into arrays."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from neardup.relation.kept import Parts, stacked_kept
from neardup.types import Descriptors, Kept, Member, Symmetry, Variant

_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Images:
    """Images, or what some images have besides, one row each.

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
    parts_of
        intp (n,), ascending: of which images these are parts; None if these are whole images, and all of them.
    """

    descriptors: Descriptors
    kept: Kept | None = None
    variants: tuple["Images", ...] = ()
    symmetry: Symmetry = Symmetry.NONE
    parts_of: NDArray[np.intp] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.descriptors)

    @property
    def images(self) -> NDArray[np.intp]:
        """Of which image each row is."""
        return np.arange(len(self)) if self.parts_of is None else self.parts_of

    def rows_of(self, images: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the rows of what there is of some images, and the places in `images` of those that have any."""
        if self.parts_of is None:
            return images, np.arange(len(images))
        rows = np.searchsorted(self.parts_of, images)
        there = np.append(self.parts_of, -1)[rows] == images
        return rows[there], np.flatnonzero(there)

    def at(self, images: NDArray[np.intp]) -> "Images":
        """Return what there is of some images, which are numbered anew in their order."""
        rows, places = self.rows_of(images)
        kept = None if self.kept is None else self.kept[rows]
        variants = tuple(variant.at(images) for variant in self.variants)
        parts_of = None if self.parts_of is None else places
        return Images(self.descriptors[rows], kept, variants, self.symmetry, parts_of)

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
        for number in range(max(map(len, column))):
            images = [image for image, seen in enumerate(column) if number < len(seen)]
            shown = [column[image][number] for image in images]
            columns.append(
                Images(
                    np.stack([variant.descriptor for variant in shown]),
                    stacked_kept((variant.kept for variant in shown), parts),
                    symmetry=shown[0].symmetry,
                    parts_of=np.array(images, dtype=np.intp) if number else None,
                )
            )
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
    sizes: Counter[tuple[int, int]] = Counter()
    for block in blocks:
        sizes.update({place: len(column) for place, column in _columns(block).items()})
    kinds = {place: column for block in blocks for place, column in _columns(block).items()}
    columns = {place: _empty(kinds[place], size) for place, size in sorted(sizes.items())}
    del kinds
    filled: Counter[tuple[int, int]] = Counter()
    images = 0
    while blocks:
        block = blocks.popleft()
        for place, column in _columns(block).items():
            to, rows = columns[place], slice(filled[place], filled[place] + len(column))
            to.descriptors[rows] = column.descriptors
            if to.kept is not None and column.kept is not None:
                to.kept[rows] = column.kept
            if to.parts_of is not None and column.parts_of is not None:
                to.parts_of[rows] = images + column.parts_of
            filled[place] += len(column)
        images += len(block)
    image, *variants = columns.values()
    return image.with_variants(tuple(variants))


def _columns(images: Images) -> dict[tuple[int, int], Images]:
    """Return what is compared of images, by the number of the symmetry and that of the part; 0 for the whole."""
    found: dict[tuple[int, int], Images] = {}
    symmetry, part = -1, 0
    for column in (images, *images.variants):
        symmetry, part = (symmetry + 1, 0) if column.parts_of is None else (symmetry, part + 1)
        found[symmetry, part] = column
    return found


def _empty(like: Images, rows: int) -> Images:
    """Return rows of the kind, to be filled."""
    return Images(
        np.empty((rows, like.descriptors.shape[1]), dtype=np.float16),
        None if like.kept is None else np.empty((rows, like.kept.shape[1]), dtype=np.uint8),
        symmetry=like.symmetry,
        parts_of=None if like.parts_of is None else np.empty(rows, dtype=np.intp),
    )
