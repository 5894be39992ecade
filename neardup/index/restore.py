"""The previous generation of an index on its way back: what is appended to it, and what leaves it, before that."""

import sys
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import redis

from neardup.errors import Misconfigured
from neardup.index.base import IndexMeta
from neardup.index.batch import Batch, Draft
from neardup.index.block import member_of
from neardup.index.live import Live, count_events, read_splits
from neardup.index.retention import Retention
from neardup.index.stored.codec import encode_member, head_key, split_record
from neardup.index.stored.connection import translated_errors
from neardup.index.stored.events import Appended, encode_appended
from neardup.index.stored.keys import IndexKeys
from neardup.index.stored.log import LogEvents
from neardup.index.stored.scripts import Placed, load_script
from neardup.index.tree import CellTree
from neardup.index.view import GenerationView
from neardup.relation.kept import narrowed
from neardup.types import Member, Query

_BATCH = 256


class RestoredGeneration:
    """The previous generation, with what is appended to it before it is live again.

    Parameters
    ----------
    client
        From `neardup.index.stored.connection.connect`.
    live
        Of the generation that is live now.
    head
        Of this one.
    retention
        Which members count for an image.
    removed
        Keys of what was removed on request: members that have one leave.

    Attributes
    ----------
    members
        Keys of its members, those to be appended among them.
    leaving
        Its members that may not come back.

    Raises
    ------
    CorruptIndex, RedisUnavailable
        It cannot be read.
    """

    def __init__(
        self, client: redis.Redis, live: IndexMeta, head: Live, retention: Retention, removed: Collection[bytes]
    ) -> None:
        self._client: Any = client
        self._keys = IndexKeys(live.name)
        self._live = live
        self._meta = head.meta
        self._retention = retention
        self._removed = removed
        self.members: dict[str, None] = {}
        self.leaving: list[Placed] = []
        self._tree = tree = CellTree(head.roots)
        for split in read_splits(client, head):
            tree.apply(split)
        self._events = sum(count_events(client, head))
        # All records stay in memory: those that are still to be appended cannot be read again.
        self._view = GenerationView(tree, head.sketcher, head.meta.relation, self._read_cells, sys.maxsize)
        self._view.load(tree.leaves)
        self._drafts: list[Draft] = []

    def _read_cells(self, cells: Sequence[int]) -> list[list[bytes]]:
        with translated_errors():
            pipeline = self._client.pipeline(transaction=False)
            for cell in cells:
                pipeline.lrange(self._keys.cell(self._meta.generation, cell), 0, -1)
            found: list[list[bytes]] = pipeline.execute()
        return [self._staying(cell, records) for cell, records in zip(cells, found, strict=True)]

    def _staying(self, cell: int, records: Sequence[bytes]) -> list[bytes]:
        staying = []
        for record in records:
            key = head_key(split_record(record, self._meta.dimension)[0])
            if key in self._removed:
                self.leaving.append(Placed(key, cell, self._tree.root_of(cell), record))
            else:
                self.members[key.decode()] = None
                staying.append(record)
        return staying

    def judge(self, members: Sequence[Member]) -> int:
        """Find out, in order, which of these become members here, and return how many; the others are alike to one."""
        before = len(self.members)
        for start in range(0, len(members), _BATCH):
            self._judge(members[start : start + _BATCH])
        return len(self.members) - before

    def _judge(self, members: Sequence[Member]) -> None:
        batch = Batch([self._query(member) for member in members], self._view, self._meta, self._retention)
        drafts = [draft for draft in batch.draft(0) if draft.becomes_member]
        self._follow(drafts)
        self.members |= dict.fromkeys(draft.query.key for draft in drafts)
        self._drafts += drafts

    def _follow(self, drafts: Sequence[Draft]) -> None:
        """Take what is to be appended for members, so that the next batch is compared with it."""
        sizes: Counter[int] = Counter({draft.cell: self._view.size_of(draft.cell) for draft in drafts})
        events = []
        for draft in drafts:
            record = encode_member(member_of(draft.query))
            events.append(encode_appended(Appended(draft.cell, draft.root, sizes[draft.cell], record)))
            sizes[draft.cell] += 1
        self._view.apply(LogEvents(events))

    def _query(self, member: Member) -> Query:
        kept = narrowed(member.kept, self._meta.relation.parts)
        return Query(member.key, member.image_id, member.descriptor, member.captured_at_ms, kept)

    def append(self) -> None:
        """Write what was judged to be members, batch by batch.

        Raises
        ------
        Misconfigured
            It is no longer the previous generation of the one that was live.
        RedisUnavailable
            Redis does not answer.
        """
        script = load_script(self._client, "keep.lua", "restore.lua")
        generation = self._meta.generation
        head = [self._keys.live, self._keys.previous, self._keys.log(generation), self._keys.trimmed(generation)]
        while self._drafts:
            items = [draft.item() for draft in self._drafts[:_BATCH]]
            keys = [*head, *(self._keys.cell(generation, item.cell) for item in items)]
            records = [part for item in items for part in (item.record, item.place)]
            with translated_errors():
                done = script(keys=keys, args=[self._live.generation, generation, self._events, *records])
            if not done:
                raise Misconfigured(f"index {self._live.name!r}: {overtaken(generation)}")
            self._events += len(items)
            del self._drafts[:_BATCH]


def overtaken(generation: int) -> str:
    """Return why a generation cannot be restored any more."""
    return f"a bootstrap, a rollback or the end of its time came first, and generation {generation} stays what it is"
