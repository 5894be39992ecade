"""Follows topics as messages come, outside any group: nothing is joined, and nothing committed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import CorruptRecordError

from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.kafka.client import Client
from neardup.kafka.errors import translated_errors, unreadable
from neardup.kafka.topics import missing_topics

CONNECT_TIMEOUT_MS = 10_000
ANSWER_TIMEOUT_MS = 5_000
_MOST_RECORDS = 500


class Follower:
    """Reads several topics from near their ends on, and asks how far a group has come with another.

    Of one thread alone.

    Parameters
    ----------
    config
        How to reach Kafka, our client id, and the message limit, in kafka-python's terms.
    topics
        What is followed.
    last
        How many of the messages that are there already are read first, at most, of each partition.
    """

    def __init__(self, config: Mapping[str, Any], topics: Sequence[str], last: int) -> None:
        self._config = {**config, "bootstrap_timeout_ms": CONNECT_TIMEOUT_MS}
        self._topics = topics
        self._last = last
        self._client = Client(KafkaConsumer, self._consumer_config)
        known = {name: value for name, value in self._config.items() if name in KafkaAdminClient.DEFAULT_CONFIG}
        self._admin = Client(KafkaAdminClient, lambda: known)
        self._began: dict[TopicPartition, int] = {}  # where each partition ended when we came

    def _consumer_config(self) -> dict[str, Any]:
        return {
            **self._config,
            "group_id": None,
            "enable_auto_commit": False,
            "isolation_level": "read_committed",
            # Of a topic that was emptied or made anew what is there now is shown.
            "auto_offset_reset": "earliest",
            "allow_auto_create_topics": False,
            "metrics_enabled": False,
        }

    def connect(self) -> None:
        """Reach Kafka, and take up partitions that are new, from their beginning; safe to call again and again.

        Raises
        ------
        KafkaUnavailable
            No broker answers, or a topic is not there yet.
        Misconfigured
            The brokers reject us.
        """
        if missing := missing_topics(self._config, self._topics):
            raise KafkaUnavailable("; ".join(f"topic {topic!r} does not exist (yet)" for topic in missing))
        consumer = self._client.get()
        with translated_errors():
            places = [TopicPartition(topic, number) for topic in self._topics for number in _numbers(consumer, topic)]
            consumer.assign(places)
            firsts = consumer.beginning_offsets(places, timeout_ms=ANSWER_TIMEOUT_MS)
            ends = consumer.end_offsets(places, timeout_ms=ANSWER_TIMEOUT_MS)
        came_later = bool(self._began)
        for place in places:
            if place not in self._began:
                # All that a partition has which was not there when we came is new; we may learn of it minutes later.
                self._began[place] = 0 if came_later else ends[place]
                consumer.seek(place, firsts[place] if came_later else max(firsts[place], ends[place] - self._last))
            elif ends[place] < self._began[place]:
                self._began[place] = 0  # the topic was made anew

    def poll(self, timeout_s: float) -> Iterator[tuple[Any, bool]]:
        """Iterate over the next records as kafka-python gives them, and whether each was there before we came.

        Raises
        ------
        KafkaUnavailable, Misconfigured
            They cannot be read.
        """
        consumer = self._client.get()
        with translated_errors():
            try:
                polled = consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=_MOST_RECORDS)
            except CorruptRecordError as exc:
                places = {place: consumer.position(place) for place in self._began}
                raise unreadable(exc, places, "watch from behind it, with --last 0") from exc
        for place, records in polled.items():
            for record in records:
                yield record, record.offset < self._began[place]

    def lag(self, group: str, topic: str) -> dict[int, int] | None:
        """Return how many messages of each partition a group has not committed; None if it never committed any.

        What was never committed in a partition is counted from its beginning, where the group will start.

        Raises
        ------
        KafkaUnavailable
            No broker answers.
        Misconfigured
            We may not ask, or there is no such topic: brokers tell these apart to nobody who may not see it.
        """
        consumer = self._client.get()
        with translated_errors():
            places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
            if not places:
                raise Misconfigured(f"topic {topic!r} is not there, or we may not see it")
            ends = consumer.end_offsets(places, timeout_ms=ANSWER_TIMEOUT_MS)
            found = self._admin.get().list_group_offsets({group: places})[group]
            committed = {place: at.offset for place, at in found.items() if at.offset >= 0}
            if not committed:
                return None
            firsts = consumer.beginning_offsets(places, timeout_ms=ANSWER_TIMEOUT_MS)
        return {place.partition: max(0, ends[place] - max(committed.get(place, 0), firsts[place])) for place in places}

    def close(self) -> None:
        """Let go of the brokers."""
        for client in (self._client, self._admin):
            if client.made is not None:
                with translated_errors():
                    client.made.close()
                client.drop()


def _numbers(consumer: Any, topic: str) -> list[int]:  # noqa: ANN401 - kafka-python has no types
    found = consumer.partitions_for_topic(topic)
    if not found:
        raise KafkaUnavailable(f"topic {topic!r} does not exist (yet)")
    return sorted(found)
