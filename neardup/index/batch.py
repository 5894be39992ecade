"""One batch on its way to a commit: what each image is compared with, and the decision."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
from neardup.index.stored.events import PLACE, Appended, Event
from neardup.index.stored.records import read_records
from neardup.index.stored.scripts import Item
from neardup.index.tree import bitmaps
from neardup.index.view import GenerationView, HeadCounts, Hit
from neardup.relation.kept import stacked_kept
from neardup.relation.rule import Relation, of_parts
from neardup.search.distance import l2_distances
from neardup.types import Decision, Descriptors, Kept, Look, Origin, Query, Symmetry, Verdict

_LATEST = 2**31
"""Slot of what the view did not find."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A decision that holds unless another process commits first."""

    query: Query
    cell: int
    root: int
    decision: Decision
    becomes_member: bool
    roots: bytes

    def item(self, *, with_roots: bool) -> Item:
        """Return the item to commit; without the roots any news makes it stale, which is rare."""
        return Item(
            key=self.query.key,
            cell=self.cell,
            decision=encode_decision(self.decision),
            record=encode_member(member_of(self.query)) if self.becomes_member else b"",
            place=PLACE.pack(self.cell, self.root),
            roots=self.roots if with_roots else b"",
        )


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
    of_part
        bool (m,): whether the descriptor is that of a part.
    """

    def __init__(self, queries: Sequence[Query], relation: Relation) -> None:
        compared = [query.compared for query in queries]
        rows = list(chain.from_iterable(compared))
        self.starts: NDArray[np.intp] = np.cumsum([0, *map(len, compared)])
        self.owner: NDArray[np.intp] = np.repeat(np.arange(len(queries)), np.diff(self.starts))
        self.symmetries = [row.symmetry for row in rows]
        self.of_part = of_parts(rows)
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
            of_part=self.of_part[first_row + rows],
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
        self._in_cell: dict[int, tuple[int, int, float | None]] = {}
        reachable = view.tree.reachable_roots(self._compared.descriptors, meta.radius)
        if self._compared.has_variants:
            reachable = np.logical_or.reduceat(reachable, self._compared.starts[:-1])
        self._roots = bitmaps(reachable)

    def _compare_within(self) -> list[dict[int, "_Match"]]:
        """Return for each query the earlier ones of the batch that it would be a duplicate of."""
        compared = self._compared
        l2 = l2_distances(compared.descriptors, self._descriptors)
        self._apart = l2[compared.own]
        # What is compared is the later image's: only the earlier ones are columns that count.
        to_earlier = np.where(np.arange(len(self._queries)) < compared.owner[:, np.newaxis], l2, np.inf)
        kept = None if compared.kept is None else compared.kept[compared.own]
        alike: list[dict[int, _Match]] = [{} for _ in self._queries]
        for found in compared.alike(to_earlier, 0, kept):
            matches, earlier = alike[compared.owner[found.row]], found.column
            if earlier not in matches or found.l2_distance < matches[earlier].l2_distance:
                query = self._queries[earlier]
                origin = Origin(query.key, query.captured_at_ms)
                matches[earlier] = _Match(
                    found.l2_distance, query.image_id, origin, found.local_change, found.symmetry, found.look
                )
        return alike

    def _find(self, first: int) -> list[list[Hit]]:
        """Return what each query from `first` on is a duplicate of, members known earlier first."""
        compared = self._compared
        start = compared.starts[first]
        kept = None if compared.kept is None else compared.kept[start:]
        descriptors, sketches = compared.descriptors[start:], self._all_sketches[start:]
        found = self._view.within(descriptors, sketches, kept, compared.of_part[start:])
        if not compared.has_variants:
            return found
        hits: list[list[Hit]] = [[] for _ in self._queries[first:]]
        for row, theirs in enumerate(found, start=int(start)):
            own = compared.symmetries[row]
            hits[compared.owner[row] - first] += [
                replace(hit, symmetry=own) if hit.symmetry is Symmetry.NONE else hit for hit in theirs
            ]
        return [sorted(theirs, key=attrgetter("slot")) for theirs in hits]

    def follow(self, events: Sequence[Event], first: int) -> None:
        """Compare the queries from `first` on with what is new."""
        if not all(isinstance(event, Appended) for event in events):
            self._in_cell.clear()
            self._hits[first:] = self._find(first)
            return
        appended = [event for event in events if isinstance(event, Appended)]
        if not appended or first == len(self._queries):
            return
        compared, start = self._compared, int(self._compared.starts[first])
        parts = self._meta.relation.parts
        records, rows = read_records([event.record for event in appended], self._meta.dimension, parts)
        l2 = l2_distances(compared.descriptors[start:], rows)
        kept = records.kept(parts) if parts else None
        for found in compared.alike(l2, start, kept):
            cell = appended[found.column].cell
            self._hits[compared.owner[found.row]].append(
                Hit(
                    found.l2_distance,
                    records.head(found.column),
                    cell,
                    _LATEST,
                    found.local_change,
                    found.symmetry,
                    found.look,
                )
            )

    def draft(self, first: int) -> list[Draft]:
        """Decide the queries from `first` on, in order; one that is unique counts for those after it."""
        cells = self._view.tree.homes(self._descriptors[first:], self._sketches[first:])
        drafts: list[Draft] = []
        by_key: dict[str, Draft] = {}
        for number, cell in enumerate(cells, start=first):
            same = by_key.get(self._queries[number].key)
            # A message that is twice in one batch gets one answer: the script has recorded it before the second.
            draft = replace(same, becomes_member=False) if same else self._draft_one(number, cell, first, drafts)
            by_key.setdefault(draft.query.key, draft)
            drafts.append(draft)
        return drafts

    def _draft_one(self, number: int, cell: int, first: int, ahead: Sequence[Draft]) -> Draft:
        query = self._queries[number]
        known = self._is_member(number)
        match = None if known else self._match(number, cell, first, ahead)
        if match:
            decision = match.decision(cell, self._meta.generation)
        else:
            nearest = self._nearest(number, cell, first, ahead)
            decision = Decision(Verdict.UNIQUE, None, nearest, cell, self._meta.generation)
        root = self._view.tree.root_of(cell)
        return Draft(query, cell, root, decision, match is None and not known, self._roots[number])

    def _is_member(self, number: int) -> bool:
        own = self._queries[number].key.encode()
        return any(head_key(hit.head) == own for hit in self._hits[number])

    def _match(self, number: int, cell: int, first: int, ahead: Sequence[Draft]) -> "_Match | None":
        """Return the nearest member that is alike, one of the batch's own among them."""
        query = self._queries[number]
        matches = [
            _match_of(hit)
            for hit in self._hits[number]
            if self._counts(hit.head, query) and (not self._own_cell_only or hit.cell == cell)
        ]
        for earlier, match in self._ahead_alike[number].items():
            # Those before `first` are committed by now; any that became a member is among the hits.
            draft = ahead[earlier - first] if earlier >= first else None
            if draft and self._counts_ahead(draft, query) and (not self._own_cell_only or draft.cell == cell):
                matches.append(match)
        return min(matches, key=attrgetter("l2_distance"), default=None)

    def _counts_ahead(self, draft: Draft, query: Query) -> bool:
        return draft.becomes_member and self._retention.counts(draft.query.captured_at_ms, query.captured_at_ms)

    def _ahead(self, number: int, first: int, ahead: Sequence[Draft]) -> Iterator[tuple[Draft, float]]:
        for offset, draft in enumerate(ahead):
            if self._counts_ahead(draft, self._queries[number]):
                yield draft, float(self._apart[number, first + offset])

    def _counts(self, head: bytes, query: Query) -> bool:
        key, _, captured_at_ms = decode_head(head)
        return key != query.key and self._retention.counts(captured_at_ms, query.captured_at_ms)

    def _nearest(self, number: int, cell: int, first: int, ahead: Sequence[Draft]) -> float | None:
        """Return the distance to the nearest member of the image's own cell, else of the nearest cell that has any."""
        query = self._queries[number]
        # Nearly always every member of the cell counts: then skip the check.
        selective = self._retention.window_ms is not None or self._is_member(number)
        counts = partial(self._counts, query=query) if selective else None
        candidates = [l2_distance for draft, l2_distance in self._ahead(number, first, ahead) if draft.cell == cell]
        in_cell = self._nearest_in_cell(number, cell, counts)
        if in_cell is not None:
            candidates.append(in_cell)
        if not candidates:
            candidates = [l2_distance for _, l2_distance in self._ahead(number, first, ahead)]
            elsewhere = self._view.nearest_elsewhere(self._descriptors[number], counts)
            candidates += [] if elsewhere is None else [elsewhere]
        return min(candidates, default=None)

    def _nearest_in_cell(self, number: int, cell: int, counts: HeadCounts | None) -> float | None:
        """Return `GenerationView.nearest_in`; when a commit is tried again, compare with what is new in the cell."""
        descriptor, size = self._descriptors[number], self._view.size_of(cell)
        if counts is not None:
            return self._view.nearest_in(cell, descriptor, counts)
        known_cell, known_size, nearest = self._in_cell.get(number, (cell, 0, None))
        if known_cell != cell:
            known_size, nearest = 0, None
        if known_size < size:
            new = self._view.nearest_in(cell, descriptor, first=known_size)
            nearest = min((l2_distance for l2_distance in (nearest, new) if l2_distance is not None), default=None)
        self._in_cell[number] = (cell, size, nearest)
        return nearest


@dataclass(frozen=True, slots=True)
class _Match:
    l2_distance: float
    image_id: str
    origin: Origin
    local_change: float | None
    symmetry: Symmetry
    look: Look | None

    def decision(self, cell: int, generation: int) -> Decision:
        """Return the decision that an image of this cell is a duplicate."""
        return Decision(
            verdict=Verdict.DUPLICATE,
            duplicate_of=self.image_id,
            l2_distance=self.l2_distance,
            cluster=cell,
            generation=generation,
            local_change=self.local_change,
            symmetry=self.symmetry,
            origin=self.origin,
            look=self.look,
        )


def _match_of(hit: Hit) -> _Match:
    key, image_id, captured_at_ms = decode_head(hit.head)
    return _Match(hit.l2_distance, image_id, Origin(key, captured_at_ms), hit.local_change, hit.symmetry, hit.look)
