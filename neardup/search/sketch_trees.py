"""Finds the few members that can be within the radius, by their sketches."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from neardup.search.boxes import Boxes, boxes_around, neighbours
from neardup.search.sketch_rows import (
    NO_PAIRS,
    Ask,
    Pairs,
    Run,
    Shape,
    Sketches,
    Slots,
    ask_of,
    cut,
    empty_rows,
    finite,
    in_steps,
)

SHORT, LONG = Shape(12, 24), Shape(24, 32)
"""For descriptors whose first numbers tell nearly all images apart (`dct`), and for those that spread more evenly."""
_PASSING = 1 / 128
"""When more unrelated pairs than this pass the short shape's front, a second look costs more than the long shape."""
_LEAF_ROWS = 256
_GROUP_ROWS = 8192
"""A branch of the tree with up to so many rows is one to a batch: numpy's calls for smaller ones cost more than they
save."""
_BRIDGED = 3
"""Leaves this near one another in order form one run: what lies between them costs less than another call."""
_FEW_QUERIES = 8
"""Up to this many queries go through the leaves one by one."""
_LEAVES_FIRST = 16
"""So many have thousands of rows, of which some are near; what more would bring is less than their products cost."""
_SHIFTS = 8
_SEEN = 1 << 15
"""Rounds of pairs looked at to choose the shape; each round covers about so many sketches, or all of fewer."""
_BUFFER = 4096
"""Sketches that wait to be put in order: scanning so few costs little."""
_SCANS = 200
"""They wait on until each was scanned so often: that costs what putting it in order does. A process that searches
seldom, as one of many on an index, puts more of them in order at once. But a quarter of all do not wait."""
_ROOM = 2
"""Times as many rows as are filled: few copies, and room that was never written to takes no memory."""
_GROWTH = 4
"""A part swallows the one before it unless that is this many times larger: fewer parts to search, more to rebuild."""


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
        self._rows = empty_rows(size, _BUFFER, self._shape)
        self._begin_with(0)

    def _begin_with(self, count: int) -> None:
        self._count = count
        self._ordered = self.untouched = self._scanned = 0
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
    def room(self) -> int:
        """How many more sketches there is room for."""
        return len(self._rows) - self._count

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes; room that was never written to takes none."""
        return self._rows.part(0, self._count).nbytes + self._leaves.nbytes + self._groups.nbytes

    def add(self, sketches: Sketches, slots: Slots, expected: int = 0) -> None:
        """Add float64 (n, size) sketches.

        Where so many are `expected` in all, and there are fewer yet, they wait for the others: putting all of them in
        order at once costs less than again and again.
        """
        first, end = self._count, self._count + len(slots)
        if max(end, expected) > len(self._rows):
            self._make_room(_ROOM * max(end, expected))
        self._count = end
        self._rows.part(first, self._count).fill(sketches, slots, self._shape)
        if self._count >= expected:
            self._put_in_order()
        elif not self._parts and first <= _BUFFER < self._count:
            self._choose_shape()

    def fit(self, more: int) -> None:
        """Have room for so many more, and a quarter above that at most: what is written to a file has all of it."""
        more = max(0, more)
        if not more <= self.room <= more + (self._count + more) // 4:
            self._make_room(self._count + more)

    def _make_room(self, count: int) -> None:
        rows = empty_rows(self._size, count, self._shape)
        rows.part(0, self._count).assign(self._rows.part(0, self._count))
        self._rows, self.untouched = rows, 0

    def renumber(self, slots: Slots) -> None:
        """Give each sketch a new slot, ``slots[old]``, and drop those whose new slot is negative."""
        rows = self._rows.part(0, self._count)
        rows.slots[:] = slots[rows.slots]
        self._rows = rows.taken(np.flatnonzero(rows.slots >= 0))
        self._begin_with(len(self._rows))
        self._put_in_order()

    def _put_in_order(self) -> None:
        first, end = self._ordered, self._count
        waiting = end - first
        if waiting <= _BUFFER or (4 * waiting < end and self._scanned < _SCANS * waiting):
            return
        while self._parts and first - self._parts[-1] < _GROWTH * (end - first):
            first = self._parts.pop()
        if first == 0:
            self._choose_shape()
        self._parts.append(first)
        self._ordered, self.untouched, self._scanned = end, min(self.untouched, first), 0
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
        seen = cut(cut(some.sketches(), shape.kept), shape.front)
        shifts = np.linspace(len(seen) // 4, 3 * len(seen) // 4, _SHIFTS).astype(int)
        apart = [np.square(seen - np.roll(seen, shift, axis=0)).sum(axis=1) for shift in shifts]
        return bool(np.mean(np.stack(apart) <= self._radius**2) <= _PASSING)

    def _reshape(self, shape: Shape) -> None:
        rows, self._shape = self._rows.part(0, self._count), shape
        self._rows = empty_rows(self._size, _ROOM * len(rows), shape)
        self._rows.part(0, len(rows)).fill(rows.sketches().astype(np.float64), rows.slots, shape)
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
            return NO_PAIRS
        ask = self._ask(queries, radius)
        if len(queries) > _FEW_QUERIES:
            waiting = in_steps(self._ordered, self._count, np.arange(len(queries)))
            return self._rows.pairs(ask, chain(self._groups_near(ask), waiting))
        rows = [self._near_one(ask, query)[0] for query in range(len(queries))]
        of_each = np.repeat(np.arange(len(queries)), [len(theirs) for theirs in rows])
        return of_each, self._rows.slots[np.concatenate(rows)]

    def at_least(self, queries: Sketches, radius: float) -> tuple[Slots, NDArray[np.float64]]:
        """Return the slots that `within` finds, each once, and the least distance that a query can have from each.

        Parameters
        ----------
        queries
            float64 (m, size), a few: they go through the leaves one by one.
        radius
            Inclusive.
        """
        ask = self._ask(queries, radius)
        of_each = [self._near_one(ask, query) for query in range(len(queries))]
        rows, products = (np.concatenate(parts) for parts in zip(*of_each, strict=True))
        if len(queries) > 1:
            order = np.lexsort((-products, rows))
            order = order[np.diff(rows[order], prepend=-1) != 0]
            rows, products = rows[order], products[order]
        return self._rows.slots[rows], ask.at_least(products)

    def some_near(self, queries: Sketches, count: int) -> tuple[Slots, NDArray[np.float64]]:
        """Return up to so many slots, the nearest by their sketches of those that wait and those of a few leaves.

        Others may be nearer: these tell within which radius to look for them. With each comes the least distance, as
        `at_least` has it.
        """
        ask = self._ask(queries, self._radius)
        far = self._leaves.squared_distances(ask.corners).min(axis=1)
        leaves = np.argsort(far)[:_LEAVES_FIRST]
        starts = self._leaves.starts
        runs = [*zip(starts[leaves].tolist(), starts[leaves + 1].tolist(), strict=True), (self._ordered, self._count)]
        parts = [self._rows.part(first, end) for first, end in runs]
        products = np.concatenate([part.products(ask).max(axis=0) for part in parts])
        slots = np.concatenate([part.slots for part in parts])
        nearest = np.argpartition(-products, count)[:count] if count < len(products) else np.arange(len(products))
        return slots[nearest], ask.at_least(products[nearest])

    def _ask(self, queries: Sketches, radius: float) -> Ask:
        """Return queries as they are multiplied, each of them with all that wait."""
        self._scanned += len(queries) * (self._count - self._ordered)
        return ask_of(queries, radius, self._shape)

    def _groups_near(self, ask: Ask) -> Iterator[Run]:
        reached = self._groups.reached(ask.corners, ask.reach)
        starts = self._groups.starts.tolist()
        for group in np.flatnonzero(reached.any(axis=1)).tolist():
            yield from in_steps(starts[group], starts[group + 1], np.flatnonzero(reached[group]))

    @finite
    def _near_one(self, ask: Ask, query: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return the rows whose sketches are near one query, and their products."""
        leaves = np.flatnonzero(self._leaves.reached(ask.corners[:, query : query + 1], ask.reach))
        gaps = np.flatnonzero(np.diff(leaves, prepend=-np.inf, append=np.inf) > _BRIDGED)
        firsts, ends = self._leaves.starts[leaves[gaps[:-1]]], self._leaves.starts[leaves[gaps[1:] - 1] + 1]
        firsts, ends = np.append(firsts, self._ordered), np.append(ends, self._count)
        front = ask.front[query]
        runs = zip(firsts.tolist(), ends.tolist(), strict=True)
        products = np.concatenate([front[:0], *(front @ self._rows.front[:, first:end] for first, end in runs)])
        near = np.flatnonzero(products >= 0.0)
        # A place among the products is the row number, less the rows skipped before its run.
        places = np.cumsum(ends - firsts)
        rows = near + (ends - places)[np.searchsorted(places, near, side="right")]
        whole = products[near] + self._rows.tail[rows] @ ask.tail[query]
        return rows[whole >= 0.0], whole[whole >= 0.0]
