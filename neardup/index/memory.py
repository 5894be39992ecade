"""The index in memory: brute force, and so the executable specification of every other index."""

from collections.abc import Iterator, Sequence

import numpy as np

from neardup.cells import Cells
from neardup.index.base import IndexMeta, IndexStats, decision_of
from neardup.index.block import MemberBlock, member_of
from neardup.index.retention import FOR_EVER, Retention
from neardup.types import Decision, Member, Query, Verdict


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
        How long a member counts; it stays here all the same.
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
        return [self._decide_one(query) for query in queries]

    def _decide_one(self, query: Query) -> Decision:
        if query.key not in self._decided:
            self._decided[query.key] = self._compare(query)
        return self._decided[query.key]

    def _compare(self, query: Query) -> Decision:
        known = query.key in self._block
        match = self._block.nearest(query.descriptor, lambda member: self._counts(member, query))
        decision = decision_of(match, self.meta, self._cluster_of(query), known=known)
        if decision.verdict is Verdict.UNIQUE and not known:
            self._block.append(member_of(query))
        return decision

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
