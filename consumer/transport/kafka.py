"""The transport over Kafka, with kafka-python: where images come from, and where verdicts go without transactions.

`consumer/transport/exactly_once.py` publishes in transactions.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import CorruptRecordError, NoOffsetForPartitionError
from kafka.structs import MemberState

from consumer.messages import ImageMessage, OutgoingMessage, last_offsets
from consumer.settings import BATCHES_IN_HAND, KafkaSettings, ServiceSettings
from consumer.transport.limits import warn_of_narrow_topic
from consumer.transport.offset_reset import LOST, LostData
from consumer.transport.rebalance import Partitions
from consumer.transport.records import batch_bytes, image_messages, memory_bytes, offsets_at, offsets_behind, sent_as
from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.kafka.client import Client, close_producer
from neardup.kafka.errors import PLACE_TAKEN, TOO_LARGE, too_large, translated_errors, unreadable
from neardup.kafka.topics import largest_batch_bytes, missing_topics

CONNECT_TIMEOUT_MS = 10_000
FETCH_TIMEOUT_MS = 30_000
"""For a fetch, which may be 64 MB over a slow connection."""
SEND_TIMEOUT_MS = 10_000
DELIVERY_TIMEOUT_MS = 15_000
"""After this a send has failed and the loop retries it; a stop waits for the current attempt."""
COMMIT_TIMEOUT_MS = REBALANCE_TIMEOUT_MS = 15_000
SILENCE_S = 5.0
"""After this long without a message we check that the broker still answers."""
ANSWER_TIMEOUT_MS = 5_000
PRODUCE_BYTES = 256 * 1024
"""What the verdicts of a batch come to, so that those to one partition go in one request; kafka-python's own is 16 KiB.
Less than any topic takes by default (max.message.bytes)."""
LINGER_MS = 1000
RETRY_MS = 10
"""A transaction that begins before the broker has ended the one before is refused, and kafka-python sleeps that long
before it asks again, 100 ms by default. It happens where batches follow one another closely."""
_FETCH_HEADERS_BYTES = 1024 * 1024


class KafkaSource:
    """Delivers the messages of one topic to one member of a consumer group.

    Parameters
    ----------
    settings
        How to reach Kafka, the topic, the group, and how much may be in memory.
    read_committed
        Whether to skip image messages of uncommitted transactions, and to start on a partition only when no open
        transaction moves its offset: otherwise that transaction's messages would be published again.
    count_lost
        Called with the number of messages that were deleted before they were read.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        read_committed: bool = True,
        count_lost: Callable[[int], None] = lambda _messages: None,
    ) -> None:
        self._topic = settings.topic
        self._batch_bytes = settings.batch_bytes // BATCHES_IN_HAND
        self._settings = settings
        self._client = Client(KafkaConsumer, lambda: _consumer_config(settings, read_committed=read_committed))
        self._partitions = Partitions()
        self._lost_data = LostData(settings.on_lost_data, count_lost)
        self._waiting: deque[ImageMessage] = deque()
        self._reached: dict[TopicPartition, int] = {}  # the offsets behind all that was handed out or committed
        self._heard_at = float("-inf")

    def connect(self) -> None:
        """Reach Kafka, check that the topic exists, and join the group."""
        consumer = self._client.get()
        require_topics(self._settings, [self._topic])
        warn_of_narrow_topic(admin_config(self._settings), self._settings)
        with translated_errors():
            # The group's leader assigns the partitions that it has heard of before it joins.
            if not consumer.partitions_for_topic(self._topic):
                raise KafkaUnavailable(f"topic {self._topic!r} has no partitions yet")
            if not consumer.subscription():
                consumer.subscribe([self._topic], listener=self._partitions)

    def poll(self, max_messages: int, timeout_s: float, *, full: bool = False) -> list[ImageMessage]:
        """Return the next messages, partition by partition; see `Source.poll`.

        What Kafka's polls return beyond a batch, or towards a full one, is kept here.
        """
        if self._fills(max_messages):
            self.idle(0.0)  # small batches of large messages must not cost us our place in the group
        else:
            timeout_s = 0.0 if self._waiting else timeout_s
            self._waiting.extend(self._polled(max_messages - len(self._waiting), timeout_s))
        self._waiting = deque(filter(self._owns, self._waiting))
        return self._next_batch(max_messages) if self._fills(max_messages) or not full else []

    def _fills(self, max_messages: int) -> bool:
        """Return whether what waits is a full batch."""
        waiting_bytes = sum(map(memory_bytes, islice(self._waiting, max_messages)))
        return len(self._waiting) >= max_messages or waiting_bytes >= self._batch_bytes

    def _polled(self, max_messages: int, timeout_s: float) -> Iterator[ImageMessage]:
        consumer = self._client.get()
        with translated_errors():
            polled = self._poll_kafka(consumer, timeout_s, max_messages)
            self._ask_when_silent(consumer, heard=bool(polled))
        # After the poll: messages of a partition that was taken and assigned again within it are ours.
        return image_messages(polled, self._partitions.assignment)

    def _next_batch(self, max_messages: int) -> list[ImageMessage]:
        batch: list[ImageMessage] = []
        size_bytes = 0
        while self._waiting and len(batch) < max_messages:
            size_bytes += memory_bytes(self._waiting[0])
            if batch and size_bytes > self._batch_bytes:
                break
            batch.append(self._waiting.popleft())
        self._reached |= {TopicPartition(*place): offset for place, offset in last_offsets(batch).items()}
        return batch

    def _poll_kafka(self, consumer: Any, timeout_s: float, max_records: int | None = None) -> Any:  # noqa: ANN401 - as below
        self._check_place(consumer)
        try:
            return consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
        except NoOffsetForPartitionError as exc:
            # A group without an offset starts at the first message.
            consumer.seek_to_beginning(*exc.args[0])
        except LOST as exc:
            self._lost_data.go_on(consumer, exc)
        except CorruptRecordError as exc:
            places = {place: _position(consumer, place) for place in consumer.assignment()}
            raise unreadable(exc, places, "move the group's offset past it") from exc
        return {}

    @staticmethod
    def _check_place(consumer: Any) -> None:  # noqa: ANN401 - kafka-python has no types
        # When another consumer takes over our instance id, kafka-python silently stops its heartbeats. It would keep
        # partitions that are no longer ours, and loop without a pause.
        coordinator = consumer._coordinator  # noqa: SLF001 - there is no public way
        if coordinator.stable() and not coordinator._heartbeat_enabled:  # noqa: SLF001 - as above
            raise Misconfigured(PLACE_TAKEN)

    def _ask_when_silent(self, consumer: Any, *, heard: bool) -> None:  # noqa: ANN401 - kafka-python has no types
        # While the broker is away, kafka-python returns no messages and no error.
        if not heard and time.monotonic() - self._heard_at < SILENCE_S:
            return
        if not heard:
            known = consumer.partitions_for_topic(self._topic)
            consumer.end_offsets([TopicPartition(self._topic, min(known, default=0))], timeout_ms=ANSWER_TIMEOUT_MS)
        self._heard_at = time.monotonic()

    def ours(self, messages: Sequence[ImageMessage]) -> list[bool]:
        """Return which messages belong to partitions that have been ours ever since they were polled."""
        until = time.monotonic() + REBALANCE_TIMEOUT_MS / 1000
        self._check_place(self._client.get())
        # The broker accepts no offsets from a member during a rebalance.
        while self.group_metadata().state != MemberState.STABLE:
            if time.monotonic() >= until:
                raise KafkaUnavailable(f"the group's rebalance did not finish in {REBALANCE_TIMEOUT_MS / 1000:.0f} s")
            self.idle(0.1)
        return [self._owns(message) for message in messages]

    def _owns(self, message: ImageMessage) -> bool:
        return message.assignment == self._partitions.assignment(TopicPartition(message.topic, message.partition))

    def commit(self, messages: Sequence[ImageMessage]) -> None:
        """Commit the offsets after the messages, except those of revoked partitions.

        The new owner of such a partition gets its messages again, and the index gives them the same verdicts.
        """
        with translated_errors():
            self._client.get().commit(offsets_behind(filter(self._owns, messages)), timeout_ms=COMMIT_TIMEOUT_MS)

    def passed(self) -> Mapping[tuple[str, int], int]:
        """Return where the positions are behind more than what was handed out; see `Source.passed`."""
        if self._waiting:
            return {}
        consumer = self._client.get()
        with translated_errors():
            places = consumer.assignment()
            self._reached = {place: self._reached_in(place) for place in places}
            positions = {place: _position(consumer, place) for place in places}
        return {place: at for place, at in positions.items() if at is not None and at > self._reached[place]}

    def _reached_in(self, place: TopicPartition) -> int:
        return self._reached[place] if place in self._reached else self.committed(place)[0]

    def have_committed(self, passed: Mapping[tuple[str, int], int]) -> None:
        """Note that offsets of `passed` are committed."""
        self._reached |= {TopicPartition(*place): offset for place, offset in passed.items()}

    def commit_passed(self) -> None:
        """Commit the offsets of `passed`."""
        if passed := self.passed():
            with translated_errors():
                self._client.get().commit(offsets_at(passed), timeout_ms=COMMIT_TIMEOUT_MS)
            self.have_committed(passed)

    def idle(self, timeout_s: float) -> None:
        """Poll with all partitions paused, to stay in the group during an outage or a long batch."""
        consumer = self._client.made
        if consumer is None:  # only `connect` may reach for the brokers
            raise KafkaUnavailable("not connected")
        with translated_errors():
            paused = consumer.assignment()
            consumer.pause(*paused)
            try:
                polled = self._poll_kafka(consumer, timeout_s)
            finally:
                consumer.resume(*(paused & consumer.assignment()))
            # A partition assigned during this poll was not paused yet: rewind it.
            for partition, records in polled.items():
                consumer.seek(partition, records[0].offset)

    def lag(self) -> Mapping[tuple[str, int], int]:
        """Return high watermark minus position, where both are known."""
        consumer = self._client.get()
        lags = {}
        with translated_errors():
            for partition in consumer.assignment():
                high_watermark = consumer.highwater(partition)
                position = _position(consumer, partition) if high_watermark is not None else None
                if position is not None:
                    lags[partition.topic, partition.partition] = max(0, high_watermark - position)
        for message in self._waiting:
            lags[message.topic, message.partition] = lags.get((message.topic, message.partition), 0) + 1
        return lags

    @property
    def exhausted(self) -> bool:
        """Always false: a topic has no end."""
        return False

    def group_metadata(self) -> Any:  # noqa: ANN401 - kafka-python has no types
        """Return our identity in the group, for a transaction."""
        return self._client.get().group_metadata()

    def committed(self, partition: TopicPartition) -> tuple[int, str]:
        """Return the group's offset in a partition (0 if none) and its note; waits for open transactions."""
        with translated_errors():
            found = self._client.get().committed(partition, metadata=True, timeout_ms=COMMIT_TIMEOUT_MS)
        return (0, "") if found is None else (found.offset, found.metadata)

    def close(self) -> None:
        """Leave the group."""
        if self._client.made is not None:
            with translated_errors():
                self._client.made.close(autocommit=False, timeout_ms=5000)
            self._client.drop()


def _position(consumer: Any, partition: TopicPartition) -> int | None:  # noqa: ANN401 - kafka-python has no types
    try:
        position: int | None = consumer.position(partition, timeout_ms=0)
    except (NoOffsetForPartitionError, *LOST):  # the next poll goes on from there
        return None
    return position


class KafkaSink:
    """Publishes to any topic, acknowledged by all in-sync replicas.

    Parameters
    ----------
    settings
        How to reach Kafka.
    topics
        Topics that must exist.
    """

    def __init__(self, settings: KafkaSettings, topics: Sequence[str]) -> None:
        self._settings = settings
        self._topics = topics
        self._client = Client(KafkaProducer, lambda: producer_config(settings))

    def connect(self) -> None:
        """Reach Kafka and check that the topics exist."""
        self._client.get()
        require_topics(self._settings, self._topics)

    def largest_bytes(self, topic: str) -> int | None:
        """Return the largest message that a topic takes, as `bytes_of` counts; None if brokers do not tell."""
        return largest_batch_bytes(admin_config(self._settings), topic)

    @staticmethod
    def bytes_of(message: OutgoingMessage) -> int:
        """Return the size of a message as brokers count it."""
        return batch_bytes(message)

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Send all, then wait for every acknowledgement; see `Sink.publish`."""
        producer = self._client.get()
        try:
            with translated_errors():
                send_all(producer, messages)
        except (KafkaUnavailable, Misconfigured):
            # An idempotent producer may be unable to recover: the next attempt makes a new one.
            close_producer(self._client, timeout_s=0)
            raise

    def close(self) -> None:
        """Close all connections; everything published is acknowledged."""
        close_producer(self._client, timeout_s=5)


def send_all(producer: Any, messages: Sequence[OutgoingMessage]) -> None:  # noqa: ANN401 - kafka-python has no types
    """Send, and wait for every acknowledgement."""
    futures = [_send(producer, message) for message in messages]
    producer.flush(timeout=DELIVERY_TIMEOUT_MS / 1000)
    for message, future in zip(messages, futures, strict=True):
        try:
            future.get(timeout=DELIVERY_TIMEOUT_MS / 1000)
        except TOO_LARGE as exc:
            raise too_large(message.topic, batch_bytes(message), exc) from exc


def _send(producer: Any, message: OutgoingMessage) -> Any:  # noqa: ANN401 - kafka-python has no types
    try:
        return producer.send(**sent_as(message, producer.partitions_for))
    except TOO_LARGE as exc:
        raise too_large(message.topic, batch_bytes(message), exc) from exc


def require_topics(settings: KafkaSettings, topics: Sequence[str]) -> None:
    """Check that topics exist, without creating them; KafkaUnavailable for those that do not.

    Our other clients are no help: a producer cannot tell a missing topic from a missing broker.
    """
    if missing := missing_topics(admin_config(settings), topics):
        raise KafkaUnavailable("; ".join(f"topic {topic!r} does not exist (yet)" for topic in missing))


def _consumer_config(settings: ServiceSettings, *, read_committed: bool) -> dict[str, Any]:
    # What fills a batch, and no more: a fetch is copied several times, and from 32 MiB on the allocator takes each copy
    # anew from the system, which clears it first.
    fetch_bytes = settings.batch_bytes // BATCHES_IN_HAND
    return {
        **settings.client_config(),
        "group_id": settings.group,
        "group_instance_id": settings.group_instance_id,
        "partition_assignment_strategy": (CooperativeStickyAssignor,),
        "isolation_level": "read_committed" if read_committed else "read_uncommitted",
        "client_id": "neardup-consumer",
        "enable_auto_commit": False,
        # We handle both cases: a new group starts at the first message; for lost data there is a setting.
        "auto_offset_reset": "none",
        "allow_auto_create_topics": False,
        "session_timeout_ms": int(settings.session_timeout_s * 1000),
        "heartbeat_interval_ms": int(min(3.0, settings.session_timeout_s / 3) * 1000),
        "max_poll_interval_ms": int(settings.max_poll_interval_s * 1000),
        "fetch_max_bytes": fetch_bytes,
        "max_partition_fetch_bytes": fetch_bytes,
        # A broker returns at least one message, however large: that must not count as a broken reply.
        "receive_message_max_bytes": fetch_bytes + settings.max_message_bytes + _FETCH_HEADERS_BYTES,
        "request_timeout_ms": FETCH_TIMEOUT_MS,
        "bootstrap_timeout_ms": CONNECT_TIMEOUT_MS,
        "metrics_enabled": False,
    }


def producer_config(settings: KafkaSettings) -> dict[str, Any]:
    """Return the configuration of all our producers."""
    return {
        **settings.client_config(),
        "client_id": "neardup-producer",
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": None,
        "batch_size": PRODUCE_BYTES,
        # A message goes when its batch is full, or by the flush that always follows.
        "linger_ms": LINGER_MS,
        "retry_backoff_ms": RETRY_MS,
        # The dead letter of the largest message has its headers plus ours.
        "max_request_size": settings.max_message_bytes + 64 * 1024,
        "allow_auto_create_topics": False,
        "request_timeout_ms": SEND_TIMEOUT_MS,
        "delivery_timeout_ms": DELIVERY_TIMEOUT_MS,
        "max_block_ms": CONNECT_TIMEOUT_MS,
        "bootstrap_timeout_ms": CONNECT_TIMEOUT_MS,
        "metrics_enabled": False,
    }


def admin_config(settings: KafkaSettings) -> dict[str, Any]:
    """Return the configuration of the clients that ask about topics."""
    return {
        **settings.client_config(),
        "client_id": "neardup-admin",
        "request_timeout_ms": SEND_TIMEOUT_MS,
        "bootstrap_timeout_ms": CONNECT_TIMEOUT_MS,
    }
