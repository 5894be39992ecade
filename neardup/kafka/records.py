"""Finds single records by their places, as long as topics have them."""

import re
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, OffsetOutOfRangeError

from neardup.errors import KafkaUnavailable
from neardup.kafka.client import Client
from neardup.kafka.errors import translated_errors
from neardup.kafka.reading import SILENCE_S, reading_config
from neardup.kafka.topics import missing_topics

_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
"""What Kafka takes for the name of a topic."""
_FETCH_BYTES = 1024 * 1024
"""What comes behind the record that is asked for is mostly not asked for."""
_READ_ON = 16
"""Records that are passed over rather than have those that were fetched already fetched again."""
_FETCH_HEADERS_BYTES = 1024 * 1024


class Records:
    """Finds records by topic, partition and offset; quickest in the order in which they were written.

    Parameters
    ----------
    config
        How to reach Kafka, and our client id, in kafka-python's terms.
    max_message_bytes
        The largest message that there may be.
    """

    def __init__(self, config: Mapping[str, Any], max_message_bytes: int) -> None:
        self._config = {
            **config,
            **reading_config(),
            "fetch_max_bytes": _FETCH_BYTES,
            "max_partition_fetch_bytes": _FETCH_BYTES,
            # A broker returns at least one message, however large.
            "receive_message_max_bytes": max_message_bytes + _FETCH_BYTES + _FETCH_HEADERS_BYTES,
        }
        self._client = Client(KafkaConsumer, lambda: self._config)
        self._partitions: dict[str, set[int]] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._next: tuple[TopicPartition, int] | None = None

    def find(self, topic: str, partition: int, offset: int) -> Any | None:  # noqa: ANN401 - kafka-python has no types
        """Return the record as kafka-python gives it; None if the topic does not have it, or cannot give it.

        Raises
        ------
        KafkaUnavailable, Misconfigured
            Kafka cannot be reached, or does not let us read.
        """
        # A place comes from a verdict, which may say anything.
        if offset < 0 or not _NAME.fullmatch(topic) or partition not in self._partitions_of(topic):
            return None
        place = TopicPartition(topic, partition)
        with translated_errors():
            consumer = self._client.get()
            try:
                return self._found(consumer, place, offset)
            except (OffsetOutOfRangeError, CorruptRecordError):
                self._next = None
                consumer.assign([])
                return None

    def _partitions_of(self, topic: str) -> set[int]:
        if topic not in self._partitions:
            # First by an admin client: a consumer would wait for a topic that is not there.
            missing = missing_topics(self._config, [topic])
            with translated_errors():
                there = set() if missing else set(self._client.get().partitions_for_topic(topic) or ())
            self._partitions[topic] = there
        return self._partitions[topic]

    def _found(self, consumer: Any, place: TopicPartition, offset: int) -> Any | None:  # noqa: ANN401 - as above
        if self._next is None or self._next[0] != place:
            consumer.assign([place])
            self._next = None
        if offset >= self._ends.get(place, 0):
            self._ends |= consumer.end_offsets([place])
        if offset >= self._ends[place]:  # a fetch would wait for what comes
            return None
        if self._next is None or not 0 <= offset - self._next[1] <= _READ_ON:
            consumer.seek(place, offset)
        self._next = None
        until = time.monotonic() + SILENCE_S
        while time.monotonic() < until:
            for record in consumer.poll(timeout_ms=1000, max_records=1).get(place, ()):
                if record.offset >= offset:
                    self._next = (place, record.offset + 1)
                    return record if record.offset == offset else None
            if consumer.position(place) > offset:  # it is a marker, or of a transaction that was aborted
                return None
        raise KafkaUnavailable(f"Kafka returned nothing for {SILENCE_S:.0f} s from {place.topic}-{place.partition}")

    def close(self) -> None:
        """Close the connection."""
        if self._client.made is not None:
            self._client.made.close(autocommit=False)
            self._client.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
