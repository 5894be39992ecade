"""Members of an index in memory, and which of them an image duplicates: exactly, and fast enough for many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from neardup.relation.images import Images
from neardup.relation.kept import stacked_kept
from neardup.relation.rule import Relation
from neardup.search.distance import paired_l2_distances
from neardup.search.sketch_trees import SketchTrees
from neardup.search.sketches import Sketcher, fit_sketcher
from neardup.types import Look, Symmetry, Variant

Scalar = TypeVar("Scalar", bound=np.generic)

_FIRST_ROWS = 16
_REFIT_FACTOR = 16
"""When there are so many times more members, their principal components are found anew: any basis is exact, and one
that fits leaves less to measure. All members are sketched again, a few times in the life of an index."""
_PAIRS_BYTES = 64 * 1024 * 1024
_CHECKED_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Alike:
    """The member that an image duplicates: its row, and how the image differs from it."""

    row: int
    l2_distance: float
    symmetry: Symmetry
    local_change: float | None
    look: Look | None


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
        self._kept: NDArray[np.uint8] | None = None
        self._sketcher: Sketcher | None = None
        self._filter = SketchTrees(1, relation.radius)
        self._fit_again_at = 1

    def __len__(self) -> int:
        """Return the number of members."""
        return self._count

    @property
    def images(self) -> Images:
        """What the members are compared by, in order; views."""
        kept = None if self._kept is None else self._kept[: self._count]
        return Images(self._descriptors[: self._count], kept)

    def append(self, images: Images) -> None:
        """Add members at the end; their variants are not kept."""
        rows = np.arange(self._count, self._count + len(images))
        self._count += len(images)
        self._descriptors = _grown(self._descriptors, self._count)
        self._descriptors[rows] = images.descriptors
        if images.kept is not None:
            if self._kept is None:
                self._kept = np.empty((_FIRST_ROWS, images.kept.shape[1]), dtype=np.uint8)
            self._kept = _grown(self._kept, self._count)
            self._kept[rows] = images.kept
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
        kept = stacked_kept((variant.kept for variant in compared), self._relation.parts)
        ranked = np.lexsort((orders, rows, l2))
        for start in range(0, len(ranked), _CHECKED_AT_ONCE):
            part = ranked[start : start + _CHECKED_AT_ONCE]
            found = self._relation.check(
                kept,
                orders[part],
                None if self._kept is None else self._kept[rows[part]],
                l2[part],
            )
            for place in np.flatnonzero(found.allowed)[:1].tolist():
                best = int(part[place])
                symmetry = found.symmetry(place, compared[int(orders[best])].symmetry)
                return Alike(int(rows[best]), float(l2[best]), symmetry, found.local_change(place), found.look(place))
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


def _grown(matrix: NDArray[Scalar], rows: int) -> NDArray[Scalar]:
    if rows <= len(matrix):
        return matrix
    grown = np.empty((max(rows, 2 * len(matrix)), matrix.shape[1]), dtype=matrix.dtype)
    grown[: len(matrix)] = matrix
    return grown
