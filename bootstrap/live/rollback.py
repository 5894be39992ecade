"""Makes the previous generation of an index live again, or gives it up.

Consumers go on meanwhile. What they added to the newer generation since it went live is looked at first: it is judged
by the relation of the previous one and becomes a member there, unless a member is alike. Then one script makes the
switch, if nothing has happened in the newer one that was not looked at. Only members that another descriptor described,
or that lack what is compared there, cannot be carried: they are counted, and refused unless they may be lost.

What was removed on request (`bootstrap.live.removal`) does not come back: that script takes it out as well, before
anybody can read the previous generation.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import redis

from bootstrap.generation.inheritance import changes, obstacle_to
from neardup.errors import Misconfigured, Unavailable
from neardup.index.carry import Predecessor
from neardup.index.live import Live, find_previous, read_live, read_splits
from neardup.index.restore import RestoredGeneration, overtaken
from neardup.index.retention import FOR_EVER, Retention
from neardup.index.stored.connection import translated_errors
from neardup.index.stored.generations import (
    as_numbers,
    count_members,
    digests,
    memory_of,
    previous_generation,
    remove_generation,
)
from neardup.index.stored.keys import IndexKeys
from neardup.index.stored.removals import Removals
from neardup.index.stored.scripts import load_script, taken_out
from neardup.types import Member

Document = dict[str, Any]

_LOG = logging.getLogger(__name__)
_ROUNDS = 1000
"""Each looks at what came since the one before, which takes milliseconds."""
_ATTEMPTS = 20
"""Each looks at everything, since a member was removed in the one before."""
_CELL_KEYS_FROM = 7
"""The first cell among the keys of `rollback.lua`, as Lua counts."""


class _MembersRemovedError(Exception):
    """What was judged may have been compared with members that were removed since."""


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
    for _ in range(_ATTEMPTS):
        rolling = _begin(client, name, retention)
        refusal = "" if allow_dropping else rolling.refusal
        if dry_run:
            return {**rolling.document(dry_run=True), "refusal": refusal}
        if refusal:
            raise Misconfigured(refusal)
        with suppress(_MembersRemovedError):
            rolling.switch(keep_ms, allow_dropping=allow_dropping)
            document = rolling.document(dry_run=False)
            _log(document)
            return document
    raise Unavailable("members are removed faster than the others can be looked at: run this again")


def _begin(client: redis.Redis, name: str, retention: Retention) -> "_Rollback":
    live, before = _read_whole(client, name), find_previous(client, name)
    if before is None:
        raise Misconfigured(
            f"index {name!r} has no previous generation: it was released, its time has passed, or there never was one"
        )
    return _Rollback(client, live, before, retention)


def _read_whole(client: redis.Redis, name: str) -> Live:
    # Of a corrupt index nothing is given up: what is kept may be all that there is.
    live = read_live(client, name)
    read_splits(client, live)
    return live


def _log(document: Document) -> None:
    _LOG.info(
        "index %s: rolled back from generation %d to %d; %d members came back, %d went, %d were removed on request and "
        "stay away, of %d added since %d were lost",
        document["index"],
        document["instead_of"],
        document["generation"],
        document["back"],
        document["gone"],
        document["removed"],
        document["added"]["all"],
        document["added"]["lost"],
    )


class _Rollback:
    """One rollback under way; what there is when it begins is looked at first.

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
        self._obstacle = obstacle_to(live.meta, before.meta.fingerprint, relation.parts)
        self._newer = Predecessor(client, live.meta.name, live.meta)
        self._removals = Removals(client, live.meta.name)
        members = self._newer.news().added
        self._removed = self._removed_by_now()
        self._restored = RestoredGeneration(client, live.meta, before, retention, self._removed)
        with translated_errors():
            known = self._client.get(self._keys.known(live.meta.generation))
        # Where nobody knows, whatever the previous generation lacks may have been added.
        self._known = as_numbers(cast("bytes", known or b""))
        self._own = as_numbers(digests(self._restored.members))
        self._common = 0
        self._gone = 0
        self.added = _Added()
        self._sort(members)

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

    def _removed_by_now(self) -> set[bytes]:
        """Return the keys of what was removed on request, unless it is a member of the newer generation again."""
        # To be asked after the news: what is removed later is an event that the switch finds.
        return self._removals.keys() - self._newer.keys

    def _look(self) -> None:
        """Sort what the newer generation has, and was not looked at yet."""
        members = self._newer.news().added
        if self._removed_by_now() != self._removed:
            raise _MembersRemovedError
        self._sort(members)

    def _sort(self, members: Sequence[Member]) -> None:
        hashes = as_numbers(digests(member.key for member in members))
        came_with_it = np.isin(hashes, self._known)
        common = np.isin(hashes, self._own)
        self._common += int(common.sum())
        self._gone += int((came_with_it & ~common).sum())
        self.added.carried += int((~came_with_it & common).sum())  # by a rollback that did not get to its end
        since = [members[row] for row in np.flatnonzero(~came_with_it & ~common).tolist()]
        if self._obstacle:
            self.added.lost += len(since)
            return
        # As in a bootstrap, of two that are alike by this relation the one captured earlier stays.
        since.sort(key=lambda member: member.captured_at_ms)
        carried = self._restored.judge(since)
        self.added.carried += carried
        self.added.duplicates += len(since) - carried

    def switch(self, keep_ms: int, *, allow_dropping: bool) -> None:
        """Make the previous generation live.

        Raises
        ------
        Misconfigured
            Another generation is live by now, or consumers added what would be lost.
        _MembersRemovedError
            Begin anew.
        """
        script = load_script(self._client, "keep.lua", "rollback.lua")
        old, new = self._live.generation, self._before.generation
        keys = [self._keys.live, self._keys.previous, self._keys.log(old), self._keys.trimmed(old)]
        keys += [self._keys.known(new), self._keys.log(new)]
        leaving, records = self._leaving()
        keys += leaving
        for _ in range(_ROUNDS):
            self._restored.append()
            position = self._newer.position
            with translated_errors():
                if keep_ms:
                    self._client.set(self._keys.known(new), digests(self._restored.members), px=keep_ms)
                outcome = script(keys=keys, args=[old, new, position.seen, position.last, keep_ms, *records])
            if outcome == b"LIVE":
                if not keep_ms:
                    remove_generation(self._client, self._keys, old)
                return
            if outcome == b"GONE":
                raise Misconfigured(f"index {self._live.name!r}: {overtaken(new)}")
            self._look()
            if self.refusal and not allow_dropping:
                raise Misconfigured(self.refusal)
        raise Unavailable("consumers add more, and faster, than can be carried over: run this again")

    def _leaving(self) -> tuple[list[str], list[Any]]:
        """Return the cells that lose what was removed on request, and the arguments that say so, for the script."""
        leaving = self._restored.leaving
        events = taken_out(leaving)
        place_of = {cell: place for place, cell in enumerate(events, start=_CELL_KEYS_FROM)}
        arguments: list[Any] = [len(leaving)]
        for placed in leaving:
            arguments += [place_of[placed.cell], placed.record]
        return [self._keys.cell(self._before.generation, cell) for cell in events], [*arguments, *events.values()]

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
            "removed": len(self._restored.leaving),
            "added": {
                "all": self.added.all,
                "carried": self.added.carried,
                "duplicates": self.added.duplicates,
                "lost": self.added.lost,
            },
            "changed": changes(live, before),
            "stops_consumers": live.fingerprint != before.fingerprint,
        }


def release(client: redis.Redis, name: str) -> Document:
    """Remove the previous generation of an index, if there is one; return what was freed.

    Raises
    ------
    IndexMissing, CorruptIndex
        There is no such index, or the live generation is corrupt.
    RedisUnavailable
        Run it again.
    """
    keys = IndexKeys(name)
    live = _read_whole(client, name).meta.generation
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
