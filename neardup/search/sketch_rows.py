"""Sketches in the form that they are multiplied in, and queries as what is multiplied with them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from neardup.search.sketches import SLACK

Sketches = NDArray[np.float64]
Slots = NDArray[np.int32]
Pairs = tuple[NDArray[np.intp], Slots]
Real = TypeVar("Real", np.float32, np.float64)


class Shape(NamedTuple):
    """How much of a sketch is kept.

    A longer sketch lets fewer members through to the exact comparison and takes more memory; a longer front leaves
    fewer rows to look at again, but is slower itself (docs/index-performance.md).

    Attributes
    ----------
    front
        Coordinates looked at first: for most rows, nothing else is read.
    kept
        All coordinates kept, including those of the front.
    """

    front: int
    kept: int


_CROWDED = 16
"""When more than one pair in this many passes the front, one product of all the rest costs less than picking pairs."""
_BOX_PREFIX = 5
"""Coordinates of the boxes around leaves: leaves are cut along few, and the others would only cost time."""
_AT_ONCE = 1 << 16
"""Pairs looked at together: their products stay in the cache, and up to so many OpenBLAS has a faster way."""
FARTHEST = 2.1
"""No unit vectors are farther apart, though they are rounded."""
_FLOAT32_SLACK = 1e-5
"""Largest float32 error in a product of sketches of up to about sixty numbers within [-2, 2], up to `FARTHEST`."""

finite = np.errstate(invalid="ignore")
"""Around products of sketches, which are finite: OpenBLAS also multiplies what lies beside them and drops it, and with
some processors' kernels what it dropped leaves a warning of an invalid value behind (numpy/numpy#24067)."""

Run = tuple[int, int, NDArray[np.intp]]
"""Rows from the first to before the second, and the queries that they are multiplied with."""


@dataclass(frozen=True, slots=True)
class SketchRows:
    """Sketches as they are multiplied.

    The product of a sketch's `front` with a query's is half of ``r^2 - |q - s|^2``, both cut after a few coordinates:
    not negative within the radius, since cutting brings sketches closer. The product of the `tail` with a query's is
    the correction for the other coordinates.

    Attributes
    ----------
    front
        float32 (f + 3, n): coordinates, their residual, half of the square, 1. One column each: a few queries are
        multiplied with columns faster than with rows.
    tail
        float32 (n, p - f + 2): the other coordinates, their residual, the front's residual.
    slots
        int32 (n,).
    """

    front: NDArray[np.float32]
    tail: NDArray[np.float32]
    slots: Slots

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self.front.nbytes + self.tail.nbytes + self.slots.nbytes

    def part(self, first: int, end: int) -> "SketchRows":
        """Return a view of the rows from `first` to before `end`."""
        return SketchRows(self.front[:, first:end], self.tail[first:end], self.slots[first:end])

    def fill(self, sketches: Sketches, slots: Slots, shape: Shape) -> None:
        """Make the rows of as many sketches, of at least so many numbers."""
        ends = [0, *_ends(sketches.shape[1], shape), sketches.shape[1]]
        front, kept, rest = (sketches[:, start:end] for start, end in pairwise(ends))
        squares = [np.einsum("ij,ij->i", part, part) for part in (front, kept, rest)]
        residual, front_residual = squares[2], squares[1] + squares[2]
        self.front[:-3], self.front[-3] = front.T, np.sqrt(front_residual)
        self.front[-2], self.front[-1] = (squares[0] + front_residual) / 2.0, 1.0
        self.tail[:, :-2], self.tail[:, -2] = kept, np.sqrt(residual)
        self.tail[:, -1] = self.front[-3]
        self.slots[:] = slots

    def assign(self, rows: "SketchRows") -> None:
        """Copy in as many rows."""
        self.front[:], self.tail[:], self.slots[:] = rows.front, rows.tail, rows.slots

    def reorder(self, rows: NDArray[np.intp]) -> None:
        """Put all rows into this order; little memory is needed for it."""
        for column in (*self.front, self.slots):
            column[:] = column[rows]
        self.tail[:] = self.tail[rows]

    def taken(self, rows: NDArray[np.intp]) -> "SketchRows":
        """Return a copy of some rows, in the order given."""
        return SketchRows(np.take(self.front, rows, axis=1), self.tail[rows], self.slots[rows])

    def sketches(self) -> NDArray[np.float32]:
        """Return what is kept of the sketches, (n, p + 1)."""
        return np.column_stack([self.front[:-3].T, self.tail[:, :-1]])

    def corners(self) -> NDArray[np.float32]:
        """Return the points that boxes enclose, float32 (k, n): the first coordinates, and the residual beyond them."""
        first, others = np.split(self.front[:-2], [min(_BOX_PREFIX, len(self.front) - 3)])
        return np.vstack([first, np.sqrt(np.einsum("ij,ij->j", others, others))])

    @finite
    def products(self, ask: "Ask") -> NDArray[np.float32]:
        """Return the whole products of the queries with all rows, float32 (m, n)."""
        return np.asarray(ask.front @ self.front + ask.tail @ self.tail.T)

    @finite
    def pairs(self, ask: "Ask", runs: Iterable[Run]) -> Pairs:
        """Return each (query, slot) pair within the runs that is near."""
        found = [NO_PAIRS]
        unsure, fronts, looked_at = [NO_PAIRS[0]], [_NO_FRONTS], [(0, 1, NO_PAIRS[0])]
        # One piece of memory for all: it stays in the cache.
        room = max(_AT_ONCE, len(ask))
        products, signs = np.empty(room, dtype=np.float32), np.empty(room, dtype=np.bool_)
        for first, end, queries in runs:
            shape = len(queries), end - first
            flat, is_near = products[: shape[0] * shape[1]], signs[: shape[0] * shape[1]]
            np.matmul(ask.front[queries], self.front[:, first:end], out=flat.reshape(shape))
            # One flat search: numpy's search of a matrix takes several times as long.
            places = np.greater_equal(flat, 0.0, out=is_near).nonzero()[0]
            if len(places) * _CROWDED > len(flat):
                crowded = flat.reshape(shape) + ask.tail[queries] @ self.tail[first:end].T
                place, row = np.divmod((crowded.ravel() >= 0.0).nonzero()[0], shape[1])
                found.append((queries[place], self.slots[row + first]))
            elif len(places):
                unsure.append(places)
                fronts.append(flat[places])
                looked_at.append((first, shape[1], queries))
        # The tails of the other pairs, all at once: there are few of them, in many runs.
        query, row = _pairs_of(unsure, looked_at)
        near = (np.concatenate(fronts) + np.einsum("ij,ij->i", self.tail[row], ask.tail[query]) >= 0.0).nonzero()[0]
        found.append((query[near], self.slots[row[near]]))
        pairs_of, slots = zip(*found, strict=True)
        return np.concatenate(pairs_of), np.concatenate(slots)


def _pairs_of(
    places: Sequence[NDArray[np.intp]], runs: Sequence[tuple[int, int, NDArray[np.intp]]]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the queries and rows of places in the flat products of runs, each from a row on and of so many rows."""
    counts = [len(near) for near in places]
    firsts, widths, queries = zip(*runs, strict=True)
    place, row = np.divmod(np.concatenate(places), np.repeat(widths, counts))
    before = np.cumsum([0, *map(len, queries[:-1])])
    return np.concatenate(queries)[place + np.repeat(before, counts)], row + np.repeat(firsts, counts)


def rows_of(sketches: Sketches, slots: Slots, shape: Shape) -> SketchRows:
    """Return rows made of float64 (n, size) sketches."""
    rows = empty_rows(sketches.shape[1], len(sketches), shape)
    rows.fill(sketches, slots, shape)
    return rows


def cut(sketches: NDArray[Real], prefix: int) -> NDArray[Real]:
    """Return (n, at most prefix + 1) sketches from longer ones: the coordinates dropped join the residual."""
    prefix = min(prefix, sketches.shape[1] - 1)
    residual = np.sqrt(np.square(sketches[:, prefix:]).sum(axis=1))
    return np.column_stack([sketches[:, :prefix], residual])


@dataclass(frozen=True, slots=True)
class Ask:
    """Queries in the form that rows are multiplied with.

    Attributes
    ----------
    front, tail
        float32 (m, f + 3), (m, p - f + 2).
    corners
        float32 (k, m): the queries as points among the boxes.
    reach
        Largest distance to a box.
    radius
        Largest distance of two sketches, rounding apart.
    """

    front: NDArray[np.float32]
    tail: NDArray[np.float32]
    corners: NDArray[np.float32]
    reach: float
    radius: float

    def __len__(self) -> int:
        return len(self.front)

    def at_least(self, products: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return how far apart, at least, the descriptors are whose sketches have these products."""
        squared = self.radius**2 - 2.0 * products.astype(np.float64)
        return np.sqrt(np.maximum(squared, 0.0)) - SLACK


def ask_of(queries: Sketches, radius: float, shape: Shape) -> Ask:
    """Return float64 (m, size) queries in the form that rows are multiplied with, for all within the radius."""
    reach = min(radius, FARTHEST) + SLACK
    rows = rows_of(queries, np.empty(len(queries), dtype=np.int32), shape)
    # |q - s|^2 <= r^2  is  q.s - |s|^2 / 2 - (|q|^2 - r^2) / 2 >= 0
    bounds = (np.square(queries).sum(axis=1) - reach * reach) / 2.0 - _FLOAT32_SLACK
    rows.front[-2] = -1.0
    rows.front[-1] = -bounds
    rows.tail[:, -1] *= -1.0
    return Ask(np.ascontiguousarray(rows.front.T), rows.tail, rows.corners(), reach + SLACK, reach)


def in_steps(first: int, end: int, queries: NDArray[np.intp]) -> Iterator[Run]:
    """Divide a run evenly into as few as may be looked at together."""
    most = max(1, _AT_ONCE // max(1, len(queries)))
    steps = max(1, -(-(end - first) // most))
    step = max(1, -(-(end - first) // steps))
    for start in range(first, end, step):
        yield start, min(start + step, end), queries


def _ends(size: int, shape: Shape) -> tuple[int, int]:
    """Return how many coordinates the front of a sketch of so many numbers has, and how many are kept of it."""
    return min(shape.front, size - 1), min(shape.kept, size - 1)


def empty_rows(size: int, count: int, shape: Shape) -> SketchRows:
    """Return room for so many sketches of so many numbers."""
    front, kept = _ends(size, shape)
    return SketchRows(
        np.empty((front + 3, count), dtype=np.float32),
        np.empty((count, kept - front + 2), dtype=np.float32),
        np.empty(count, dtype=np.int32),
    )


NO_PAIRS: Pairs = (np.empty(0, dtype=np.intp), np.empty(0, dtype=np.int32))
_NO_FRONTS = np.empty(0, dtype=np.float32)
