"""One batch on its way to a commit: what each image was compared with, and what follows from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from neardup.distance import l2_distances, squared_l2_distances
from neardup.index.base import IndexMeta
from neardup.index.block import member_of
from neardup.index.codec import decode_head, encode_decision, encode_member, head_key, split_record
from neardup.index.events import PLACE, Appended, Event
from neardup.index.retention import FOR_EVER, Retention
from neardup.index.scripts import Item
from neardup.index.tree import bitmaps
from neardup.index.view import GenerationView, HeadCounts, Hit
from neardup.types import Decision, Query, Verdict


@dataclass(frozen=True, slots=True)
class Draft:
    """A decision as it would be if nobody else were there."""

    query: Query
    cell: int
    root: int
    decision: Decision
    becomes_member: bool
    roots: bytes

    def item(self, *, tell_roots: bool) -> Item:
        """Return what the commit is told; without the roots any news makes it stale, which is rarely so."""
        return Item(
            key=self.query.key,
            cell=self.cell,
            decision=encode_decision(self.decision),
            record=encode_member(member_of(self.query)) if self.becomes_member else b"",
            place=PLACE.pack(self.cell, self.root),
            roots=self.roots if tell_roots else b"",
        )


class Batch:
    """Queries with the members within the radius of each, kept up to date until all are committed.

    Parameters
    ----------
    queries
        At least one.
    view
        What is known of the generation; it follows the events before the batch does.
    meta
        Of the generation.
    retention
        Which members count for an image.
    own_cell_only
        Compare with members of the image's own cell, as the article does, and miss those across the border.
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
        self._descriptors = np.stack([query.descriptor for query in queries])
        self._sketches = view.sketch(self._descriptors)
        # Exact, so symmetric to the bit: see `neardup.distance`.
        self._apart = np.sqrt(squared_l2_distances(self._descriptors, self._descriptors))
        self._hits = view.within(self._descriptors, self._sketches)
        self._in_cell: dict[int, tuple[int, int, float | None]] = {}
        self._roots = bitmaps(view.tree.reachable_roots(self._descriptors, meta.radius))

    def follow(self, events: Sequence[Event], first: int) -> None:
        """Compare the queries from `first` on with what is new."""
        if not all(isinstance(event, Appended) for event in events):
            self._in_cell.clear()
            self._hits[first:] = self._view.within(self._descriptors[first:], self._sketches[first:])
            return
        appended = [event for event in events if isinstance(event, Appended)]
        if not appended or first == len(self._queries):
            return
        heads, rows = zip(*(split_record(event.record, self._meta.dimension) for event in appended), strict=True)
        distances = l2_distances(self._descriptors[first:], np.stack(rows))
        for query, new in zip(*np.nonzero(distances <= self._meta.radius), strict=True):
            hit = Hit(float(distances[query, new]), heads[new], appended[new].cell)
            self._hits[first + int(query)].append(hit)

    def draft(self, first: int) -> list[Draft]:
        """Decide the queries from `first` on, in order; one that is unique counts for those after it."""
        cells = self._view.tree.homes(self._descriptors[first:], self._sketches[first:])
        drafts: list[Draft] = []
        by_key: dict[str, Draft] = {}
        for number, cell in enumerate(cells, start=first):
            same = by_key.get(self._queries[number].key)
            # The same message twice in one batch gets one answer: the script has it recorded when the second comes.
            draft = replace(same, becomes_member=False) if same else self._draft_one(number, cell, first, drafts)
            by_key.setdefault(draft.query.key, draft)
            drafts.append(draft)
        return drafts

    def _draft_one(self, number: int, cell: int, first: int, ahead: Sequence[Draft]) -> Draft:
        query = self._queries[number]
        known = self._is_member(number)
        match = None if known else self._match(number, cell, first, ahead)
        if match:
            decision = self._decision(Verdict.DUPLICATE, match.l2_distance, cell, match.image_id)
        else:
            nearest = self._nearest(number, cell, first, ahead)
            decision = self._decision(Verdict.UNIQUE, nearest, cell)
        root = self._view.tree.root_of(cell)
        return Draft(query, cell, root, decision, match is None and not known, self._roots[number])

    def _is_member(self, number: int) -> bool:
        own = self._queries[number].key.encode()
        return any(head_key(hit.head) == own for hit in self._hits[number])

    def _decision(
        self, verdict: Verdict, l2_distance: float | None, cell: int, duplicate_of: str | None = None
    ) -> Decision:
        return Decision(verdict, duplicate_of, l2_distance, cell, self._meta.generation)

    def _match(self, number: int, cell: int, first: int, ahead: Sequence[Draft]) -> "_Match | None":
        """Return the nearest member within the radius, one of the batch's own among them."""
        query = self._queries[number]
        matches = [
            _Match(hit.l2_distance, decode_head(hit.head)[1])
            for hit in self._hits[number]
            if self._counts(hit.head, query) and (not self._own_cell_only or hit.cell == cell)
        ]
        matches += [
            _Match(l2_distance, draft.query.image_id)
            for draft, l2_distance in self._ahead(number, first, ahead)
            if l2_distance <= self._meta.radius and (not self._own_cell_only or draft.cell == cell)
        ]
        return min(matches, key=lambda match: match.l2_distance, default=None)

    def _ahead(self, number: int, first: int, ahead: Sequence[Draft]) -> Iterator[tuple[Draft, float]]:
        image_ms = self._queries[number].captured_at_ms
        for offset, draft in enumerate(ahead):
            if draft.becomes_member and self._retention.counts(draft.query.captured_at_ms, image_ms):
                yield draft, float(self._apart[number, first + offset])

    def _counts(self, head: bytes, query: Query) -> bool:
        key, _, captured_at_ms = decode_head(head)
        return key != query.key and self._retention.counts(captured_at_ms, query.captured_at_ms)

    def _nearest(self, number: int, cell: int, first: int, ahead: Sequence[Draft]) -> float | None:
        """Return the distance to the nearest member of the image's own cell, else of the nearest cell that has any."""
        query = self._queries[number]
        # Every member of the cell counts for nearly every image: then none is asked.
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
