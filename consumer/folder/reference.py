"""An index in memory that takes every image of a reference as a member, however alike these are."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from consumer.folder.messages import REFERENCE
from neardup.descriptors.pca import Pca
from neardup.index.base import IndexMeta, IndexStats, require_fit
from neardup.index.block import member_of
from neardup.index.memory import MemoryIndex
from neardup.types import Decision, Member, Query, Verdict


class ReferenceIndex:
    """Decides as an index in memory does, but for images of the reference, which are all unique.

    Else an image might be near one of them that is no member, as it duplicates another, and be missed.

    Parameters
    ----------
    index
        What decides.
    """

    def __init__(self, index: MemoryIndex) -> None:
        self._index = index

    @property
    def meta(self) -> IndexMeta:
        """What the index is made for."""
        return self._index.meta

    def decide(self, queries: Sequence[Query]) -> list[Decision]:
        """Decide a batch, in order; see `Index.decide`."""
        require_fit(queries, self.meta.relation)
        decisions: list[Decision] = []
        for is_reference, group in groupby(queries, lambda query: query.key.startswith(REFERENCE)):
            some = list(group)
            decisions += map(self._take, some) if is_reference else self._index.decide(some)
        return decisions

    def _take(self, query: Query) -> Decision:
        self._index.add(member_of(query))
        return Decision(Verdict.UNIQUE, None, None, None, self.meta.generation)

    def members(self) -> Iterator[Member]:
        """Iterate over all members."""
        return self._index.members()

    def pca(self) -> Pca | None:
        """Return None: its descriptors are not shortened."""
        return self._index.pca()

    def stats(self) -> IndexStats:
        """Return the sizes."""
        return self._index.stats()
