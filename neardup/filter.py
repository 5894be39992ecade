"""Finding the few members that can be within the radius, by their sketches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from neardup.projection import SLACK

Sketches = NDArray[np.float64]
Slots = NDArray[np.int32]
Pairs = tuple[NDArray[np.intp], Slots]

PREFIX = 16
"""Leading coordinates of a sketch that are kept.

A longer prefix lets fewer members through to the exact comparison and takes more memory; from here on the exact
comparison is the smaller part of a query's time (docs/index-performance.md).
"""
_BOX_PREFIX = 6
"""Of the boxes around leaves: they are cut along few coordinates, and the others only cost time."""
_LEAF_ROWS = 256
_GROUP_LEAVES = 16
"""Leaves that a batch looks at as one: below this, numpy's calls cost more than the rows left out save."""
_FEW_QUERIES = 8
"""Up to here queries go through the leaves one by one."""
_BUFFER = 4096
"""Sketches that wait in a plain matrix before they are put in order: scanning so few costs little."""
_GROWTH = 4
"""A part swallows the one before it unless that is this many times larger: fewer parts to ask, more to rebuild."""
_EXTRA = -2
"""Where in a row the sketch ends."""
_FLOAT32_SLACK = 1e-5
"""What float32 may get wrong in a product of sketches of up to some sixty numbers within [-2, 2]."""


@dataclass(frozen=True, slots=True)
class _Boxes:
    """Runs of rows, each within a box.

    Attributes
    ----------
    starts
        intp (n + 1,): box i holds the rows from ``starts[i]`` to before ``starts[i + 1]``.
    low, high
        float32 (k, n): corners, one column a box.
    """

    starts: NDArray[np.intp]
    low: NDArray[np.float32]
    high: NDArray[np.float32]

    def reached(self, queries: NDArray[np.float32], reach: float) -> NDArray[np.bool_]:
        """Return bool (n, m): whether a box comes within reach of each of float32 (k, m) queries."""
        squared = np.zeros((self.low.shape[1], queries.shape[1]), dtype=np.float32)
        for low, high, values in zip(self.low, self.high, queries, strict=True):
            gap = np.maximum(low[:, np.newaxis] - values, values - high[:, np.newaxis])
            np.maximum(gap, 0.0, out=gap)
            squared += np.square(gap, out=gap)
        return np.asarray(squared <= np.float32(reach * reach))

    def joined(self, count: int) -> "_Boxes":
        """Return the boxes around each `count` boxes in a row."""
        firsts = np.arange(0, self.low.shape[1], count)
        starts = np.append(self.starts[firsts], self.starts[-1])
        low = np.minimum.reduceat(self.low, firsts, axis=1)
        return _Boxes(starts, low, np.maximum.reduceat(self.high, firsts, axis=1))


@dataclass(frozen=True, slots=True)
class _Ask:
    """Queries as the parts need them.

    Attributes
    ----------
    factors
        float32 (m, p + 3): multiplied with a row they give half of ``r^2 - |q - s|^2``, not negative within the
        radius.
    corners
        float32 (k, m): the queries among the boxes.
    reach
        Distance to a box, at most.
    """

    factors: NDArray[np.float32]
    corners: NDArray[np.float32]
    reach: float


class _Part:
    """Rows in the order of a k-d tree's leaves, which are runs of neighbours."""

    def __init__(self, rows: NDArray[np.float32], slots: Slots) -> None:
        points = _corners(rows[:, :_EXTRA])
        tree = cKDTree(points.astype(np.float64), leafsize=_LEAF_ROWS, balanced_tree=False)
        order = tree.indices
        starts = np.array([*_leaf_starts(tree.tree), len(rows)], dtype=np.intp)
        points = points[order]
        low = np.minimum.reduceat(points, starts[:-1], axis=0)
        high = np.maximum.reduceat(points, starts[:-1], axis=0)
        self.rows = rows[order]
        self.slots = slots[order]
        self._leaves = _Boxes(starts, np.ascontiguousarray(low.T), np.ascontiguousarray(high.T))
        self._groups = self._leaves.joined(_GROUP_LEAVES)

    def __len__(self) -> int:
        return int(self.slots.size)

    @property
    def nbytes(self) -> int:
        boxes = self._leaves.low.nbytes + self._groups.low.nbytes
        return int(self.rows.nbytes + self.slots.nbytes + 2 * boxes + self._leaves.starts.nbytes)

    def pairs(self, ask: _Ask) -> Pairs:
        if len(ask.factors) > _FEW_QUERIES:
            return self._pairs_of_many(ask)
        return _joined([self._pairs_of_one(ask, row) for row in range(len(ask.factors))])

    def _pairs_of_many(self, ask: _Ask) -> Pairs:
        reached = self._groups.reached(ask.corners, ask.reach)
        starts = self._groups.starts.tolist()
        pairs = []
        for group in np.flatnonzero(reached.any(axis=1)).tolist():
            queries = np.flatnonzero(reached[group])
            first, end = starts[group], starts[group + 1]
            near, row = _near(self.rows[first:end], ask, queries)
            if len(near):
                pairs.append((queries[row], self.slots[first:end][near]))
        return _joined(pairs)

    def _pairs_of_one(self, ask: _Ask, query: int) -> Pairs:
        reached = self._leaves.reached(ask.corners[:, query : query + 1], ask.reach)[:, 0]
        # Neighbouring leaves are one run of rows: 0 1 1 0 1 is +1 . -1 +1 -1 at its borders.
        borders = np.flatnonzero(np.diff(reached.view(np.int8), prepend=np.int8(0), append=np.int8(0)))
        runs = self._leaves.starts[borders].reshape(-1, 2)
        if not len(runs):
            return _NONE
        factors = ask.factors[query]
        products = np.concatenate([self.rows[first:end] @ factors for first, end in runs.tolist()])
        near = np.flatnonzero(products >= 0.0)
        # A place among the products is a row, less what was left out before its run.
        ends = np.cumsum(runs[:, 1] - runs[:, 0])
        skipped = runs[:, 1] - ends
        rows = near + skipped[np.searchsorted(ends, near, side="right")]
        return np.full(len(near), query, dtype=np.intp), self.slots[rows]


class SketchTrees:
    """An append-only set of sketches, in a few parts of growing size (the logarithmic method).

    A sketch carries a slot, the number by which its owner knows it. An appended one waits in a buffer; a full buffer
    becomes a part, in which neighbours stand side by side in leaves with boxes around them; small parts are merged
    into larger ones, so that each sketch is put in order a logarithmic number of times. A search multiplies the
    queries with the leaves that they reach. Where a ball reaches most leaves (a flat spectrum, a large radius) that is
    one product with all sketches, which is then the fastest there is.

    Source: Bentley, Multidimensional binary search trees (1975); Bentley and Saxe, Decomposable searching problems I
    (1980).

    Parameters
    ----------
    size
        Numbers in a sketch.
    """

    def __init__(self, size: int) -> None:
        self._buffer = np.empty((_BUFFER, size - _EXTRA), dtype=np.float32)
        self._buffer_slots = np.empty(_BUFFER, dtype=np.int32)
        self._buffered = 0
        self._parts: list[_Part] = []

    def __len__(self) -> int:
        """Return the number of sketches."""
        return self._buffered + sum(map(len, self._parts))

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self._buffer.nbytes + self._buffer_slots.nbytes + sum(part.nbytes for part in self._parts)

    def add(self, sketches: Sketches, slots: Slots) -> None:
        """Add float64 (n, size) sketches."""
        rows = _rows(sketches)
        if self._buffered + len(rows) > _BUFFER:
            rows = np.concatenate([self._buffer[: self._buffered], rows])
            slots = np.concatenate([self._buffer_slots[: self._buffered], slots])
            self._buffered = 0
            self._plant(rows, slots)
            return
        end = self._buffered + len(rows)
        self._buffer[self._buffered : end] = rows
        self._buffer_slots[self._buffered : end] = slots
        self._buffered = end

    def _plant(self, rows: NDArray[np.float32], slots: Slots) -> None:
        merged = [(rows, slots)]
        count = len(rows)
        while self._parts and len(self._parts[-1]) < _GROWTH * count:
            part = self._parts.pop()
            merged.append((part.rows, part.slots))
            count += len(part)
        self._parts.append(_Part(*map(np.concatenate, zip(*merged, strict=True))))

    def within(self, queries: Sketches, radius: float) -> Pairs:
        """Return every (row of `queries`, slot) whose sketches lie within the radius, and rounding's slack.

        Parameters
        ----------
        queries
            float64 (m, size).
        radius
            Inclusive.
        """
        if not len(queries):
            return _NONE
        ask = _ask(queries, radius)
        pairs = [part.pairs(ask) for part in self._parts]
        if self._buffered:
            near, row = _near(self._buffer[: self._buffered], ask, np.arange(len(queries)))
            pairs.append((row, self._buffer_slots[near]))
        return _joined(pairs)


def _ask(queries: Sketches, radius: float) -> _Ask:
    reach = radius + SLACK
    # |q - s|^2 <= r^2  is  q.s - |s|^2 / 2 - (|q|^2 - r^2) / 2 >= 0
    bounds = (np.square(queries).sum(axis=1) - reach * reach) / 2.0 - _FLOAT32_SLACK
    factors = np.column_stack([queries, -np.ones(len(queries)), -bounds]).astype(np.float32)
    return _Ask(factors, _corners(factors[:, :_EXTRA]).T, reach + SLACK)


def _near(rows: NDArray[np.float32], ask: _Ask, queries: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return each row, and the place in `queries` of each query, that are near each other."""
    products = rows @ ask.factors[queries].T
    # One flat search: numpy's search of a matrix takes several times as long.
    near = np.flatnonzero(products >= 0.0)
    row, place = np.divmod(near, len(queries))
    return row, place


def _rows(sketches: Sketches) -> NDArray[np.float32]:
    """Return the rows that are multiplied: each sketch, half its square, and 1 for the query's own term."""
    half_squares = np.square(sketches).sum(axis=1) / 2.0
    return np.column_stack([sketches, half_squares, np.ones(len(sketches))]).astype(np.float32)


def _corners(sketches: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the coordinates that boxes have, and the residual as seen from these, float32 (n, k)."""
    prefix = min(_BOX_PREFIX, sketches.shape[1] - 1)
    residual = np.sqrt(np.square(sketches[:, prefix:]).sum(axis=1))
    return np.column_stack([sketches[:, :prefix], residual])


def _leaf_starts(node: Any) -> list[int]:  # noqa: ANN401 - of scipy, untyped
    """Return the first row of each leaf below a node, in order."""
    starts, waiting = [], [node]
    while waiting:
        node = waiting.pop()
        if node.lesser is None:
            starts.append(int(node.start_idx))
        else:
            waiting += [node.greater, node.lesser]
    return starts


_NONE: Pairs = (np.empty(0, dtype=np.intp), np.empty(0, dtype=np.int32))


def _joined(pairs: list[Pairs]) -> Pairs:
    if not pairs:
        return _NONE
    rows, slots = zip(*pairs, strict=True)
    return np.concatenate(rows), np.concatenate(slots)


def empty_filter(size: int) -> tuple[SketchTrees, int]:
    """Return an empty filter for sketches of `size` numbers, and how many of their leading coordinates it takes.

    `PREFIX`, or as many as there are. That depends on no sample: an index that begins with a few members has, with a
    million, the filter that it would have been given then.
    """
    prefix = min(PREFIX, size - 1)
    return SketchTrees(prefix + 1), prefix


def shortened(sketches: Sketches, prefix: int) -> Sketches:
    """Return float64 (n, prefix + 1) sketches out of longer ones: the coordinates dropped join the residual."""
    residual = np.sqrt(np.square(sketches[:, prefix:]).sum(axis=1))
    return np.column_stack([sketches[:, :prefix], residual])
