"""What happened to an index, in the order in which it happened, as Redis itself tells it by MONITOR.

A script is one step for Redis, and MONITOR tells each command in it. So the members at the moment of each verdict are
known without asking the code that keeps them, and the verdict can be compared with that of brute force.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.cluster import RedisCluster

from neardup.index.base import IndexMeta
from neardup.index.retention import Retention
from neardup.index.stored.codec import decode_decision, head_key
from neardup.index.stored.connection import connect
from neardup.index.stored.keys import IndexKeys
from neardup.types import Decision, Verdict

_END = b"the end of "
_COMMANDS = {b"RPUSH", b"LREM", b"DEL", b"UNLINK", b"SET", b"HSET"}
"""All that changes a cell, a decision, the live generation or the notes of removals."""
Told = tuple[str, str | None, float | None, str, float | None]
"""Verdict, what it is a duplicate of, the distance, the symmetry, and how much agrees."""


def told_of(decision: Decision) -> Told:
    """Return what is told of a decision."""
    agreement = None if decision.look is None else decision.look.agreement
    return decision.verdict.value, decision.duplicate_of, decision.l2_distance, decision.symmetry.value, agreement


@dataclass(frozen=True)
class Switch:
    """Another generation was made the live one.

    Attributes
    ----------
    before, after
        Their numbers.
    gone, back
        How many members the one had and the other has not, and the other way round.
    """

    before: int
    after: int
    gone: int
    back: int


@dataclass
class _Generation:
    fingerprint: str = ""
    cells: dict[bytes, list[str]] = field(default_factory=lambda: defaultdict(list))
    members: Counter[str] = field(default_factory=Counter)

    def push(self, cell: bytes, keys: Sequence[str]) -> None:
        self.cells[cell] += keys
        self.members.update(keys)

    def drop(self, cell: bytes, key: str | None = None) -> None:
        """Forget a cell, or one member of it."""
        found = self.cells.pop(cell, [])
        gone = found if key is None else [each for each in found if each == key]
        if key is not None:
            self.cells[cell] = [each for each in found if each != key]
        for each in gone:
            self.members[each] -= 1
            if not self.members[each]:
                del self.members[each]


class History:
    """Follows an index, and compares each verdict with that of brute force over the members of that moment.

    Parameters
    ----------
    name
        Of the index.
    near
        For the key of each message, distance and key of all others that it duplicates if they come before it.
    times_ms
        For the key of each message, when its image was captured.
    retention
        Of the workers.

    Attributes
    ----------
    told
        The verdicts that were recorded, by key; one each, if all is well.
    removed
        Keys of what was removed on request.
    dropped
        Keys of members that are away since a generation with another descriptor was live, or was left.
    switches
        From one generation to another.
    again
        How many are unique although one that they duplicate was, which had been removed or dropped before.
    unexplained
        Pairs of uniques of which the later duplicates the earlier one, which had not.
    wrong
        Verdicts that brute force would not give.
    by_removed
        Those of them which name a member that had been removed.
    faults
        What else may not be, one line each.
    """

    def __init__(
        self,
        name: str,
        near: Mapping[str, Sequence[tuple[float, str]]],
        times_ms: Mapping[str, int],
        retention: Retention,
    ) -> None:
        self._keys = IndexKeys(name)
        self._near = near
        self._times_ms = times_ms
        self._retention = retention
        self._generations: dict[int, _Generation] = defaultdict(_Generation)
        self._live = 0
        self._uniques: set[str] = set()
        self.told: dict[str, list[Told]] = defaultdict(list)
        self.removed: set[str] = set()
        self.dropped: set[str] = set()
        self.switches: list[Switch] = []
        self.again = 0
        self.unexplained = 0
        self.wrong: list[str] = []
        self.by_removed = 0
        self.faults: list[str] = []

    @property
    def members(self) -> set[str]:
        """Keys of the members of the live generation."""
        return set(self._generations[self._live].members)

    def take(self, command: bytes, arguments: Sequence[bytes]) -> None:
        """Follow a command."""
        key = arguments[0].decode()
        if command in {b"DEL", b"UNLINK"}:
            for each in arguments:
                self._change_cell(command, each.decode(), ())
        elif command == b"HSET" and key == self._keys.removed:
            self.removed.add(arguments[1].decode())
        elif command == b"SET" and key == self._keys.live:
            self._switch(int(arguments[1]))
        elif command == b"SET" and key.startswith(self._keys.decided("")):
            self._judge(key.removeprefix(self._keys.decided("")), arguments[1])
        elif command == b"SET" and key.endswith(":meta"):
            meta = IndexMeta.from_json(arguments[1])
            self._generations[meta.generation].fingerprint = meta.fingerprint
        elif command in {b"RPUSH", b"LREM"}:
            self._change_cell(command, key, arguments[1:])

    def _change_cell(self, command: bytes, key: str, arguments: Sequence[bytes]) -> None:
        number, _, cell = key.removeprefix(f"{self._keys.prefix}g").partition(":cell:")
        if not cell:
            return
        generation = self._generations[int(number)]
        if command == b"RPUSH":
            generation.push(cell.encode(), [head_key(record).decode() for record in arguments])
        elif command == b"LREM":
            generation.drop(cell.encode(), head_key(arguments[1]).decode())
        else:
            generation.drop(cell.encode())

    def _switch(self, number: int) -> None:
        before, after = self._generations[self._live], self._generations[number]
        gone = before.members.keys() - after.members.keys()
        back = after.members.keys() - before.members.keys()
        if self._live:
            self.switches.append(Switch(self._live, number, len(gone), len(back)))
        if before.fingerprint == after.fingerprint and gone:
            self.faults.append(
                f"generation {number} lost {len(gone)} of the members of {self._live}: {sorted(gone)[:5]}"
            )
        if came_back := back & self.removed:
            self.faults.append(f"generation {number} brought back what was removed: {sorted(came_back)[:5]}")
        self.dropped = (self.dropped | gone) - back
        self._live = number

    def _judge(self, key: str, recorded: bytes) -> None:
        decision = decode_decision(recorded)
        told = told_of(decision)
        members, time_ms = self._generations[self._live].members, self._times_ms[key]
        near = [
            (distance, other)
            for distance, other in self._near[key]
            if other in members and self._retention.counts(self._times_ms[other], time_ms)
        ]
        self.told[key].append(told)
        self.by_removed += str(decision.duplicate_of).removeprefix("id of ") in self.removed
        if decision.verdict is Verdict.UNIQUE:
            self._note_unique(key)
            right = not near and key in members
        else:
            nearest = min(near, default=(0.0, ""))[0]
            right = (decision.l2_distance, decision.duplicate_of) in {
                (distance, f"id of {other}") for distance, other in near if distance == nearest
            }
        if not right:
            self.wrong.append(f"{key} was told {told}, and within the radius were {sorted(near)[:3]}")

    def _note_unique(self, key: str) -> None:
        earlier = {other for _, other in self._near[key]} & self._uniques
        unexplained = earlier - self.removed - self.dropped
        self.unexplained += len(unexplained)
        self.again += bool(earlier) and not unexplained
        self._uniques.add(key)


class Recorder:
    """Has a history follow Redis, from now until it is ended.

    Parameters
    ----------
    url
        Of Redis, or a cluster.
    name
        Of the index.
    history
        What is told.
    """

    def __init__(self, url: str, name: str, history: History) -> None:
        client: Any = connect(url)
        if isinstance(client, RedisCluster):
            node: Any = client.get_node_from_key(IndexKeys(name).live)  # type: ignore[no-untyped-call]
            client = node.redis_connection
        self._client = client
        self._prefix = IndexKeys(name).prefix.encode()
        self._end = _END + name.encode()
        self._history = history
        self._error: BaseException | None = None
        self._connection = client.connection_pool.make_connection()
        self._connection.socket_timeout = None  # nothing may happen for long
        self._connection.connect()
        self._connection.send_command("MONITOR")
        assert self._connection.read_response() == b"OK"
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Wait until all that happened before this was told."""
        self._client.echo(self._end)
        self._thread.join()
        self._client.close()
        if self._error is not None:
            raise self._error

    def _follow(self) -> None:
        try:
            while self._take(self._connection.read_response()):
                pass
        except BaseException as error:  # noqa: BLE001 - raised at the end, in the thread that asks
            self._error = error
        finally:
            self._connection.disconnect()

    def _take(self, line: bytes) -> bool:
        # The time, where it came from in brackets, and each word of the command in double quotes.
        command, *words = line[line.index(b'] "') + 3 : -1].split(b'" "')
        if command.upper() in _COMMANDS and words[0].startswith(self._prefix):
            self._history.take(command.upper(), [_unescaped(word) for word in words])
        return not (command.upper() == b"ECHO" and words == [self._end])


def _unescaped(word: bytes) -> bytes:
    return word.decode("unicode_escape").encode("latin-1") if b"\\" in word else word
