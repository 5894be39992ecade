"""Duplicates inside a seed set, and between it and the members that are there already: exactly, whatever the cells."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from neardup.distance import l2_distances, paired_l2_distances
from neardup.filter import PREFIX, Sketches, SketchTrees, shortened
from neardup.projection import fit_projection
from neardup.types import Descriptors

Scalar = TypeVar("Scalar", bound=np.generic)
Rows = NDArray[np.intp]

_BLOCK_BYTES = 64 * 1024 * 1024
"""Of one block of descriptors in float64; a few blocks are all that is in memory."""
_BLOCK_ROWS = 256
_PAIRS = 16_384
_SLACK_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What each image duplicates.

    Attributes
    ----------
    unique_of
        intp (n,): row of the unique image that a row duplicates; its own number for a unique image.
    l2_distance
        float64 (n,): distance to that image, in [0, 2]; 0 for a unique image.
    """

    unique_of: Rows
    l2_distance: NDArray[np.float64]

    @property
    def is_unique(self) -> NDArray[np.bool_]:
        """Whether each row is unique, bool (n,)."""
        return np.asarray(self.unique_of == np.arange(len(self.unique_of)))

    def groups(self) -> dict[int, list[int]]:
        """Return the rows that duplicate each unique row, in order; uniques without duplicates are left out."""
        found: dict[int, list[int]] = {}
        for row in np.flatnonzero(~self.is_unique).tolist():
            found.setdefault(int(self.unique_of[row]), []).append(row)
        return dict(sorted(found.items()))


def find_duplicates(descriptors: Descriptors, radius: float) -> Duplicates:
    """Compare images with one another, in their order.

    An image is a duplicate when an *earlier unique* image lies within the radius, inclusive; it then names the
    nearest of these, the earliest on a tie. A duplicate stands for nothing itself, so there are no chains: every
    duplicate lies within the radius of a unique image, and no two unique images do.

    Parameters
    ----------
    descriptors
        float16 (n, d), unit norm.
    radius
        Largest L2 distance that counts as duplicate, in [0, 2].

    Notes
    -----
    The result is that of comparing every image with every earlier unique one. Distances are those of
    `neardup.distance`, without rounding up to their square root, so the order of blocks makes no difference. The
    images that can be within the radius are found by their sketches (`neardup.filter`); time and memory grow with
    the images, not with their pairs, however many are copies of one.
    """
    return DuplicateFinder(descriptors, radius).found


@dataclass(frozen=True, slots=True)
class Change:
    """Rows that became unique, and rows that were and are no more."""

    added: list[int]
    removed: list[int]


class DuplicateFinder:
    """Rows that are unique or duplicates, with room for members that come late.

    Parameters
    ----------
    descriptors
        float16 (n, d), unit norm.
    radius
        Largest L2 distance that counts as duplicate, in [0, 2].
    settled
        So many rows at the beginning are members that were published as unique: nothing that is not settled makes
        them duplicates, wherever it stands.
    judge_settled
        Whether a settled row becomes the duplicate of an earlier settled one within the radius; else it stays unique.
    """

    def __init__(
        self, descriptors: Descriptors, radius: float, *, settled: int = 0, judge_settled: bool = False
    ) -> None:
        count = len(descriptors)
        self.projection = fit_projection(descriptors)
        self._radius = radius
        self._judge_settled = judge_settled
        self._count = count
        self._descriptors = descriptors
        self._unique_of = np.arange(count)
        self._l2_distance = np.zeros(count)
        self._settled = np.arange(count) < settled
        self._prefix = min(PREFIX, self.projection.size - 1)
        self._filter = SketchTrees(self._prefix + 1)
        first = np.arange(settled)
        if judge_settled:
            self._judge(first)
        elif settled:
            self._accept(first, self._sketch(first))
        self._judge(np.arange(settled, count))

    @property
    def descriptors(self) -> Descriptors:
        """float16 (n, d), late ones included; a view."""
        return self._descriptors[: self._count]

    @property
    def found(self) -> Duplicates:
        """What each row duplicates as of now."""
        return Duplicates(self._unique_of[: self._count].copy(), self._l2_distance[: self._count].copy())

    def add_settled(self, descriptors: Descriptors) -> Change:
        """Add members that were published as unique meanwhile; what is not settled gives way to them.

        What duplicated a row that gave way is judged again, in order: it becomes unique unless one is near.

        Parameters
        ----------
        descriptors
            float16 (m, d); they become the last m rows.
        """
        rows = self._extend(descriptors)
        step = 1 if self._judge_settled else _rows_within(_BLOCK_BYTES, self._descriptors.shape[1], _BLOCK_ROWS)
        added: list[int] = []
        removed: list[int] = []
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            sketches = self._sketch(block)
            places, others, l2 = self._within(block, sketches)
            settled = self._settled[others]
            if self._judge_settled and settled.any():
                self._set_nearest(block[0], others[settled], l2[settled])
                continue
            removed += self._make_way(block[places], others, l2)
            self._accept(block, sketches)
            added += block.tolist()
        return Change(added + self._judge_again(removed), removed)

    def _extend(self, descriptors: Descriptors) -> Rows:
        rows = np.arange(self._count, self._count + len(descriptors))
        self._count += len(descriptors)
        if self._count > len(self._descriptors):
            room = self._count + self._count // 8 + _SLACK_ROWS
            self._descriptors = _with_rows(self._descriptors, room)
            self._unique_of = _with_rows(self._unique_of, room)
            self._l2_distance = _with_rows(self._l2_distance, room)
            self._settled = _with_rows(self._settled, room)
        self._descriptors[rows] = descriptors
        self._unique_of[rows] = rows
        self._settled[rows] = True
        return rows

    def _set_nearest(self, row: int, others: Rows, l2: NDArray[np.float64]) -> None:
        best = int(np.lexsort((others, l2))[0])
        self._unique_of[row], self._l2_distance[row] = others[best], l2[best]

    def _make_way(self, late: Rows, others: Rows, l2: NDArray[np.float64]) -> list[int]:
        """Make the other row of each pair, unless settled, a duplicate of the nearest late one; return these."""
        gone: dict[int, float] = {}
        for row, other, l2_distance in zip(late.tolist(), others.tolist(), l2.tolist(), strict=True):
            if not self._settled[other] and l2_distance < gone.get(other, np.inf):
                gone[other] = l2_distance
                self._unique_of[other], self._l2_distance[other] = row, l2_distance
        return list(gone)

    def _judge_again(self, removed: list[int]) -> list[int]:
        """Judge what duplicated rows that are unique no more; return what is unique now."""
        if not removed:
            return []
        return self._judge(np.flatnonzero(np.isin(self._unique_of[: self._count], removed)))

    # -- judging ------------------------------------------------------------------------------------------------------

    def _judge(self, rows: Rows) -> list[int]:
        """Decide rows in order, and return those that are unique."""
        uniques: list[int] = []
        step = _rows_within(_BLOCK_BYTES, self._descriptors.shape[1], _BLOCK_ROWS)
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            sketches = self._sketch(block)
            self._settle(block, *self._nearest(block, sketches))
            unique = self._unique_of[block] == block
            self._accept(block[unique], sketches[unique])
            uniques += block[unique].tolist()
        return uniques

    def _nearest(self, block: Rows, sketches: Sketches) -> tuple[Rows, NDArray[np.float64]]:
        """Return the nearest unique row within the radius of each, the earliest on a tie, and its distance.

        Where there is none the row is -1 and the distance infinite.
        """
        nearest = np.full(len(block), -1, dtype=np.intp)
        nearest_l2 = np.full(len(block), np.inf)
        places, others, l2 = self._within(block, sketches)
        order = np.lexsort((others, l2, places))
        first = order[np.flatnonzero(np.diff(places[order], prepend=-1))]
        nearest[places[first]], nearest_l2[places[first]] = others[first], l2[first]
        return nearest, nearest_l2

    def _within(self, block: Rows, sketches: Sketches) -> tuple[Rows, Rows, NDArray[np.float64]]:
        """Return every place in the block with every unique row within the radius, and their distance."""
        places, slots = self._filter.within(sketches, self._radius)
        others = slots.astype(np.intp)
        unique = self._unique_of[others] == others
        places, others = places[unique], others[unique]
        l2 = np.empty(len(places))
        step = _rows_within(_BLOCK_BYTES, self._descriptors.shape[1], _PAIRS)
        for start in range(0, len(places), step):
            part = slice(start, start + step)
            ones, twos = self._descriptors[block[places[part]]], self._descriptors[others[part]]
            l2[part] = paired_l2_distances(ones, twos)
        near = l2 <= self._radius
        return places[near], others[near], l2[near]

    def _settle(self, block: Rows, nearest: Rows, nearest_l2: NDArray[np.float64]) -> None:
        """Decide the rows of a block one after the other."""
        open_rows = block[nearest_l2 > self._radius]
        if not len(open_rows):
            self._unique_of[block], self._l2_distance[block] = nearest, nearest_l2
            return
        within = l2_distances(self._descriptors[block], self._descriptors[open_rows])
        column_of = {int(row): column for column, row in enumerate(open_rows)}
        new: list[int] = []
        for place, (row, unique, l2) in enumerate(zip(block.tolist(), nearest, nearest_l2, strict=True)):
            if new:
                best = new[int(within[place, new].argmin())]
                if within[place, best] < l2:
                    unique, l2 = open_rows[best], within[place, best]  # noqa: PLW2901 - the nearer of the two
            duplicate = l2 <= self._radius
            self._unique_of[row], self._l2_distance[row] = (unique, l2) if duplicate else (row, 0.0)
            if not duplicate:
                new.append(column_of[row])

    def _accept(self, rows: Rows, sketches: Sketches) -> None:
        if len(rows):
            self._filter.add(sketches, rows.astype(np.int32))

    def _sketch(self, rows: Rows) -> Sketches:
        return shortened(self.projection.sketch(self._descriptors[rows]), self._prefix)


def _rows_within(limit_bytes: int, dimension: int, most: int) -> int:
    return max(1, min(most, limit_bytes // (8 * dimension)))


def _with_rows(array: NDArray[Scalar], rows: int) -> NDArray[Scalar]:
    grown = np.zeros((rows, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown
