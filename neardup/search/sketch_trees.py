"""Finds the few members that can be within the radius, by their sketches."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from neardup.search.boxes import Boxes, boxes_around, neighbours
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


SHORT, LONG = Shape(12, 24), Shape(24, 32)
"""For descriptors whose first numbers tell nearly all images apart (`dct`), and for those that spread more evenly."""
_PASSING = 1 / 128
"""When more unrelated pairs than this pass the short shape's front, a second look costs more than the long shape."""
_CROWDED = 16
"""When more than one pair in this many passes the front, one product of all the rest costs less than picking pairs."""
_BOX_PREFIX = 5
"""Coordinates of the boxes around leaves: leaves are cut along few, and the others would only cost time."""
_LEAF_ROWS = 256
_GROUP_ROWS = 8192
"""A branch of the tree with up to so many rows is one to a batch: numpy's calls for smaller ones cost more than they
save."""
_BRIDGED = 3
"""Leaves this near one another in order form one run: what lies between them costs less than another call."""
_FEW_QUERIES = 8
"""Up to this many queries go through the leaves one by one."""
_AT_ONCE = 1 << 16
"""Pairs looked at together: their products stay in the cache, and up to so many OpenBLAS has a faster way."""
_SHIFTS = 8
_SEEN = 1 << 15
"""Rounds of pairs looked at to choose the shape; each round covers about so many sketches, or all of fewer."""
_BUFFER = 4096
"""Sketches that wait to be put in order: scanning so few costs little."""
_GROWTH = 4
"""A part swallows the one before it unless that is this many times larger: fewer parts to search, more to rebuild."""
_FLOAT32_SLACK = 1e-5
"""Largest float32 error in a product of sketches of up to about sixty numbers within [-2, 2]."""

Run = tuple[int, int, NDArray[np.intp]]
"""Rows from the first to before the second, and the queries that they are multiplied with."""


@dataclass(frozen=True, slots=True)
class _Rows:
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
        return self.front.nbytes + self.tail.nbytes + self.slots.nbytes

    def part(self, first: int, end: int) -> "_Rows":
        """Return a view of the rows from `first` to before `end`."""
        return _Rows(self.front[:, first:end], self.tail[first:end], self.slots[first:end])

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

    def assign(self, rows: "_Rows") -> None:
        """Copy in as many rows."""
        self.front[:], self.tail[:], self.slots[:] = rows.front, rows.tail, rows.slots

    def reorder(self, rows: NDArray[np.intp]) -> None:
        """Put all rows into this order; little memory is needed for it."""
        for column in (*self.front, self.slots):
            column[:] = column[rows]
        self.tail[:] = self.tail[rows]

    def taken(self, rows: NDArray[np.intp]) -> "_Rows":
        """Return a copy of some rows, in the order given."""
        return _Rows(np.take(self.front, rows, axis=1), self.tail[rows], self.slots[rows])

    def sketches(self) -> NDArray[np.float32]:
        """Return what is kept of the sketches, (n, p + 1)."""
        return np.column_stack([self.front[:-3].T, self.tail[:, :-1]])

    def corners(self) -> NDArray[np.float32]:
        """Return the points that boxes enclose, float32 (k, n): the first coordinates, and the residual beyond them."""
        first, others = np.split(self.front[:-2], [min(_BOX_PREFIX, len(self.front) - 3)])
        return np.vstack([first, np.sqrt(np.einsum("ij,ij->j", others, others))])

    def pairs(self, ask: "_Ask", runs: Iterable[Run]) -> Pairs:
        """Return each (query, slot) pair within the runs that is near."""
        found = [_NO_PAIRS]
        unsure, fronts, looked_at = [_NO_PAIRS[0]], [_NO_FRONTS], [(0, 1, _NO_PAIRS[0])]
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


def _rows(sketches: Sketches, slots: Slots, shape: Shape) -> _Rows:
    rows = _empty_rows(sketches.shape[1], len(sketches), shape)
    rows.fill(sketches, slots, shape)
    return rows


def _cut(sketches: NDArray[Real], prefix: int) -> NDArray[Real]:
    """Return (n, at most prefix + 1) sketches from longer ones: the coordinates dropped join the residual."""
    prefix = min(prefix, sketches.shape[1] - 1)
    residual = np.sqrt(np.square(sketches[:, prefix:]).sum(axis=1))
    return np.column_stack([sketches[:, :prefix], residual])


@dataclass(frozen=True, slots=True)
class _Ask:
    """Queries in the form that rows are multiplied with.

    Attributes
    ----------
    front, tail
        float32 (m, f + 3), (m, p - f + 2).
    corners
        float32 (k, m): the queries as points among the boxes.
    reach
        Largest distance to a box.
    """

    front: NDArray[np.float32]
    tail: NDArray[np.float32]
    corners: NDArray[np.float32]
    reach: float

    def __len__(self) -> int:
        return len(self.front)


def _ask(queries: Sketches, radius: float, shape: Shape) -> _Ask:
    reach = radius + SLACK
    rows = _rows(queries, np.empty(len(queries), dtype=np.int32), shape)
    # |q - s|^2 <= r^2  is  q.s - |s|^2 / 2 - (|q|^2 - r^2) / 2 >= 0
    bounds = (np.square(queries).sum(axis=1) - reach * reach) / 2.0 - _FLOAT32_SLACK
    rows.front[-2] = -1.0
    rows.front[-1] = -bounds
    rows.tail[:, -1] *= -1.0
    return _Ask(np.ascontiguousarray(rows.front.T), rows.tail, rows.corners(), reach + SLACK)


class SketchTrees:
    """An append-only set of sketches, in a few parts of growing size (the logarithmic method).

    A sketch carries a slot, the number by which its owner knows it. An appended one waits at the end; when enough wait
    they become a part, in which neighbours stand side by side in leaves with boxes around them; small parts are merged
    into larger ones, so that each sketch is put in order a logarithmic number of times. A search multiplies the
    queries with the leaves that they reach. Where a ball reaches most leaves (a flat spectrum, a large radius) that is
    one product with all sketches, which is then the fastest way. `untouched` says how many rows from the first on have
    not moved since somebody set it.

    Source: Bentley, Multidimensional binary search trees (1975); Bentley and Saxe, Decomposable searching problems I
    (1980).

    Parameters
    ----------
    size
        Numbers in a sketch.
    radius
        The radius of most searches; those with another radius miss nothing either.
    """

    def __init__(self, size: int, radius: float) -> None:
        self._size = size
        self._radius = radius
        self._shape = LONG
        self._rows = _empty_rows(size, _BUFFER, self._shape)
        self._begin_with(0)

    def _begin_with(self, count: int) -> None:
        self._count = count
        self._ordered = self.untouched = 0
        self._parts: list[int] = []  # the first row of each
        none = self._rows.part(0, 0).corners()
        self._leaves = self._groups = Boxes(np.zeros(1, dtype=np.intp), none, none)

    def __len__(self) -> int:
        """Return the number of sketches."""
        return self._count

    @property
    def shape(self) -> Shape:
        """What is kept of a sketch: the long shape, until there are enough to see that the short one suffices."""
        return self._shape

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self._rows.nbytes + self._leaves.nbytes + self._groups.nbytes

    def add(self, sketches: Sketches, slots: Slots, expected: int = 0) -> None:
        """Add float64 (n, size) sketches.

        Where so many are `expected` in all, and there are fewer yet, they wait for the others: putting all of them in
        order at once costs less than again and again.
        """
        first, self._count = self._count, self._count + len(slots)
        if max(self._count, expected) > len(self._rows):
            grown = _empty_rows(self._size, max(expected, self._count) * 5 // 4, self._shape)
            grown.part(0, first).assign(self._rows.part(0, first))
            self._rows, self.untouched = grown, 0
        self._rows.part(first, self._count).fill(sketches, slots, self._shape)
        if self._count >= expected:
            self._put_in_order()
        elif not self._parts and first <= _BUFFER < self._count:
            self._choose_shape()

    def renumber(self, slots: Slots) -> None:
        """Give each sketch a new slot, ``slots[old]``, and drop those whose new slot is negative."""
        rows = self._rows.part(0, self._count)
        rows.slots[:] = slots[rows.slots]
        self._rows = rows.taken(np.flatnonzero(rows.slots >= 0))
        self._begin_with(len(self._rows))
        self._put_in_order()

    def _put_in_order(self) -> None:
        first, end = self._ordered, self._count
        if end - first <= _BUFFER:
            return
        while self._parts and first - self._parts[-1] < _GROWTH * (end - first):
            first = self._parts.pop()
        if first == 0:
            self._choose_shape()
        self._parts.append(first)
        self._ordered, self.untouched = end, min(self.untouched, first)
        rows = self._rows.part(first, end)
        order, starts, groups = neighbours(rows.corners(), _LEAF_ROWS, _GROUP_ROWS)
        rows.reorder(order)
        leaves = boxes_around(rows.corners(), starts, first)
        self._leaves = self._leaves.followed_by(leaves)
        self._groups = self._groups.followed_by(leaves.grouped(np.searchsorted(starts, groups)))

    def _choose_shape(self) -> None:
        if self._shape is LONG and self._tells_strangers(SHORT):
            self._reshape(SHORT)

    def _tells_strangers(self, shape: Shape) -> bool:
        """Tell whether the front excludes nearly all pairs that are far apart in order: cells are read one by one."""
        some = self._rows.part(0, self._count).taken(np.arange(0, self._count, 1 + self._count // _SEEN))
        seen = _cut(_cut(some.sketches(), shape.kept), shape.front)
        shifts = np.linspace(len(seen) // 4, 3 * len(seen) // 4, _SHIFTS).astype(int)
        apart = [np.square(seen - np.roll(seen, shift, axis=0)).sum(axis=1) for shift in shifts]
        return bool(np.mean(np.stack(apart) <= self._radius**2) <= _PASSING)

    def _reshape(self, shape: Shape) -> None:
        rows, self._shape = self._rows.part(0, self._count), shape
        self._rows = _rows(rows.sketches().astype(np.float64), rows.slots, shape)
        self._begin_with(len(rows))

    def within(self, queries: Sketches, radius: float) -> Pairs:
        """Return every (row of `queries`, slot) whose sketches lie within the radius, plus slack for rounding.

        Parameters
        ----------
        queries
            float64 (m, size).
        radius
            Inclusive.
        """
        if not len(queries):
            return _NO_PAIRS
        ask = _ask(queries, radius, self._shape)
        waiting = _in_steps(self._ordered, self._count, np.arange(len(queries)))
        if len(queries) > _FEW_QUERIES:
            return self._rows.pairs(ask, chain(self._groups_near(ask), waiting))
        pairs = [self._near_one(ask, query) for query in range(len(queries))]
        rows, slots = zip(self._rows.pairs(ask, waiting), *pairs, strict=True)
        return np.concatenate(rows), np.concatenate(slots)

    def _groups_near(self, ask: _Ask) -> Iterator[Run]:
        reached = self._groups.reached(ask.corners, ask.reach)
        starts = self._groups.starts.tolist()
        for group in np.flatnonzero(reached.any(axis=1)).tolist():
            yield from _in_steps(starts[group], starts[group + 1], np.flatnonzero(reached[group]))

    def _near_one(self, ask: _Ask, query: int) -> Pairs:
        leaves = np.flatnonzero(self._leaves.reached(ask.corners[:, query : query + 1], ask.reach))
        gaps = np.flatnonzero(np.diff(leaves, prepend=-np.inf, append=np.inf) > _BRIDGED)
        firsts, ends = self._leaves.starts[leaves[gaps[:-1]]], self._leaves.starts[leaves[gaps[1:] - 1] + 1]
        front = ask.front[query]
        runs = zip(firsts.tolist(), ends.tolist(), strict=True)
        products = np.concatenate([front[:0], *(front @ self._rows.front[:, first:end] for first, end in runs)])
        near = np.flatnonzero(products >= 0.0)
        # A place among the products is the row number, less the rows skipped before its run.
        places = np.cumsum(ends - firsts)
        rows = near + (ends - places)[np.searchsorted(places, near, side="right")]
        rows = rows[products[near] + self._rows.tail[rows] @ ask.tail[query] >= 0.0]
        return np.full(len(rows), query, dtype=np.intp), self._rows.slots[rows]


def _in_steps(first: int, end: int, queries: NDArray[np.intp]) -> Iterator[Run]:
    """Divide a run evenly into as few as may be looked at together."""
    most = max(1, _AT_ONCE // max(1, len(queries)))
    steps = max(1, -(-(end - first) // most))
    step = max(1, -(-(end - first) // steps))
    for start in range(first, end, step):
        yield start, min(start + step, end), queries


def _ends(size: int, shape: Shape) -> tuple[int, int]:
    """Return how many coordinates the front of a sketch of so many numbers has, and how many are kept of it."""
    return min(shape.front, size - 1), min(shape.kept, size - 1)


def _empty_rows(size: int, count: int, shape: Shape) -> _Rows:
    front, kept = _ends(size, shape)
    return _Rows(
        np.empty((front + 3, count), dtype=np.float32),
        np.empty((count, kept - front + 2), dtype=np.float32),
        np.empty(count, dtype=np.int32),
    )


_NO_PAIRS: Pairs = (np.empty(0, dtype=np.intp), np.empty(0, dtype=np.int32))
_NO_FRONTS = np.empty(0, dtype=np.float32)
