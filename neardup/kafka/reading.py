"""Reads a span of a topic, up to its end at the start, outside any group."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, OffsetOutOfRangeError

from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.kafka.client import Client
from neardup.kafka.errors import translated_errors, unreadable
from neardup.kafka.topics import missing_topics

CONNECT_TIMEOUT_MS = 10_000
SILENCE_S = 30.0
"""After this long without a record before the end, the broker counts as unavailable."""
_BATCH = 500

Edge = int | Mapping[int, int] | None
"""Where a span begins or ends: a time in milliseconds since the epoch, an offset for each partition that is read, or
None for the oldest record and the newest."""


@dataclass(frozen=True, slots=True)
class Flags:
    """What the settings are called that name a topic and a span of it, for messages."""

    topic: str
    since: str
    until: str = ""


def read_topic(
    config: Mapping[str, Any],
    topic: str,
    since: Edge,
    until: Edge = None,
    *,
    flags: Flags,
    tell: Callable[[str], object] = lambda _: None,
    whole: bool = False,
) -> Iterator[Sequence[Any]]:
    """Iterate over the records of a topic, in batches, as kafka-python gives them: committed ones, by partition.

    Parameters
    ----------
    config
        How to reach Kafka, our client id, and the message limit, in kafka-python's terms.
    topic
        It must exist.
    since, until
        The span, without what is at `until` itself.
    flags
        The settings that name these.
    tell
        Is told in a line what of the span the topic no longer has.
    whole
        Whether all that ever was in the topic is wanted, and not what is there.

    Raises
    ------
    KafkaUnavailable
        It may be temporary.
    Misconfigured
        The topic does not exist or cannot be read, or there can be no such span.
    """
    config = {**config, **reading_config()}
    if missing_topics(config, [topic]):
        raise Misconfigured(f"{flags.topic}: there is no topic {topic!r}")
    client = Client(KafkaConsumer, lambda: config)
    with translated_errors(), closing(client.get()) as consumer:
        span = _Span(consumer, topic, since, until, flags)
        span.tell_gone(tell, whole=whole)
        try:
            yield from _read(consumer, span, tell)
        except CorruptRecordError as exc:
            at = {place: consumer.position(place) for place in span.places}
            raise unreadable(exc, at, f"start after it with {flags.since}") from exc


def reading_config() -> dict[str, Any]:
    """Return the settings of a consumer without a group, which never jumps over what is gone."""
    return {
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "allow_auto_create_topics": False,
        "bootstrap_timeout_ms": CONNECT_TIMEOUT_MS,
        "metrics_enabled": False,
    }


class _Span:
    """The offsets that are read of each partition: from the first, without the last."""

    def __init__(self, consumer: Any, topic: str, since: Edge, until: Edge, flags: Flags) -> None:  # noqa: ANN401 - kafka-python has no types
        there = set(consumer.partitions_for_topic(topic) or ())
        self.places = [TopicPartition(topic, number) for number in _partitions(there, topic, since, until, flags)]
        self._since, self._until = since, until
        self._oldest = consumer.beginning_offsets(self.places)
        ends = consumer.end_offsets(self.places)
        first = self._offsets(consumer, since, self._oldest, ends)
        last = self._offsets(consumer, until, ends, ends)
        self.last = {place: min(last[place], ends[place]) for place in self.places}
        self.first = {place: max(first[place], self._oldest[place]) for place in self.places}
        self._refuse_what_cannot_be(first, last, ends, flags)

    def _offsets(
        self,
        consumer: Any,  # noqa: ANN401 - kafka-python has no types
        edge: Edge,
        without: Mapping[Any, int],
        ends: Mapping[Any, int],
    ) -> dict[Any, int]:
        if edge is None:
            return dict(without)
        if isinstance(edge, Mapping):
            return {place: edge[place.partition] for place in self.places}
        found = consumer.offsets_for_times(dict.fromkeys(self.places, edge))
        return {place: found[place].offset if found.get(place) else ends[place] for place in self.places}

    def _refuse_what_cannot_be(
        self, first: Mapping[Any, int], last: Mapping[Any, int], ends: Mapping[Any, int], flags: Flags
    ) -> None:
        times = [edge for edge in (self._since, self._until) if isinstance(edge, int)]
        reversed_times = times != sorted(times)
        for place in self.places:
            if isinstance(self._since, Mapping) and first[place] > ends[place]:
                raise Misconfigured(
                    f"{flags.since} {place.partition}:{first[place]}: {_name(place)} ends at offset {ends[place]}"
                )
            both = isinstance(self._since, Mapping) and isinstance(self._until, Mapping)
            if reversed_times or (both and first[place] > last[place]):
                raise Misconfigured(f"{flags.since} is later than {flags.until}: there is nothing between them")

    def tell_gone(self, tell: Callable[[str], object], *, whole: bool) -> None:
        """Say what was deleted of the span before it was read, of a whole topic what was ever."""
        for place in self.places:
            oldest = self._oldest[place]
            if isinstance(self._since, Mapping) and self._since[place.partition] < oldest:
                tell(gone(place, self._since[place.partition], oldest))
            elif isinstance(self._until, Mapping) and self._until[place.partition] <= oldest and oldest:
                tell(gone(place, 0, self._until[place.partition]))
            elif self._since is None and whole and oldest:
                tell(gone(place, 0, oldest))
            elif isinstance(self._since, int) and oldest and self.first[place] == oldest:
                # The times of what is gone are gone, too.
                tell(
                    f"{_name(place)} begins at offset {oldest}: earlier records are no longer in the topic, and some "
                    "of them may have been of this span"
                )


def gone(place: TopicPartition, first: int, behind: int) -> str:
    """Return the line that says which offsets a partition no longer has, from the first and before the other."""
    return f"{_name(place)}: offsets {first} to {behind - 1} are no longer in the topic"


def _name(place: TopicPartition) -> str:
    return f"{place.topic}-{place.partition}"


def _partitions(there: set[int], topic: str, since: Edge, until: Edge, flags: Flags) -> list[int]:
    named = {
        flag: set(edge) for flag, edge in ((flags.since, since), (flags.until, until)) if isinstance(edge, Mapping)
    }
    if len(named) > 1 and set(since or ()) != set(until or ()):  # type: ignore[arg-type]
        raise Misconfigured(f"{flags.since} and {flags.until} name different partitions: name the same in both")
    for flag, partitions in named.items():
        if missing := partitions - there:
            raise Misconfigured(
                f"{flag}: topic {topic!r} has no partition {min(missing)}: it has {', '.join(map(str, sorted(there)))}"
            )
    return sorted(next(iter(named.values()), there))


def _read(
    consumer: Any,  # noqa: ANN401 - kafka-python has no types
    span: _Span,
    tell: Callable[[str], object],
) -> Iterator[Sequence[Any]]:
    consumer.assign(span.places)
    for place in span.places:
        consumer.seek(place, span.first[place])
    heard_at = time.monotonic()
    while waiting := {place for place in span.places if consumer.position(place) < span.last[place]}:
        consumer.pause(*(set(span.places) - waiting))
        try:
            polled = consumer.poll(timeout_ms=1000, max_records=_BATCH)
        except OffsetOutOfRangeError as exc:
            _pass_over(consumer, exc, tell)
            continue
        if polled:
            heard_at = time.monotonic()
            yield [
                record for place, records in polled.items() for record in records if record.offset < span.last[place]
            ]
        elif time.monotonic() - heard_at > SILENCE_S:
            raise KafkaUnavailable(f"Kafka returned nothing for {SILENCE_S:.0f} s before the end of the topic")


def _pass_over(consumer: Any, error: OffsetOutOfRangeError, tell: Callable[[str], object]) -> None:  # noqa: ANN401 - as above
    """Go on behind records that were deleted while we read."""
    for place, position in error.args[0].items():
        oldest = consumer.beginning_offsets([place])[place]
        if oldest <= position:
            raise KafkaUnavailable(f"{_name(place)} was cut off before offset {position}") from error
        tell(gone(place, position, oldest))
        consumer.seek(place, oldest)
