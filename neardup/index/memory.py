"""The index in memory: brute force, and thus the reference for every other index."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np

from neardup.descriptors.pca import Pca
from neardup.index.base import IndexMeta, IndexStats, decision_of, require_fit
from neardup.index.block import MemberBlock, member_of
from neardup.index.retention import FOR_EVER, Retention
from neardup.search.cells import Cells
from neardup.types import Decision, Match, Member, Query, Variant, Verdict


class MemoryIndex:
    """Compares each image with every member.

    Parameters
    ----------
    meta
        What the index is made for.
    cells
        Centroids, only to name an image's cluster; None leaves it out.
    members
        What the index starts with.
    retention
        How long a member counts. It stays here all the same, and is still there for an image that is late beyond the
        grace, or of unknown time.
    """

    def __init__(
        self,
        meta: IndexMeta,
        cells: Cells | None = None,
        members: Sequence[Member] = (),
        retention: Retention = FOR_EVER,
    ) -> None:
        self.meta = meta
        self._retention = retention
        self._cells = cells
        self._block = MemberBlock(meta.dimension)
        self._decided: dict[str, Decision] = {}
        for member in members:
            self._block.append(member)

    def decide(self, queries: Sequence[Query]) -> list[Decision]:
        """Decide a batch; see `Index.decide`."""
        require_fit(queries, self.meta.relation)
        new = [query for query in queries if query.key not in self._decided]
        self._block.look_ahead([variant.descriptor for query in new for variant in query.compared])
        return [self._decide_one(query) for query in queries]

    def add(self, member: Member) -> None:
        """Add a member, however near it is to others."""
        self._block.append(member)

    def _decide_one(self, query: Query) -> Decision:
        if query.key not in self._decided:
            self._decided[query.key] = self._compare(query)
        return self._decided[query.key]

    def _compare(self, query: Query) -> Decision:
        known = query.key in self._block
        # What is a member already stays one, whatever its variants are near by now.
        match = self._alike(query) if self._has_more_than_radius(query) and not known else None
        match = match or self._nearest(query)
        decision = decision_of(match, self.meta, self._cluster_of(query), known=known)
        if decision.verdict is Verdict.UNIQUE and not known:
            self._block.append(member_of(query))
        return decision

    def _has_more_than_radius(self, query: Query) -> bool:
        return bool(query.variants or self.meta.relation.parts)

    def _alike(self, query: Query) -> Match | None:
        """Return the nearest member that the query duplicates; on a tie the first, and of it the image as it came."""
        found = [
            (match.l2_distance, place, order, match)
            for order, variant in enumerate(query.compared)
            for place, near in self._block.within(variant.descriptor, self.meta.radius)
            if self._counts(near.member, query)
            and (match := self._measured(near, variant))
            and self.meta.relation.allows(match.local_change, match.look)
        ]
        return min(found, key=itemgetter(0, 1, 2))[-1] if found else None

    def _nearest(self, query: Query) -> Match | None:
        match = self._block.nearest(query.descriptor, lambda member: self._counts(member, query))
        return self._measured(match, query.compared[0]) if match else None

    def _measured(self, match: Match, variant: Variant) -> Match:
        found = self.meta.relation.check_one(variant.kept, match.member.kept, match.l2_distance)
        return replace(
            match, local_change=found.local_change(0), symmetry=found.symmetry(0, variant.symmetry), look=found.look(0)
        )

    def _counts(self, member: Member, query: Query) -> bool:
        return member.key != query.key and self._retention.counts(member.captured_at_ms, query.captured_at_ms)

    def _cluster_of(self, query: Query) -> int | None:
        return int(self._cells.assign(query.descriptor[np.newaxis])[0]) if self._cells else None

    def members(self) -> Iterator[Member]:
        """Iterate over all members, cell by cell, in insertion order within each."""
        members = list(self._block)
        if self._cells is None:
            return iter(members)
        by_cell = np.argsort(self._cells.assign(self._block.descriptors), kind="stable")
        return iter([members[row] for row in by_cell])

    def pca(self) -> Pca | None:
        """Return None: its descriptors are not shortened."""
        return None

    def stats(self) -> IndexStats:
        """Return the sizes."""
        return IndexStats(
            members=len(self._block),
            clusters=len(self._cells) if self._cells else 0,
            cluster_sizes=self._cluster_sizes(),
            cache_bytes=self._block.nbytes,
            retries=0,
        )

    def _cluster_sizes(self) -> tuple[int, ...]:
        if self._cells is None:
            return ()
        assigned = self._cells.assign(self._block.descriptors)
        return tuple(np.bincount(assigned, minlength=len(self._cells)).tolist())
