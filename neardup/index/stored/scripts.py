"""The Lua scripts, and what one generation's keys are to them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, cast

from neardup.errors import CorruptIndex, RedisUnavailable
from neardup.index.stored.connection import translated_errors
from neardup.index.stored.events import BEGINNING, Rewritten, Split, encode_rewritten, encode_split
from neardup.index.stored.keys import IndexKeys
from neardup.index.stored.log import LogEvents
from neardup.index.stored.removals import Removal

LOG_EVENTS = 20_000
"""Events that the log keeps, and up to an eighth more, about 570 bytes each: a process further behind reads the whole
generation again."""
REPLICAS_WITHIN_MS = 1000
"""How long a commit waits for replicas, each time that it is tried."""
_CELL_KEYS_FROM = 4
"""The first cell among the keys of `remove.lua`, as Lua counts."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A member where it stands, as it is stored."""

    key: bytes
    cell: int
    root: int
    record: bytes


def taken_out(members: Iterable[Placed]) -> dict[int, bytes]:
    """Return the event of each cell that members are taken out of on request, by the cell."""
    by_cell: dict[int, list[Placed]] = {}
    for placed in members:
        by_cell.setdefault(placed.cell, []).append(placed)
    return {
        cell: encode_rewritten(Rewritten(cell, gone[0].root, tuple(placed.key for placed in gone)))
        for cell, gone in by_cell.items()
    }


class GenerationChanged(Exception):
    """Another generation is live."""


class FellBehind(Exception):
    """The log does not reach back to what this process has seen."""


@dataclass(frozen=True, slots=True)
class Item:
    """One decision that waits for its commit; see `commit.lua`."""

    key: str
    cell: int
    decision: bytes
    record: bytes
    place: bytes
    roots: bytes


@dataclass(frozen=True, slots=True)
class CommitReply:
    """The result of a commit.

    Attributes
    ----------
    replies
        For each decided item b"" or the decision recorded earlier for its key.
    events
        What this process had not seen, when the item after the last decided one is stale; None when all is decided.
    """

    replies: list[bytes]
    events: LogEvents | None


class Position:
    """How far a process has followed a generation's events.

    Parameters
    ----------
    seen
        Events since the generation began.
    last
        The last of them.
    trimmed
        How many had left the log when this was last known.
    """

    def __init__(self, seen: int, last: bytes = b"", trimmed: int = 0) -> None:
        self.seen = seen
        self.last = last[:BEGINNING]
        self.trimmed = trimmed

    def advance(self, events: Sequence[bytes]) -> None:
        """Take note of the events that followed."""
        if events:
            self.seen += len(events)
            self.last = events[-1][:BEGINNING]


def _number(trimmed: bytes | None) -> int:
    try:
        return int(trimmed or 0)
    except ValueError as exc:
        raise CorruptIndex(f"the number of events that left the log reads {trimmed!r}") from exc


def load_script(client: Any, *names: str) -> Any:  # noqa: ANN401 - redis.Redis, or a cluster; redis-py's script
    """Return a script of this package, one text or several that follow one another, as a callable.

    The first call loads it into Redis.
    """
    texts = [files("neardup.index.stored").joinpath(name).read_text(encoding="utf-8") for name in names]
    return client.register_script("\n".join(texts))


class GenerationScripts:
    """Runs the scripts on one generation.

    Parameters
    ----------
    client
        Of redis-py.
    keys
        Of the index.
    generation
        Number of the generation.
    replicas
        How many of Redis' replicas have to have a commit before it counts.
    """

    def __init__(self, client: Any, keys: IndexKeys, generation: int, replicas: int = 0) -> None:  # noqa: ANN401 - as above
        self._keys = keys
        self._replicas = replicas
        self._client = client
        self._generation = generation
        self._commit, self._split, self._rewrite, self._remove = (
            load_script(client, f"{name}.lua") for name in ("commit", "split", "rewrite", "remove")
        )
        self._log, self._trimmed = keys.log(generation), keys.trimmed(generation)
        self._log_keys = [keys.live, self._log, self._trimmed]

    def latest(self) -> Position:
        """Return the position after all events that there have been.

        Raises
        ------
        GenerationChanged
            Another one is live.
        """
        while True:
            with translated_errors():
                pipeline = self._client.pipeline(transaction=False)
                pipeline.get(self._keys.live).get(self._trimmed).llen(self._log).lindex(self._log, -1)
                live, before, count, last, after, trimmed = pipeline.llen(self._log).get(self._trimmed).execute()
            self._require_live(live)
            if (before, count) == (trimmed, after):
                return Position(_number(trimmed) + count, last or b"", _number(trimmed))

    def _require_live(self, live: bytes | None) -> None:
        if live != b"%d" % self._generation:
            raise GenerationChanged

    def cells(self, cells: Sequence[int]) -> list[list[bytes]]:
        """Return the records of some cells, in order."""
        with translated_errors():
            pipeline = self._client.pipeline(transaction=False)
            for cell in cells:
                pipeline.lrange(self._keys.cell(self._generation, cell), 0, -1)
            return list(pipeline.execute())

    def new_events(self, position: Position) -> LogEvents:
        """Return the events after a position, which advances.

        Raises
        ------
        GenerationChanged, FellBehind
            The events are not available.
        """
        # A script would do it in one step, but to hand events through Lua takes five times the work of reading them.
        while position.seen >= position.trimmed:
            since = position.seen - position.trimmed
            with translated_errors():
                pipeline = self._client.pipeline(transaction=False)
                pipeline.get(self._keys.live).get(self._trimmed).lrange(self._log, max(0, since - 1), -1)
                live, before, stored, after = pipeline.get(self._trimmed).execute()
            self._require_live(live)
            is_as_known = _number(before) == _number(after) == position.trimmed
            position.trimmed = _number(after)
            if not is_as_known:
                continue
            if since and not (stored and stored[0].startswith(position.last)):
                break
            events = LogEvents(stored[1:] if since else stored)
            position.advance(events.stored)
            return events
        raise FellBehind

    def commit(self, items: Sequence[Item], position: Position, decision_ttl_s: int) -> CommitReply:
        """Commit items in order, up to the first stale one; then the position advances.

        Raises
        ------
        GenerationChanged, FellBehind
            Nothing was done.
        RedisUnavailable
            Also when too few replicas have it: the same items have the same decisions then.
        """
        keys = list(self._log_keys)
        arguments: list[Any] = [self._generation, position.seen, position.last, decision_ttl_s, LOG_EVENTS]
        for item in items:
            keys += [self._keys.decided(item.key), self._keys.cell(self._generation, item.cell)]
            arguments += [item.decision, item.record, item.place, item.roots]
        with translated_errors():
            outcome, *rest = self._committed(keys, arguments, decision_ttl_s)
        if outcome == b"DONE":
            return CommitReply(rest[0], None)
        if outcome == b"GENERATION":
            raise GenerationChanged
        if outcome == b"BEHIND":
            raise FellBehind
        if outcome != b"STALE":
            raise CorruptIndex(f"a script answered {outcome!r}")
        replies, stored = rest
        events = LogEvents(stored)
        position.advance(stored)
        return CommitReply(replies, events)

    def _committed(self, keys: Sequence[Any], arguments: Sequence[Any], decision_ttl_s: int) -> list[Any]:
        if not self._replicas:
            return cast("list[Any]", self._commit(keys=keys, args=arguments))
        pipeline = self._client.pipeline(transaction=False)
        self._commit(keys=keys, args=arguments, client=pipeline)
        # WAIT is about the last write of its own connection: on a new one it is content with anything (in Redis 8, and
        # in Valkey). A commit that is tried again may find all decided and write nothing, so something is written here.
        pipeline.expire(keys[len(self._log_keys)], decision_ttl_s)
        pipeline.wait(self._replicas, REPLICAS_WITHIN_MS)
        reply, _, have_it = pipeline.execute()
        if have_it < self._replicas:
            raise RedisUnavailable(
                f"of the {self._replicas} replicas of Redis that are waited for, {have_it} have the latest verdicts"
            )
        return cast("list[Any]", reply)

    def split(self, split: Split, splits_known: int, position: Position) -> bool:
        """Split a cell; return False if it was not as the split assumes."""
        cells = [self._keys.cell(self._generation, cell) for cell in (split.cell, split.low, split.high)]
        keys = [*self._log_keys, self._keys.splits(self._generation), *cells]
        arguments = [self._generation, splits_known, split.sides, encode_split(split), position.seen]
        with translated_errors():
            done = self._split(keys=keys, args=arguments)
        return bool(done)

    def rewrite(self, rewritten: Rewritten, marks: bytes, position: Position) -> bool:
        """Remove the members marked ``X`` from a cell; return False if it was not as the marks assume."""
        keys = [*self._log_keys, self._keys.cell(self._generation, rewritten.cell)]
        with translated_errors():
            done = self._rewrite(keys=keys, args=[self._generation, marks, encode_rewritten(rewritten), position.seen])
        return bool(done)

    def remove(self, members: Sequence[tuple[Placed, Removal]]) -> bool:
        """Remove members, at least one, on request; return False, with nothing changed, if one is not there now."""
        events = taken_out(placed for placed, _ in members)
        place_of = {cell: place for place, cell in enumerate(events, start=_CELL_KEYS_FROM)}
        keys = [self._keys.live, self._keys.log(self._generation), self._keys.removed]
        keys += [self._keys.cell(self._generation, cell) for cell in events]
        arguments: list[Any] = [self._generation, len(members)]
        for placed, removal in members:
            arguments += [place_of[placed.cell], placed.key, removal.to_json(), placed.record]
        arguments += events.values()
        with translated_errors():
            done = self._remove(keys=keys, args=arguments)
        return bool(done)
