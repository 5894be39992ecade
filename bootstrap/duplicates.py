"""Duplicates inside the seed set, cell by cell, exactly."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.distance import l2_distances
from neardup.types import Descriptors

_BLOCK_BYTES = 64 * 1024 * 1024
"""Of one block of descriptors in float64; a few blocks are all that is in memory, whatever a cell's size."""
_BLOCK_ROWS = 256
_CHUNK_ROWS = 4096


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

    unique_of: NDArray[np.intp]
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


def find_duplicates(descriptors: Descriptors, cells: NDArray[np.intp], radius: float) -> Duplicates:
    """Compare the images of each cell with one another, in their order.

    An image is a duplicate when an *earlier unique* image of its cell lies within the radius, inclusive; it then
    names the nearest of these, the earliest on a tie. A duplicate stands for nothing itself, so there are no chains:
    every duplicate lies within the radius of a unique image, and no two unique images of a cell do.

    Parameters
    ----------
    descriptors
        float16 (n, d), unit norm.
    cells
        intp (n,): the cell of each row.
    radius
        Largest L2 distance that counts as duplicate, in [0, 2].

    Notes
    -----
    Distances are those of `neardup.distance`, without rounding up to their square root, so the order of blocks makes
    no difference. Time grows with images times unique images of each cell, memory does not grow with it.
    """
    found = Duplicates(np.arange(len(descriptors)), np.zeros(len(descriptors)))
    for rows in rows_by_cell(cells):
        _compare_cell(descriptors, rows, radius, found)
    return found


def rows_by_cell(cells: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Iterate over the rows of each cell that has any, by cell number; rows in order."""
    order = np.argsort(cells, kind="stable")
    starts = np.flatnonzero(np.diff(cells[order], prepend=-1))
    yield from np.split(order, starts[1:])


def _compare_cell(descriptors: Descriptors, rows: NDArray[np.intp], radius: float, found: Duplicates) -> None:
    uniques = np.empty(len(rows), dtype=np.intp)
    count = 0
    step = _rows_within(_BLOCK_BYTES, descriptors.shape[1], _BLOCK_ROWS)
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        nearest = _nearest(descriptors, block, uniques[:count])
        new = _settle(descriptors, block, nearest, radius, found)
        uniques[count : count + len(new)] = new
        count += len(new)


def _rows_within(limit_bytes: int, dimension: int, most: int) -> int:
    return max(1, min(most, limit_bytes // (8 * dimension)))


def _nearest(
    descriptors: Descriptors, block: NDArray[np.intp], uniques: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the nearest unique row of each row of the block, the earliest on a tie, and its distance."""
    nearest = np.full(len(block), -1, dtype=np.intp)
    nearest_l2 = np.full(len(block), np.inf)
    step = _rows_within(_BLOCK_BYTES, descriptors.shape[1], _CHUNK_ROWS)
    for start in range(0, len(uniques), step):
        chunk = uniques[start : start + step]
        l2 = l2_distances(descriptors[block], descriptors[chunk])
        best = l2.argmin(axis=1)
        best_l2 = np.take_along_axis(l2, best[:, np.newaxis], axis=1)[:, 0]
        nearer = best_l2 < nearest_l2
        nearest[nearer], nearest_l2[nearer] = chunk[best[nearer]], best_l2[nearer]
    return nearest, nearest_l2


def _settle(
    descriptors: Descriptors,
    block: NDArray[np.intp],
    nearest: tuple[NDArray[np.intp], NDArray[np.float64]],
    radius: float,
    found: Duplicates,
) -> NDArray[np.intp]:
    """Decide the rows of a block one after the other, and return those that are unique."""
    within = l2_distances(descriptors[block], descriptors[block])
    new: list[int] = []
    for place, (row, unique, l2) in enumerate(zip(block, *nearest, strict=True)):
        if new:
            best = new[int(within[place, new].argmin())]
            if within[place, best] < l2:
                unique, l2 = block[best], within[place, best]  # noqa: PLW2901 - the nearer of the two
        if l2 <= radius:
            found.unique_of[row], found.l2_distance[row] = unique, l2
        else:
            new.append(place)
    return block[new]
