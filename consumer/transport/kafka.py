"""The transport over Kafka, by kafka-python: where images come from, and where verdicts go one by one.

`consumer/transport/exactly_once.py` publishes in transactions.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CorruptRecordError,
    KafkaError,
    KafkaTimeoutError,
    NoOffsetForPartitionError,
)
from kafka.structs import MemberState, OffsetAndMetadata

from consumer.messages import ImageMessage, OutgoingMessage, last_offsets
from consumer.settings import KafkaSettings, ServiceSettings
from consumer.transport.offset_reset import LOST, LostData
from consumer.transport.rebalance import Partitions
from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.kafka.client import Client
from neardup.kafka.errors import PLACE_TAKEN, translated_errors, unreadable

CONNECT_TIMEOUT_MS = 10_000
FETCH_TIMEOUT_MS = 30_000
"""Of a fetch, which may hold 64 MB on a slow line."""
SEND_TIMEOUT_MS = 10_000
DELIVERY_TIMEOUT_MS = 15_000
"""After this a send counts as failed and the loop sends again; a stop waits for the attempt under way."""
COMMIT_TIMEOUT_MS = 15_000
REBALANCE_TIMEOUT_MS = 15_000
SILENCE_S = 5.0
"""After this long without a message the broker is asked for a sign of life."""
ANSWER_TIMEOUT_MS = 5_000
_FETCH_HEADERS_BYTES = 1024 * 1024


class KafkaSource:
    """Delivers the messages of one topic to one member of a consumer group.

    Parameters
    ----------
    settings
        How to reach Kafka, the topic, the group, and how much may be in memory.
    read_committed
        Whether to leave out image messages of transactions that were not committed, and to begin in a partition only
        when no transaction that moves its offset is open: else what such a transaction published would come again.
    count_lost
        Told how many messages were deleted before they were read.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        read_committed: bool = True,
        count_lost: Callable[[int], None] = lambda _messages: None,
    ) -> None:
        self._topic = settings.topic
        self._batch_bytes = settings.batch_bytes
        self._client = Client(KafkaConsumer, lambda: _consumer_config(settings, read_committed=read_committed))
        self._partitions = Partitions()
        self._lost_data = LostData(settings.on_lost_data, count_lost)
        self._waiting: deque[ImageMessage] = deque()
        self._heard_at = float("-inf")

    def connect(self) -> None:
        """Reach Kafka, check that the topic exists, and join the group."""
        consumer = self._client.get()
        with translated_errors():
            if not consumer.partitions_for_topic(self._topic):
                raise KafkaUnavailable(f"topic {self._topic!r} does not exist (yet), or we may not describe it")
            if not consumer.subscription():
                consumer.subscribe([self._topic], listener=self._partitions)

    def poll(self, max_messages: int, timeout_s: float) -> list[ImageMessage]:
        """Return the next messages, partition by partition; see `Source.poll`.

        What one poll of Kafka gives beyond `--batch-bytes` waits here, and no more is asked for until it is gone.
        """
        self._partitions.forget_taken()
        if self._waiting:
            self.idle(0.0)  # a small batch of large messages must not keep us from the group
            self._waiting = deque(message for message in self._waiting if self._owns(message))
        if not self._waiting:
            self._waiting.extend(self._polled(max_messages, timeout_s))
            # What a partition gave after it was taken and given back, within this poll, is ours.
            self._partitions.forget_taken()
        return self._next_batch(max_messages)

    def _polled(self, max_messages: int, timeout_s: float) -> list[ImageMessage]:
        consumer = self._client.get()
        with translated_errors():
            polled = self._poll_kafka(consumer, timeout_s, max_messages)
            self._ask_when_silent(consumer, heard=bool(polled))
        return [_image_message(record) for records in polled.values() for record in records]

    def _next_batch(self, max_messages: int) -> list[ImageMessage]:
        batch: list[ImageMessage] = []
        size_bytes = 0
        while self._waiting and len(batch) < max_messages:
            size_bytes += _size_bytes(self._waiting[0])
            if batch and size_bytes > self._batch_bytes:
                break
            batch.append(self._waiting.popleft())
        return batch

    def _poll_kafka(self, consumer: Any, timeout_s: float, max_records: int | None = None) -> Any:  # noqa: ANN401 - as below
        self._check_place(consumer)
        try:
            return consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
        except NoOffsetForPartitionError as exc:
            # A group that is new to a partition begins with the first message.
            consumer.seek_to_beginning(*exc.args[0])
        except LOST as exc:
            self._lost_data.go_on(consumer, exc)
        except CorruptRecordError as exc:
            places = {place: _position(consumer, place) for place in consumer.assignment()}
            raise unreadable(exc, places, "move the group's offset past it") from exc
        return {}

    @staticmethod
    def _check_place(consumer: Any) -> None:  # noqa: ANN401 - kafka-python has no types
        # Told that somebody else has its instance id, kafka-python ends its heartbeats and says nothing. It would go on
        # with partitions that are no longer ours, and turn without a pause.
        coordinator = consumer._coordinator  # noqa: SLF001 - there is no public way
        if coordinator.stable() and not coordinator._heartbeat_enabled:  # noqa: SLF001 - as above
            raise Misconfigured(PLACE_TAKEN)

    def _ask_when_silent(self, consumer: Any, *, heard: bool) -> None:  # noqa: ANN401 - kafka-python has no types
        # kafka-python gives no messages and no error, too, while the broker is away.
        if not heard and time.monotonic() - self._heard_at < SILENCE_S:
            return
        if not heard:
            known = consumer.partitions_for_topic(self._topic)
            consumer.end_offsets([TopicPartition(self._topic, min(known, default=0))], timeout_ms=ANSWER_TIMEOUT_MS)
        self._heard_at = time.monotonic()

    def ours(self, messages: Sequence[ImageMessage]) -> list[bool]:
        """Return which messages are of partitions that have been ours without a break since the poll."""
        until = time.monotonic() + REBALANCE_TIMEOUT_MS / 1000
        self._check_place(self._client.get())
        # The broker takes no offsets from a member that is about to learn what it has.
        while self.group_metadata().state != MemberState.STABLE:
            if time.monotonic() >= until:
                raise KafkaUnavailable(f"the group has not come to rest in {REBALANCE_TIMEOUT_MS / 1000:.0f} s")
            self.idle(0.1)
        return [self._owns(message) for message in messages]

    def _owns(self, message: ImageMessage) -> bool:
        return not self._partitions.taken(TopicPartition(message.topic, message.partition))

    def commit(self, messages: Sequence[ImageMessage]) -> None:
        """Commit the offsets behind the messages; those of partitions that were taken from us are left alone.

        Whoever has such a partition now gets its messages again, and the index gives them the same verdicts.
        """
        with translated_errors():
            self._client.get().commit(offsets_behind(filter(self._owns, messages)), timeout_ms=COMMIT_TIMEOUT_MS)

    def idle(self, timeout_s: float) -> None:
        """Poll with every partition paused, so that the group keeps us while a server is away or a batch takes long."""
        consumer = self._client.made
        if consumer is None:  # reaching for the brokers is what connecting does, not resting
            raise KafkaUnavailable("not connected")
        with translated_errors():
            paused = consumer.assignment()
            consumer.pause(*paused)
            try:
                polled = self._poll_kafka(consumer, timeout_s)
            finally:
                consumer.resume(*(paused & consumer.assignment()))
            # A partition assigned in this very poll was not paused yet: what it gave is to be given again.
            for partition, records in polled.items():
                consumer.seek(partition, records[0].offset)

    def lag(self) -> Mapping[tuple[str, int], int]:
        """Return high watermark less position, as far as both are known."""
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
        """Never: a topic has no end."""
        return False

    def group_metadata(self) -> Any:  # noqa: ANN401 - kafka-python has no types
        """Return who we are in the group, as a transaction has to say it."""
        return self._client.get().group_metadata()

    def committed(self, partition: TopicPartition) -> tuple[int, str]:
        """Return the group's offset in a partition and its note, 0 without one; waits for the end of a transaction."""
        with translated_errors():
            found = self._client.get().committed(partition, metadata=True, timeout_ms=COMMIT_TIMEOUT_MS)
        return (0, "") if found is None else (found.offset, found.metadata)

    def close(self) -> None:
        """Leave the group."""
        if self._client.made is not None:
            with translated_errors():
                self._client.made.close(autocommit=False, timeout_ms=5000)
            self._client.drop()


def offsets_behind(messages: Iterable[ImageMessage], note: str = "") -> dict[TopicPartition, OffsetAndMetadata]:
    """Return the offset to commit for each partition with a note beside it, as kafka-python wants it."""
    last = last_offsets(list(messages))
    return {TopicPartition(*place): OffsetAndMetadata(offset, note, -1) for place, offset in last.items()}


def _size_bytes(message: ImageMessage) -> int:
    return len(message.value or b"") + len(message.key or b"") + sum(len(text or b"") for _, text in message.headers)


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
        self._topics = topics
        self._client = Client(KafkaProducer, lambda: producer_config(settings))

    def connect(self) -> None:
        """Reach Kafka and check that the topics exist."""
        producer = self._client.get()
        for topic in self._topics:
            with translated_errors():
                await_topic(producer, topic)

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Send all, then wait for every acknowledgement; see `Sink.publish`."""
        producer = self._client.get()
        try:
            with translated_errors():
                send_all(producer, messages)
        except (KafkaUnavailable, Misconfigured):
            # An idempotent producer may have met an error that it never gets past: the next attempt has a new one.
            self._let_go(timeout_s=0)
            raise

    def close(self) -> None:
        """Let go of the connections; what was published is acknowledged already."""
        self._let_go(timeout_s=5)

    def _let_go(self, timeout_s: float) -> None:
        let_go(self._client, timeout_s)


def send_all(producer: Any, messages: Sequence[OutgoingMessage]) -> None:  # noqa: ANN401 - kafka-python has no types
    """Send, and wait for every acknowledgement."""
    futures = [_send(producer, message) for message in messages]
    producer.flush(timeout=DELIVERY_TIMEOUT_MS / 1000)
    for future in futures:
        future.get(timeout=DELIVERY_TIMEOUT_MS / 1000)


def _send(producer: Any, message: OutgoingMessage) -> Any:  # noqa: ANN401 - kafka-python has no types
    # kafka-python sends neither null headers nor a message that is null all over: both become empty.
    value = b"" if message.value is None and message.key is None else message.value
    headers = [(name, text or b"") for name, text in message.headers]
    return producer.send(message.topic, value=value, key=message.key, headers=headers)


def let_go(client: Client, timeout_s: float) -> None:
    """Close a producer and forget it, whatever it is at."""
    producer = client.made
    if producer is None:
        return
    client.drop()
    try:
        producer.close(timeout=timeout_s)
    except KafkaError:
        # It gave up before it ended its thread, which would go on sending.
        producer._sender.force_close()  # noqa: SLF001 - there is no public way


def await_topic(producer: Any, topic: str) -> None:  # noqa: ANN401 - kafka-python has no types
    """Check that a topic exists; KafkaUnavailable if not."""
    try:
        producer.partitions_for(topic)
    except KafkaTimeoutError as exc:
        # The producer waits for a topic that is not there as it does for a broker that is not there.
        raise KafkaUnavailable(f"topic {topic!r} does not exist (yet), or Kafka does not answer") from exc


def _consumer_config(settings: ServiceSettings, *, read_committed: bool) -> dict[str, Any]:
    return {
        **settings.client_config(),
        "group_id": settings.group,
        "group_instance_id": settings.group_instance_id,
        "partition_assignment_strategy": (CooperativeStickyAssignor,),
        "isolation_level": "read_committed" if read_committed else "read_uncommitted",
        "client_id": "neardup-consumer",
        "enable_auto_commit": False,
        # Not a policy for two cases: a group that is new begins with the first message, lost data is a setting.
        "auto_offset_reset": "none",
        "allow_auto_create_topics": False,
        "session_timeout_ms": int(settings.session_timeout_s * 1000),
        "heartbeat_interval_ms": int(min(3.0, settings.session_timeout_s / 3) * 1000),
        "max_poll_interval_ms": int(settings.max_poll_interval_s * 1000),
        # A broker gives at least one message, however large; that must not be taken for a broken reply.
        "fetch_max_bytes": settings.batch_bytes,
        "max_partition_fetch_bytes": settings.batch_bytes,
        "receive_message_max_bytes": settings.batch_bytes + settings.max_message_bytes + _FETCH_HEADERS_BYTES,
        "request_timeout_ms": FETCH_TIMEOUT_MS,
        "bootstrap_timeout_ms": CONNECT_TIMEOUT_MS,
        "metrics_enabled": False,
    }


def producer_config(settings: KafkaSettings) -> dict[str, Any]:
    """Return what every producer of ours is constructed with."""
    return {
        **settings.client_config(),
        "client_id": "neardup-producer",
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": None,
        "linger_ms": 5,
        # The dead letter of a largest message carries its headers and ours on top.
        "max_request_size": settings.max_message_bytes + 64 * 1024,
        "allow_auto_create_topics": False,
        "request_timeout_ms": SEND_TIMEOUT_MS,
        "delivery_timeout_ms": DELIVERY_TIMEOUT_MS,
        "max_block_ms": CONNECT_TIMEOUT_MS,
        "bootstrap_timeout_ms": CONNECT_TIMEOUT_MS,
        "metrics_enabled": False,
    }


def _image_message(record: Any) -> ImageMessage:  # noqa: ANN401 - kafka-python has no types
    return ImageMessage(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )
