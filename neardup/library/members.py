"""Members of an index in memory, and which of them an image duplicates: exactly, and fast enough for many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from neardup.relation.images import Images
from neardup.relation.rule import Relation, local_changes, stacked_thumbnails
from neardup.search.distance import paired_l2_distances
from neardup.search.sketch_trees import SketchTrees
from neardup.search.sketches import Sketcher, fit_sketcher
from neardup.types import Symmetry, Variant

Scalar = TypeVar("Scalar", bound=np.generic)

_FIRST_ROWS = 16
_REFIT_FACTOR = 16
"""When there are so many times more members, their principal components are found anew: any basis is exact, and one
that fits leaves less to measure. All members are sketched again, a few times in the life of an index."""
_PAIRS_BYTES = 64 * 1024 * 1024
_CHANGES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Alike:
    """The member that an image duplicates: its row, and how the image differs from it."""

    row: int
    l2_distance: float
    symmetry: Symmetry
    local_change: float | None


class Members:
    """Members side by side, found by their sketches (`neardup.search.sketch_trees`) and then measured exactly.

    What it finds is what `neardup.index.memory.MemoryIndex` does.

    Parameters
    ----------
    dimension
        Length of a descriptor.
    relation
        When an image is a duplicate of a member.
    """

    def __init__(self, dimension: int, relation: Relation) -> None:
        self._relation = relation
        self._count = 0
        self._descriptors = np.empty((_FIRST_ROWS, dimension), dtype=np.float16)
        self._thumbnails: NDArray[np.uint8] | None = None
        self._sketcher: Sketcher | None = None
        self._filter = SketchTrees(1, relation.radius)
        self._fit_again_at = 1

    def __len__(self) -> int:
        """Return the number of members."""
        return self._count

    @property
    def images(self) -> Images:
        """What the members are compared by, in order; views."""
        thumbnails = None if self._thumbnails is None else self._thumbnails[: self._count]
        return Images(self._descriptors[: self._count], thumbnails)

    def append(self, images: Images) -> None:
        """Add members at the end; their variants are not kept."""
        rows = np.arange(self._count, self._count + len(images))
        self._count += len(images)
        self._descriptors = _grown(self._descriptors, self._count)
        self._descriptors[rows] = images.descriptors
        if images.thumbnails is not None:
            if self._thumbnails is None:
                self._thumbnails = np.empty((_FIRST_ROWS, images.thumbnails.shape[1]), dtype=np.uint8)
            self._thumbnails = _grown(self._thumbnails, self._count)
            self._thumbnails[rows] = images.thumbnails
        self._sketch(rows)

    def _sketch(self, rows: NDArray[np.intp]) -> None:
        if self._sketcher is None or self._count >= self._fit_again_at:
            if not self._count:
                return
            self._sketcher = fit_sketcher(self._descriptors[: self._count])
            self._filter = SketchTrees(self._sketcher.size, self._relation.radius)
            self._fit_again_at = _REFIT_FACTOR * self._count
            rows = np.arange(self._count)
        self._filter.add(self._sketcher.sketch(self._descriptors[rows]), rows.astype(np.int32))

    def alike(self, compared: Sequence[Variant]) -> Alike | None:
        """Return the nearest member that an image duplicates; on a tie the first, and of it the image as it came.

        Parameters
        ----------
        compared
            What the image is compared by, the image as it came first.
        """
        if self._sketcher is None:
            return None
        orders, rows, l2 = self._within(np.stack([variant.descriptor for variant in compared]), self._sketcher)
        ranked = np.lexsort((orders, rows, l2))
        for start in range(0, len(ranked), _CHANGES_AT_ONCE):
            part = ranked[start : start + _CHANGES_AT_ONCE]
            changes = self._changes(compared, orders[part], rows[part])
            allowed = part if changes is None else part[self._relation.allow(changes)]
            if len(allowed):
                best = int(allowed[0])
                change = None if changes is None else float(changes[int(np.flatnonzero(part == best)[0])])
                return Alike(int(rows[best]), float(l2[best]), compared[int(orders[best])].symmetry, change)
        return None

    def _within(
        self, queries: NDArray[np.float16], sketcher: Sketcher
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
        """Return every (number of the query, row) within the radius, and their distance."""
        radius = self._relation.radius
        orders, slots = self._filter.within(sketcher.sketch(queries), radius)
        rows = slots.astype(np.intp)
        l2 = np.empty(len(rows))
        step = max(1, _PAIRS_BYTES // (8 * queries.shape[1]))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            l2[part] = paired_l2_distances(queries[orders[part]], self._descriptors[rows[part]])
        near = np.flatnonzero(l2 <= radius)
        return orders[near], rows[near], l2[near]

    def _changes(
        self, compared: Sequence[Variant], orders: NDArray[np.intp], rows: NDArray[np.intp]
    ) -> NDArray[np.float64] | None:
        if self._thumbnails is None:
            return None
        thumbnails = stacked_thumbnails(variant.thumbnail for variant in compared)
        return local_changes(thumbnails, orders, self._thumbnails[rows])


def _grown(matrix: NDArray[Scalar], rows: int) -> NDArray[Scalar]:
    if rows <= len(matrix):
        return matrix
    grown = np.empty((max(rows, 2 * len(matrix)), matrix.shape[1]), dtype=matrix.dtype)
    grown[: len(matrix)] = matrix
    return grown
