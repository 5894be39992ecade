"""The same images once more, through one process that does all, in the order in which the crew decided them.

Each verdict must be the same. Only events of the log bring members, so its order is that of the uniques; and a
duplicate comes right behind the one that it was told to be a duplicate of: at its decision there was none nearer among
that one and those before it.
"""

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import Any, cast

import redis
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from neardup.index.stored.codec import head_key
from neardup.index.stored.connection import connect
from neardup.index.stored.events import Appended, decode_event
from neardup.index.stored.keys import IndexKeys
from tests.soak.judge import Scene, Told, await_group, letters_of, place_of, records, verdicts_of
from tests.support.processes import DEADLINE_S, running

MOST_TOLD = 5
_LOOK_S = 0.5


class Scribe:
    """Notes whose members were appended to the log, in order, from beside; a log forgets all but its latest events.

    Parameters
    ----------
    redis_url, index
        Where the log is. Redis may be away at times.
    """

    def __init__(self, redis_url: str, index: str) -> None:
        self._url, self._keys = redis_url, IndexKeys(index)
        self.appended: list[str] = []
        self.faults: list[str] = []
        self._seen = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="scribe", daemon=True)

    def start(self) -> None:
        """Begin to note."""
        self._thread.start()

    def end(self) -> None:
        """Note what has come, and no more."""
        self._end.set()
        self._thread.join(DEADLINE_S)

    def _follow(self) -> None:
        ends = False
        while not ends:
            ends = self._end.wait(_LOOK_S)
            with suppress(redis.RedisError, OSError), connect(self._url) as client:
                self._note(client)

    def _note(self, client: "redis.Redis") -> None:
        generation = int(cast("bytes", client.get(self._keys.live)))
        trimmed = self._keys.trimmed(generation)
        first = int(cast("bytes | None", client.get(trimmed)) or 0)
        if first > self._seen:
            self.faults.append(f"the log forgot events {self._seen} to {first} before they were noted")
            self._seen = first
        events = cast("list[bytes]", client.lrange(self._keys.log(generation), self._seen - first, -1))
        if int(cast("bytes | None", client.get(trimmed)) or 0) != first:
            return  # these may not be the ones that were asked for: again
        self._seen += len(events)
        decoded = map(decode_event, events)
        self.appended += [head_key(event.record).decode() for event in decoded if isinstance(event, Appended)]


def differing(scene: Scene, again: Scene, appended: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """Judge all images of a scene once more in the scene `again`, and return what is told otherwise, line by line.

    Parameters
    ----------
    scene
        Where they were judged.
    again
        Of other names; its index has the same seeds, and its topics are made here.
    appended
        Keys of the members, in the order of the log.
    arguments
        Of a consumer of that scene.
    """
    told = verdicts_of(scene)
    reasons = letters_of(scene)
    order = in_order(told, appended, reasons)
    with KafkaAdminClient(bootstrap_servers=scene.address) as admin:
        admin.create_topics([NewTopic(topic, 1, 1) for topic in (again.images, again.verdicts, again.dead)])
    _publish(scene, again, order)
    with running(list(arguments)) as program:
        await_group(again, again.group, again.images)
        program.stop()
    place = {f"{again.images}-0-{offset}": at for offset, at in enumerate(order)}
    anew = {place[at]: each.named(place) for at, each in verdicts_of(again).items()}
    refused = {place[at]: reason for at, reason in letters_of(again).items()}
    unknown = told.keys() - set(order)
    return [
        *(f"{at} is told to be {told[at]}, of which the log knows nothing" for at in sorted(unknown)),
        *(f"{at} was told {told.get(at)}, and then {anew.get(at)}" for at in order if told.get(at) != anew.get(at)),
        *(f"{at}: {reasons.get(at)}, and then {refused.get(at)}" for at in order if reasons.get(at) != refused.get(at)),
    ]


def in_order(told: Mapping[str, Told], appended: Sequence[str], refused: Mapping[str, str]) -> list[str]:
    """Return the places of images: uniques as they were appended, duplicates behind theirs, what was refused last."""
    copies: dict[str, list[str]] = defaultdict(list)
    for at, each in told.items():
        if each.member is not None:
            copies[each.member].append(at)
    streamed = set(appended)
    of_seeds = [at for member, ats in copies.items() if member not in streamed for at in ats]
    behind = [at for member in appended for at in ([member] if member in told else []) + copies[member]]
    return [*of_seeds, *behind, *refused]


def _publish(scene: Scene, again: Scene, order: Sequence[str]) -> None:
    known: dict[bytes, bytes] = {}  # most pictures are shown more than once
    messages: dict[str, tuple[bytes, Any, int]] = {}
    for record in records(scene.address, scene.images):
        value = known.setdefault(record.value, record.value)
        messages[place_of(record)] = (value, record.headers, record.timestamp)
    with closing(KafkaProducer(bootstrap_servers=scene.address, linger_ms=50, max_block_ms=60_000)) as producer:
        for at in order:
            value, headers, timestamp_ms = messages[at]
            producer.send(again.images, value, partition=0, headers=list(headers), timestamp_ms=timestamp_ms)
        producer.flush()
