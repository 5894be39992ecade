"""Makes the previous generation of an index live again, or gives it up.

Consumers go on meanwhile. What they added to the newer generation since it went live is looked at first: it is judged
by the relation of the previous one and becomes a member there, unless a member is alike. Then one script makes the
switch, if nothing has happened in the newer one that was not looked at. Only members that another descriptor described,
or that lack the thumbnails that are compared there, cannot be carried: they are counted, and refused unless they may be
lost.
"""

import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import redis

from bootstrap.generation.inheritance import changes, obstacle_to
from neardup.errors import Misconfigured, Unavailable
from neardup.index.base import IndexMeta
from neardup.index.batch import Batch, Draft
from neardup.index.block import member_of
from neardup.index.carry import Predecessor
from neardup.index.live import Live, count_events, find_previous, read_live, read_splits
from neardup.index.retention import FOR_EVER, Retention
from neardup.index.stored.codec import decode_head, encode_member, split_record
from neardup.index.stored.connection import translated_errors
from neardup.index.stored.events import Appended
from neardup.index.stored.generations import (
    as_numbers,
    count_members,
    digests,
    memory_of,
    previous_generation,
    remove_generation,
)
from neardup.index.stored.keys import IndexKeys
from neardup.index.stored.scripts import load_script
from neardup.index.tree import CellTree
from neardup.index.view import GenerationView
from neardup.types import Member, Query

Document = dict[str, Any]

_LOG = logging.getLogger(__name__)
_BATCH = 256
_ROUNDS = 1000
"""Each looks at what came since the one before, which takes milliseconds."""


@dataclass(slots=True)
class _Added:
    """Uniques of the newer generation since it went live, and what becomes of them."""

    carried: int = 0
    duplicates: int = 0
    lost: int = 0

    @property
    def all(self) -> int:
        return self.carried + self.duplicates + self.lost


def rollback(
    client: redis.Redis,
    name: str,
    *,
    keep_ms: int,
    retention: Retention = FOR_EVER,
    allow_dropping: bool = False,
    dry_run: bool = False,
) -> Document:
    """Make the previous generation of an index live again; return what was done.

    Parameters
    ----------
    client
        From `neardup.index.stored.connection.connect`.
    name
        Of the index.
    keep_ms
        How long the generation that is live now is kept as the previous one, in milliseconds; 0 removes it at once.
    retention
        As the consumers' own.
    allow_dropping
        Whether uniques of consumers may be lost.
    dry_run
        Only find out.

    Raises
    ------
    Misconfigured
        There is no such index, or no previous generation, or uniques of consumers would be lost.
    Unavailable
        Run it again: the generation that was live is live, or the switch was made.
    """
    live, before = read_live(client, name), find_previous(client, name)
    if before is None:
        raise Misconfigured(
            f"index {name!r} has no previous generation: it was released, its time has passed, or there never was one"
        )
    rolling = _Rollback(client, live, before, retention)
    rolling.look()
    refusal = "" if allow_dropping else rolling.refusal
    if dry_run:
        return {**rolling.document(dry_run=True), "refusal": refusal}
    if refusal:
        raise Misconfigured(refusal)
    rolling.switch(keep_ms, allow_dropping=allow_dropping)
    document = rolling.document(dry_run=False)
    _LOG.info(
        "index %s: rolled back from generation %d to %d; %d members came back, %d went, of %d added since %d were lost",
        name,
        live.meta.generation,
        before.meta.generation,
        document["back"],
        document["gone"],
        document["added"]["all"],
        document["added"]["lost"],
    )
    return document


class _Rollback:
    """One rollback under way.

    Parameters
    ----------
    client
        The server's.
    live, before
        The heads of the live generation and of the previous one.
    retention
        Which members count for an image.
    """

    def __init__(self, client: redis.Redis, live: Live, before: Live, retention: Retention) -> None:
        self._client: Any = client
        self._keys = IndexKeys(live.meta.name)
        self._live = live.meta
        self._before = before.meta
        relation = before.meta.relation
        self._obstacle = obstacle_to(live.meta, before.meta.fingerprint, with_thumbnails=relation.has_thumbnails)
        self._newer = Predecessor(client, live.meta.name, live.meta)
        self._restored = _Restored(client, live.meta, before, retention)
        with translated_errors():
            known = self._client.get(self._keys.known(live.meta.generation))
        # Where nobody knows, whatever the previous generation lacks may have been added.
        self._known = as_numbers(cast("bytes", known or b""))
        self._own = as_numbers(digests(self._restored.members))
        self._common = 0
        self._gone = 0
        self.added = _Added()

    @property
    def refusal(self) -> str:
        """Why it is refused unless members may be lost; empty if none would be."""
        if not self.added.lost:
            return ""
        return (
            f"index {self._live.name!r}: {self.added.lost} unique images that consumers added to generation "
            f"{self._live.generation} would be lost: generation {self._before.generation} cannot have them, since "
            f"{self._obstacle}. Allow it by --allow-dropping; --dry-run tells more"
        )

    def look(self) -> None:
        """Sort what the newer generation has, and was not looked at yet."""
        members = self._newer.news()
        hashes = as_numbers(digests(member.key for member in members))
        came_with_it = np.isin(hashes, self._known)
        common = np.isin(hashes, self._own)
        self._common += int(common.sum())
        self._gone += int((came_with_it & ~common).sum())
        self.added.carried += int((~came_with_it & common).sum())  # by a rollback that did not get to its end
        since = [members[row] for row in np.flatnonzero(~came_with_it & ~common)]
        if self._obstacle:
            self.added.lost += len(since)
            return
        # As in a bootstrap, of two that are alike by this relation the one captured earlier stays.
        since.sort(key=lambda member: member.captured_at_ms)
        for start in range(0, len(since), _BATCH):
            self._restored.judge(since[start : start + _BATCH], self.added)

    def switch(self, keep_ms: int, *, allow_dropping: bool) -> None:
        """Make the previous generation live.

        Raises
        ------
        Misconfigured
            Another generation is live by now, or consumers added what would be lost.
        """
        script = load_script(self._client, "keep.lua", "rollback.lua")
        old, new = self._live.generation, self._before.generation
        keys = [self._keys.live, self._keys.previous, self._keys.log(old), self._keys.trimmed(old)]
        keys.append(self._keys.known(new))
        for _ in range(_ROUNDS):
            self._restored.append()
            position = self._newer.position
            with translated_errors():
                if keep_ms:
                    self._client.set(self._keys.known(new), digests(self._restored.members), px=keep_ms)
                outcome = script(keys=keys, args=[old, new, position.seen, position.last, keep_ms])
            if outcome == b"LIVE":
                if not keep_ms:
                    remove_generation(self._client, self._keys, old)
                return
            if outcome == b"GONE":
                raise Misconfigured(f"index {self._live.name!r}: {_overtaken(new)}")
            self.look()
            if self.refusal and not allow_dropping:
                raise Misconfigured(self.refusal)
        raise Unavailable("consumers add more, and faster, than can be carried over: run this again")

    def document(self, *, dry_run: bool) -> Document:
        """Return what was found and done."""
        before, live = self._before, self._live
        return {
            "index": live.name,
            "generation": before.generation,
            "instead_of": live.generation,
            "dry_run": dry_run,
            "members": len(self._restored.members),
            "back": len(self._own) - self._common,
            "gone": self._gone,
            "added": {
                "all": self.added.all,
                "carried": self.added.carried,
                "duplicates": self.added.duplicates,
                "lost": self.added.lost,
            },
            "changed": changes(live, before),
            "stops_consumers": live.fingerprint != before.fingerprint,
        }


class _Restored:
    """The previous generation, with what is appended to it before it is live again.

    Parameters
    ----------
    client
        The server's.
    live
        Of the generation that is live now.
    head
        Of this one.
    retention
        Which members count for an image.

    Attributes
    ----------
    members
        Keys of its members, those to be appended among them.
    """

    def __init__(self, client: redis.Redis, live: IndexMeta, head: Live, retention: Retention) -> None:
        self._client: Any = client
        self._keys = IndexKeys(live.name)
        self._live = live
        self._meta = head.meta
        self._retention = retention
        self.members: dict[str, None] = {}
        tree = CellTree(head.roots)
        for split in read_splits(client, head):
            tree.apply(split)
        self._events = sum(count_events(client, head))
        # All records stay in memory: those that are still to be appended cannot be read again.
        self._view = GenerationView(
            tree, head.sketcher, head.meta.radius, self._read_cells, sys.maxsize, head.meta.local_change
        )
        self._view.load(tree.leaves)
        self._drafts: list[Draft] = []

    def _read_cells(self, cells: Sequence[int]) -> list[list[bytes]]:
        with translated_errors():
            pipeline = self._client.pipeline(transaction=False)
            for cell in cells:
                pipeline.lrange(self._keys.cell(self._meta.generation, cell), 0, -1)
            found: list[list[bytes]] = pipeline.execute()
        for records in found:
            heads = (split_record(record, self._meta.dimension)[0] for record in records)
            self.members |= dict.fromkeys(decode_head(head)[0] for head in heads)
        return found

    def judge(self, members: Sequence[Member], added: _Added) -> None:
        """Find out which of these, at least one, become members here, and count them all."""
        batch = Batch([self._query(member) for member in members], self._view, self._meta, self._retention)
        drafts = [draft for draft in batch.draft(0) if draft.becomes_member]
        added.carried += len(drafts)
        added.duplicates += len(members) - len(drafts)
        self._follow(drafts)
        self.members |= dict.fromkeys(draft.query.key for draft in drafts)
        self._drafts += drafts

    def _follow(self, drafts: Sequence[Draft]) -> None:
        """Take what is to be appended for members, so that the next batch is compared with it."""
        sizes: Counter[int] = Counter({draft.cell: self._view.size_of(draft.cell) for draft in drafts})
        events = []
        for draft in drafts:
            record = encode_member(member_of(draft.query))
            events.append(Appended(draft.cell, draft.root, sizes[draft.cell], record))
            sizes[draft.cell] += 1
        self._view.apply(events)

    def _query(self, member: Member) -> Query:
        thumbnail = member.thumbnail if self._meta.relation.has_thumbnails else None
        return Query(member.key, member.image_id, member.descriptor, member.captured_at_ms, thumbnail)

    def append(self) -> None:
        """Write what was judged to be members, batch by batch."""
        script = load_script(self._client, "keep.lua", "restore.lua")
        generation = self._meta.generation
        head = [self._keys.live, self._keys.previous, self._keys.log(generation), self._keys.trimmed(generation)]
        while self._drafts:
            items = [draft.item(with_roots=False) for draft in self._drafts[:_BATCH]]
            keys = [*head, *(self._keys.cell(generation, item.cell) for item in items)]
            records = [part for item in items for part in (item.record, item.place)]
            with translated_errors():
                done = script(keys=keys, args=[self._live.generation, generation, self._events, *records])
            if not done:
                raise Misconfigured(f"index {self._live.name!r}: {_overtaken(generation)}")
            self._events += len(items)
            del self._drafts[:_BATCH]


def _overtaken(generation: int) -> str:
    return f"a bootstrap, a rollback or the end of its time came first, and generation {generation} stays what it is"


def release(client: redis.Redis, name: str) -> Document:
    """Remove the previous generation of an index, if there is one; return what was freed.

    Raises
    ------
    IndexMissing
        There is no such index.
    RedisUnavailable
        Run it again.
    """
    keys = IndexKeys(name)
    live = read_live(client, name).meta.generation
    previous = previous_generation(client, name)
    if previous is None:
        return {"index": name, "generation": live, "released": None, "members": 0, "freed_bytes": 0}
    generation = previous.generation
    members, freed = count_members(client, keys, generation), memory_of(client, keys, generation)
    with translated_errors():
        given_up = load_script(client, "release.lua")(keys=[keys.previous], args=[generation])
    if not given_up:
        raise Unavailable(f"index {name!r}: generation {generation} is no longer the previous one: run this again")
    remove_generation(client, keys, generation)
    _LOG.info("index %s: generation %d, which was kept for a rollback, is released", name, generation)
    return {"index": name, "generation": live, "released": generation, "members": members, "freed_bytes": freed}
