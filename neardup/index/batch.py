"""One batch on its way to a commit: what each image is compared with, and the decision."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neardup.index.base import IndexMeta
from neardup.index.block import member_of
from neardup.index.retention import FOR_EVER, Retention
from neardup.index.stored.codec import (
    decode_head,
    encode_decision,
    encode_member,
    head_key,
)
from neardup.index.stored.events import PLACE
from neardup.index.stored.log import LogEvents
from neardup.index.stored.scripts import Item
from neardup.index.tree import bitmaps
from neardup.index.view import GenerationView, HeadCounts, Hit
from neardup.relation.kept import stacked_kept
from neardup.relation.rule import Relation
from neardup.search.distance import l2_distances
from neardup.search.sketch_rows import Slots
from neardup.types import Decision, Descriptors, Kept, Look, Origin, Query, Symmetry, Verdict

_LATEST = 2**31
"""Slot of what the view did not find."""


@dataclass(frozen=True)
class Draft:
    """A decision that holds unless another process commits first."""

    query: Query
    cell: int
    root: int
    decision: Decision
    becomes_member: bool

    def item(self, roots: bytes = b"") -> Item:
        """Return the item to commit; without the roots that can matter to it any news makes it stale, which is rare."""
        decision, record = self._encoded
        place = PLACE.pack(self.cell, self.root)
        return Item(self.query.key, self.cell, decision, record, place, roots)

    @cached_property
    def _encoded(self) -> tuple[bytes, bytes]:
        record = encode_member(member_of(self.query)) if self.becomes_member else b""
        return encode_decision(self.decision), record

    def says_as(self, other: "Draft") -> bool:
        """Return whether another draft for the same query says the same."""
        return (self.cell, self.decision, self.becomes_member) == (other.cell, other.decision, other.becomes_member)


class _Alike(NamedTuple):
    """A row and a column that are alike, and how they differ."""

    row: int
    column: int
    l2_distance: float
    local_change: float | None
    symmetry: Symmetry
    look: Look | None


class _Compared:
    """What queries are compared by, a row each: each query unchanged, followed by its variants.

    Attributes
    ----------
    starts
        intp (n + 1,): query i has the rows from ``starts[i]`` to before ``starts[i + 1]``.
    owner
        intp (m,): the query of each row.
    symmetries
        Of each row.
    descriptors
        float16 (m, d).
    kept
        uint8 (m, b); None where nothing but descriptors is compared.
    """

    def __init__(self, queries: Sequence[Query], relation: Relation) -> None:
        compared = [query.compared for query in queries]
        rows = list(chain.from_iterable(compared))
        self.starts: NDArray[np.intp] = np.cumsum([0, *map(len, compared)])
        self.owner: NDArray[np.intp] = np.repeat(np.arange(len(queries)), np.diff(self.starts))
        self.symmetries = [row.symmetry for row in rows]
        self.descriptors: Descriptors = np.stack([row.descriptor for row in rows])
        self.kept = stacked_kept((row.kept for row in rows), relation.parts)
        self._relation = relation

    @property
    def has_variants(self) -> bool:
        """Whether there are more rows than queries."""
        return len(self.owner) >= len(self.starts)

    @property
    def own(self) -> "NDArray[np.intp] | slice":
        """Which rows are the queries as they came."""
        return self.starts[:-1] if self.has_variants else slice(None)

    def alike(self, l2: NDArray[np.float64], first_row: int, kept: Kept | None) -> Iterator[_Alike]:
        """Iterate over the pairs that are alike, query by query.

        Within a query they come in the order of the columns; in a column, that of the query as it came goes first.

        Parameters
        ----------
        l2
            float64 (m - first_row, n): the rows' distances to some others.
        first_row
            First of the rows.
        kept
            uint8 (n, b), of the others; None where nothing but descriptors is compared.
        """
        rows, columns = np.nonzero(l2 <= self._relation.radius)
        order = np.lexsort((rows, columns, self.owner[first_row + rows]))
        rows, columns = rows[order], columns[order]
        found = self._relation.check(
            self.kept,
            first_row + rows,
            None if kept is None else kept[columns],
            l2[rows, columns],
        )
        near = zip(rows.tolist(), columns.tolist(), l2[rows, columns].tolist(), found.allowed.tolist(), strict=True)
        for pair, (row, column, l2_distance, allowed) in enumerate(near):
            if allowed:
                symmetry = found.symmetry(pair, self.symmetries[first_row + row])
                yield _Alike(first_row + row, column, l2_distance, found.local_change(pair), symmetry, found.look(pair))


class Batch:
    """Queries with the members that each duplicates, kept up to date until all are committed.

    Parameters
    ----------
    queries
        At least one.
    view
        This process's view of the generation; it follows events before the batch does.
    meta
        Of the generation.
    retention
        Which members count for an image.
    own_cell_only
        Compare only with members of the image's own cell, as the article does; misses duplicates across the border.
    """

    def __init__(
        self,
        queries: Sequence[Query],
        view: GenerationView,
        meta: IndexMeta,
        retention: Retention = FOR_EVER,
        *,
        own_cell_only: bool = False,
    ) -> None:
        self._queries = queries
        self._view = view
        self._meta = meta
        self._retention = retention
        self._own_cell_only = own_cell_only
        self._compared = _Compared(queries, meta.relation)
        own = self._compared.own
        sketches = view.sketch(self._compared.descriptors)
        self._all_sketches = sketches
        self._descriptors: Descriptors = self._compared.descriptors[own]
        self._sketches = sketches[own]
        self._apart: NDArray[np.float64] = np.empty((0, 0))
        self._ahead_alike = self._compare_within()
        self._hits = self._find(0)
        self._cells: NDArray[np.intp] = np.zeros(len(queries), dtype=np.intp)
        self._cells_known = False
        self._drafts: dict[int, Draft] = {}
        self._in_cell: dict[int, tuple[int, int, float | None]] = {}

    def _compare_within(self) -> list[dict[int, _Alike]]:
        """Return for each query the earlier ones of the batch that it would be a duplicate of."""
        compared = self._compared
        l2 = l2_distances(compared.descriptors, self._descriptors)
        self._apart = l2[compared.own]
        # What is compared is the later image's: only the earlier ones are columns that count.
        to_earlier = np.where(np.arange(len(self._queries)) < compared.owner[:, np.newaxis], l2, np.inf)
        kept = None if compared.kept is None else compared.kept[compared.own]
        alike: list[dict[int, _Alike]] = [{} for _ in self._queries]
        for found in compared.alike(to_earlier, 0, kept):
            matches, earlier = alike[compared.owner[found.row]], found.column
            if earlier not in matches or found.l2_distance < matches[earlier].l2_distance:
                matches[earlier] = found
        return alike

    def _find(self, first: int) -> list[list[Hit]]:
        """Return what each query from `first` on is a duplicate of, members known earlier first."""
        compared = self._compared
        start = compared.starts[first]
        kept = None if compared.kept is None else compared.kept[start:]
        descriptors, sketches = compared.descriptors[start:], self._all_sketches[start:]
        found = self._view.within(descriptors, sketches, kept)
        if not compared.has_variants:
            return found
        hits: list[list[Hit]] = [[] for _ in self._queries[first:]]
        for row, theirs in enumerate(found, start=int(start)):
            own = compared.symmetries[row]
            hits[compared.owner[row] - first] += [
                replace(hit, symmetry=own) if hit.symmetry is Symmetry.NONE else hit for hit in theirs
            ]
        return [sorted(theirs, key=attrgetter("slot")) for theirs in hits]

    @cached_property
    def roots(self) -> list[bytes]:
        """Which k-means cells can hold a member that matters to each query, as `commit.lua` reads them."""
        reachable = self._view.tree.reachable_roots(self._compared.descriptors, self._meta.radius)
        if self._compared.has_variants:
            reachable = np.logical_or.reduceat(reachable, self._compared.starts[:-1])
        return bitmaps(reachable)

    def follow(self, events: LogEvents, first: int) -> None:
        """Compare the queries from `first` on with what is new."""
        if not events.only_append:
            self._cells_known = False
            self._in_cell.clear()
            self._hits[first:] = self._find(first)
            return
        if not len(events) or first == len(self._queries):
            return
        compared, start = self._compared, int(self._compared.starts[first])
        parts = self._meta.relation.parts
        records, rows = events.records(self._meta.dimension, parts)
        l2 = l2_distances(compared.descriptors[start:], rows)
        kept = records.kept(parts) if parts else None
        for found in compared.alike(l2, start, kept):
            cell, head = int(events.cells[found.column]), records.head(found.column)
            told = found.local_change, found.symmetry, found.look
            self._hits[compared.owner[found.row]].append(Hit(found.l2_distance, head, cell, _LATEST, *told))

    def draft(self, first: int) -> list[Draft]:
        """Decide the queries from `first` on, in order; one that is unique counts for those after it."""
        if not self._cells_known:
            self._cells[first:] = self._view.tree.homes(self._descriptors[first:], self._sketches[first:])
            self._cells_known = True
        first_of: dict[str, int] = {}
        for number, query in enumerate(self._queries[first:], start=first):
            first_of.setdefault(query.key, number)
        matches: dict[int, _Match | None] = {}
        members: list[int] = []
        for number in first_of.values():
            known = self._is_member(number)
            matches[number] = None if known else self._match(number, members)
            if matches[number] is None and not known:
                members.append(number)
        nearest = self._nearest([number for number, match in matches.items() if match is None], members)
        drafts = {
            number: self._draft(number, match, nearest.get(number), becomes_member=number in members)
            for number, match in matches.items()
        }
        # A message that is twice in one batch gets one answer: the script has recorded it before the second.
        return [
            drafts[first_of[query.key]]
            if first_of[query.key] == number
            else replace(drafts[first_of[query.key]], becomes_member=False)
            for number, query in enumerate(self._queries[first:], start=first)
        ]

    def _draft(self, number: int, match: "_Match | None", nearest: float | None, *, becomes_member: bool) -> Draft:
        cell, generation = int(self._cells[number]), self._meta.generation
        unique = Decision(Verdict.UNIQUE, None, nearest, cell, generation)
        decision = match.decision(cell, generation) if match else unique
        made = Draft(self._queries[number], cell, self._view.tree.root_of(cell), decision, becomes_member)
        # One that is tried again mostly says the same, and is encoded already.
        if not self._drafts.setdefault(number, made).says_as(made):
            self._drafts[number] = made
        return self._drafts[number]

    def _is_member(self, number: int) -> bool:
        own = self._queries[number].key.encode()
        return any(head_key(hit.head) == own for hit in self._hits[number])

    def slots_of(self, number: int, key: str) -> Slots:
        """Return the slot of a member that a query is a duplicate of."""
        return np.array([hit.slot for hit in self._hits[number] if head_key(hit.head) == key.encode()], dtype=np.int32)

    def _match(self, number: int, members: Sequence[int]) -> "_Match | None":
        """Return the nearest member that is alike, of the index or of the batch; the first one of equally near ones."""
        cell, best = self._cells[number], None
        for hit in self._hits[number]:
            is_nearer = best is None or hit.l2_distance < best.l2_distance
            if is_nearer and (not self._own_cell_only or hit.cell == cell):
                key, image_id, captured_at_ms = decode_head(hit.head)
                if self.counts(number, key, captured_at_ms):
                    best = _Match(hit, image_id, Origin(key, captured_at_ms))
        # Those before the first draft are committed by now; any that became a member is among the hits.
        for earlier, found in self._ahead_alike[number].items():
            is_nearer = best is None or found.l2_distance < best.l2_distance
            if is_nearer and earlier in members and (not self._own_cell_only or self._cells[earlier] == cell):
                query = self._queries[earlier]
                if self.counts(number, query.key, query.captured_at_ms):
                    best = _Match(found, query.image_id, Origin(query.key, query.captured_at_ms))
        return best

    def counts(self, number: int, key: str, captured_at_ms: int) -> bool:
        """Return whether a member counts for a query: it is another, and not too old."""
        query = self._queries[number]
        return key != query.key and self._retention.counts(captured_at_ms, query.captured_at_ms)

    def _nearest(self, uniques: Sequence[int], members: Sequence[int]) -> dict[int, float | None]:
        """Return the distance of each to the nearest member of its own cell, else of the nearest cell that has any.

        Members of the batch's own count for those after them.
        """
        ours, theirs = np.array(uniques, dtype=np.intp)[:, np.newaxis], np.array(members, dtype=np.intp)
        counts = theirs < ours
        if self._retention.window_ms is not None:
            times_ms = [query.captured_at_ms for query in self._queries]
            in_time = [self._retention.counts(times_ms[one], times_ms[our]) for our in uniques for one in members]
            counts &= np.array(in_time, dtype=np.bool_).reshape(counts.shape)
        apart = np.where(counts, self._apart[ours, theirs], np.inf)
        anywhere = apart.min(axis=1, initial=np.inf).tolist()
        apart[self._cells[ours] != self._cells[theirs]] = np.inf
        here = apart.min(axis=1, initial=np.inf).tolist()
        nearest = {}
        for number, ahead, in_cell, batch in zip(uniques, here, self._nearest_in_cells(uniques), anywhere, strict=True):
            l2_distance = _least(ahead, in_cell)
            if l2_distance is None:
                elsewhere = self._view.nearest_elsewhere(self._descriptors[number], self._selection(number))
                l2_distance = _least(batch, elsewhere)
            nearest[number] = l2_distance
        return nearest

    def _nearest_in_cells(self, numbers: Sequence[int]) -> list[float | None]:
        """Return the distance of each to the nearest member of its cell; when tried again it looks at what is new."""
        cells = self._cells.tolist()
        selected = {number: counts for number in numbers if (counts := self._selection(number))}
        found = {
            number: self._view.nearest_in(cells[number], self._descriptors[number], counts)
            for number, counts in selected.items()
        }
        others = [number for number in numbers if number not in selected]
        known = {number: self._in_cell.get(number, (cells[number], 0, None)) for number in others}
        places = [(cells[number], known[number][1] if known[number][0] == cells[number] else 0) for number in others]
        new = self._view.nearest_of_each(self._descriptors[others], places)
        for number, (cell, start), l2_distance in zip(others, places, new, strict=True):
            found[number] = _least(l2_distance, known[number][2] if start else None)
            self._in_cell[number] = (cell, self._view.size_of(cell), found[number])
        return [found[number] for number in numbers]

    def _selection(self, number: int) -> HeadCounts | None:
        """Return which members count for a query; None where all do, which is nearly always so."""
        if self._retention.window_ms is None and not self._is_member(number):
            return None

        def counts(head: bytes) -> bool:
            key, _, captured_at_ms = decode_head(head)
            return self.counts(number, key, captured_at_ms)

        return counts


def _least(*l2_distances: float | None) -> float | None:
    """Return the least of these; None where there is none."""
    found = [l2_distance for l2_distance in l2_distances if l2_distance is not None and l2_distance < np.inf]
    return min(found, default=None)


@dataclass(frozen=True, slots=True)
class _Match:
    """What an image duplicates, and how the two differ."""

    found: "Hit | _Alike"
    image_id: str
    origin: Origin

    @property
    def l2_distance(self) -> float:
        return self.found.l2_distance

    def decision(self, cell: int, generation: int) -> Decision:
        """Return the decision that an image of this cell is a duplicate."""
        return Decision(
            verdict=Verdict.DUPLICATE,
            duplicate_of=self.image_id,
            l2_distance=self.l2_distance,
            cluster=cell,
            generation=generation,
            local_change=self.found.local_change,
            symmetry=self.found.symmetry,
            origin=self.origin,
            look=self.found.look,
        )
