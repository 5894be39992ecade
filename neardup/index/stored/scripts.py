"""The Lua scripts, and what one generation's keys are to them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, cast

from neardup.errors import CorruptIndex
from neardup.index.stored.connection import translated_errors
from neardup.index.stored.events import BEGINNING, Event, Rewritten, Split, decode_event, encode_rewritten, encode_split
from neardup.index.stored.keys import IndexKeys
from neardup.index.stored.removals import Removal

LOG_EVENTS = 20_000
"""Events that the log keeps, about 570 bytes each: a process further behind reads the whole generation again."""
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
    events: list[Event] | None


class Position:
    """How far a process has followed a generation's events.

    Parameters
    ----------
    seen
        Events since the generation began.
    last
        The last of them.
    """

    def __init__(self, seen: int, last: bytes = b"") -> None:
        self.seen = seen
        self.last = last[:BEGINNING]

    def advance(self, events: Sequence[bytes]) -> None:
        """Take note of the events that followed."""
        if events:
            self.seen += len(events)
            self.last = events[-1][:BEGINNING]


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
    """

    def __init__(self, client: Any, keys: IndexKeys, generation: int) -> None:  # noqa: ANN401 - redis.Redis, or a cluster
        self._keys = keys
        self._generation = generation
        self._commit, self._events, self._split, self._rewrite, self._remove = (
            load_script(client, f"{name}.lua") for name in ("commit", "events", "split", "rewrite", "remove")
        )
        self._log_keys = [keys.live, keys.log(generation), keys.trimmed(generation)]

    def latest(self) -> Position:
        """Return the position after all events that there have been.

        Raises
        ------
        GenerationChanged
            Another one is live.
        """
        with translated_errors():
            outcome, *rest = self._events(keys=self._log_keys, args=[self._generation, -1, b""])
        if outcome == b"GENERATION":
            raise GenerationChanged
        count, last = rest
        return Position(int(count), last or b"")

    def new_events(self, position: Position) -> list[Event]:
        """Return the events after a position, which advances.

        Raises
        ------
        GenerationChanged, FellBehind
            The events are not available.
        """
        with translated_errors():
            reply = self._events(keys=self._log_keys, args=[self._generation, position.seen, position.last])
        return self._followed(reply, position)

    def commit(self, items: Sequence[Item], position: Position, decision_ttl_s: int) -> CommitReply:
        """Commit items in order, up to the first stale one; then the position advances.

        Raises
        ------
        GenerationChanged, FellBehind
            Nothing was done.
        """
        keys = list(self._log_keys)
        arguments: list[Any] = [self._generation, position.seen, position.last, decision_ttl_s, LOG_EVENTS]
        for item in items:
            keys += [self._keys.decided(item.key), self._keys.cell(self._generation, item.cell)]
            arguments += [item.decision, item.record, item.place, item.roots]
        with translated_errors():
            outcome, *rest = cast("list[Any]", self._commit(keys=keys, args=arguments))
        if outcome == b"DONE":
            return CommitReply(rest[0], None)
        return CommitReply(rest[0] if rest else [], self._followed([outcome, *rest], position))

    @staticmethod
    def _followed(reply: Sequence[Any], position: Position) -> list[Event]:
        outcome = reply[0]
        if outcome == b"GENERATION":
            raise GenerationChanged
        if outcome == b"BEHIND":
            raise FellBehind
        if outcome not in {b"EVENTS", b"STALE"}:
            raise CorruptIndex(f"a script answered {reply!r}")
        events = [decode_event(event) for event in reply[2]]
        position.advance(reply[2])
        return events

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
