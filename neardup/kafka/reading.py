"""Reads a topic from a point in time to its current end, outside any group."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError

from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.kafka.client import Client
from neardup.kafka.errors import translated_errors, unreadable
from neardup.kafka.topics import missing_topics

CONNECT_TIMEOUT_MS = 10_000
_SILENCE_S = 30.0
"""After this long without a record before the end, the broker counts as unavailable."""
_BATCH = 500


def read_topic(
    config: Mapping[str, Any], topic: str, since_ms: int, *, topic_flag: str, since_flag: str
) -> Iterator[Sequence[Any]]:
    """Iterate over the records of a topic, in batches, as kafka-python gives them.

    Parameters
    ----------
    config
        How to reach Kafka, our client id, and the message limit, in kafka-python's terms.
    topic
        It must exist.
    since_ms
        Where to start, milliseconds since the epoch.
    topic_flag, since_flag
        Their flags, for error messages.

    Raises
    ------
    KafkaUnavailable
        It may be temporary.
    Misconfigured
        The topic does not exist or cannot be read.
    """
    config = {**config, **_reading()}
    if missing_topics(config, [topic]):
        raise Misconfigured(f"{topic_flag}: there is no topic {topic!r}")
    client = Client(KafkaConsumer, lambda: config)
    with translated_errors(), closing(client.get()) as consumer:
        places = [TopicPartition(topic, partition) for partition in sorted(consumer.partitions_for_topic(topic))]
        try:
            yield from _read(consumer, places, since_ms)
        except CorruptRecordError as exc:
            at = {place: consumer.position(place) for place in places}
            raise unreadable(exc, at, f"start after it with {since_flag}") from exc


def _reading() -> dict[str, Any]:
    return {
        "group_id": None,
        "enable_auto_commit": False,
        "isolation_level": "read_committed",
        "allow_auto_create_topics": False,
        "bootstrap_timeout_ms": CONNECT_TIMEOUT_MS,
        "metrics_enabled": False,
    }


def _read(consumer: Any, places: list[Any], since_ms: int) -> Iterator[Sequence[Any]]:  # noqa: ANN401 - as above
    consumer.assign(places)
    ends = consumer.end_offsets(places)
    first = consumer.offsets_for_times(dict.fromkeys(places, since_ms))
    for place in places:
        found = first.get(place)
        consumer.seek(place, found.offset if found else ends[place])
    heard_at = time.monotonic()
    while any(consumer.position(place) < ends[place] for place in places):
        polled = consumer.poll(timeout_ms=1000, max_records=_BATCH)
        if polled:
            heard_at = time.monotonic()
            yield [record for place, records in polled.items() for record in records if record.offset < ends[place]]
        elif time.monotonic() - heard_at > _SILENCE_S:
            raise KafkaUnavailable(f"Kafka returned nothing for {_SILENCE_S:.0f} s before the end of the topic")
