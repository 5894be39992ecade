"""The transport over Kafka, by kafka-python."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    AuthorizationError,
    CommitFailedError,
    CorruptRecordError,
    IllegalGenerationError,
    InvalidTopicError,
    KafkaConfigurationError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RebalanceInProgressError,
    RecordListTooLargeError,
    SaslAuthenticationFailedError,
    UnknownMemberIdError,
    UnsupportedSaslMechanismError,
)
from kafka.structs import OffsetAndMetadata

from consumer.messages import ImageMessage, OutgoingMessage, last_offsets
from consumer.settings import KafkaSettings
from neardup.errors import KafkaUnavailable, Misconfigured

CONNECT_TIMEOUT_MS = 10_000
FETCH_TIMEOUT_MS = 30_000
"""Of a fetch, which may hold 64 MB on a slow line."""
SEND_TIMEOUT_MS = 10_000
DELIVERY_TIMEOUT_MS = 15_000
"""After this a send counts as failed and the loop sends again; a stop waits for the attempt under way."""
COMMIT_TIMEOUT_MS = 15_000
SILENCE_S = 5.0
"""After this long without a message the broker is asked for a sign of life."""
ANSWER_TIMEOUT_MS = 5_000
FETCH_MAX_BYTES = 64 * 1024 * 1024
"""What the consumer holds at most in one fetch: with images of 100 kB, ten batches."""

_FATAL = (
    AuthorizationError,
    InvalidTopicError,
    KafkaConfigurationError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_LOST_PARTITIONS = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)

_log = logging.getLogger(__name__)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise the project's errors in place of kafka-python's.

    Raises
    ------
    KafkaUnavailable
        It may pass.
    Misconfigured
        Not allowed in, or never possible.
    """
    try:
        yield
    except _FATAL as exc:
        raise Misconfigured(f"Kafka refused us: {_text(exc)}") from exc
    except _TOO_LARGE as exc:
        raise Misconfigured(
            f"a message is larger than Kafka takes: {_text(exc)}; raise max.message.bytes of the verdict and "
            "dead-letter topics above that of the image topic, and --max-message-bytes with it"
        ) from exc
    except (KafkaError, OSError) as exc:
        raise KafkaUnavailable(f"Kafka does not serve: {_text(exc)}") from exc


def _text(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__


class _Client:
    """A kafka-python client that is made when it is first needed, because making it reaches for the brokers."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None

    def get(self) -> Any:  # noqa: ANN401 - kafka-python has no types
        if self._made is None:
            try:
                with translated_errors():
                    self._made = self._make()
            except KafkaUnavailable as exc:
                # kafka-python keeps to itself what it was refused for, but for its log.
                raise KafkaUnavailable(f"{exc}: nobody answers there, or the security settings are refused") from exc
            except (ValueError, TypeError, AssertionError) as exc:
                raise Misconfigured(f"Kafka settings: {exc}") from exc
        return self._made

    @property
    def made(self) -> Any:  # noqa: ANN401 - kafka-python has no types
        return self._made

    def drop(self) -> None:
        self._made = None


class KafkaSource:
    """Delivers the messages of one topic to one member of a consumer group.

    Parameters
    ----------
    settings
        How to reach Kafka, and the topic.
    group
        Consumer group.
    """

    def __init__(self, settings: KafkaSettings, group: str) -> None:
        self._topic = settings.topic
        self._client = _Client(lambda: KafkaConsumer(**_consumer_config(settings, group)))
        self._heard_at = float("-inf")

    def connect(self) -> None:
        """Reach Kafka, check that the topic exists, and join the group."""
        consumer = self._client.get()
        with translated_errors():
            if not consumer.partitions_for_topic(self._topic):
                raise KafkaUnavailable(f"topic {self._topic!r} does not exist (yet)")
            if not consumer.subscription():
                consumer.subscribe([self._topic])

    def poll(self, max_messages: int, timeout_s: float) -> list[ImageMessage]:
        """Return the next messages, partition by partition; see `Source.poll`."""
        consumer = self._client.get()
        try:
            with translated_errors():
                polled = consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_messages)
                self._ask_when_silent(consumer, heard=bool(polled))
        except KafkaUnavailable as exc:
            if isinstance(exc.__cause__, CorruptRecordError):
                raise _unreadable(consumer, exc.__cause__) from exc
            raise
        return [_image_message(record) for records in polled.values() for record in records]

    def _ask_when_silent(self, consumer: Any, *, heard: bool) -> None:  # noqa: ANN401 - kafka-python has no types
        # kafka-python gives no messages and no error, too, while the broker is away.
        if not heard and time.monotonic() - self._heard_at < SILENCE_S:
            return
        if not heard:
            known = consumer.partitions_for_topic(self._topic)
            consumer.end_offsets([TopicPartition(self._topic, min(known, default=0))], timeout_ms=ANSWER_TIMEOUT_MS)
        self._heard_at = time.monotonic()

    def commit(self, messages: Sequence[ImageMessage]) -> None:
        """Commit the offsets behind the messages; those of partitions that were taken from us are left alone.

        Whoever has such a partition now gets its messages again, and the index gives them the same verdicts.
        """
        consumer = self._client.get()
        assigned = consumer.assignment()
        offsets = {
            TopicPartition(*place): OffsetAndMetadata(offset)
            for place, offset in last_offsets(messages).items()
            if TopicPartition(*place) in assigned
        }
        try:
            with translated_errors():
                consumer.commit(offsets, timeout_ms=COMMIT_TIMEOUT_MS)
        except KafkaUnavailable as exc:
            if not isinstance(exc.__cause__, _LOST_PARTITIONS):
                raise
            _log.warning("offsets not committed, the group has rebalanced: %s", exc)

    def idle(self, timeout_s: float) -> None:
        """Poll with every partition paused, so that the group keeps us while a server is away."""
        consumer = self._client.made
        if consumer is None:  # reaching for the brokers is what connecting does, not resting
            raise KafkaUnavailable("not connected")
        with translated_errors():
            paused = consumer.assignment()
            consumer.pause(*paused)
            try:
                polled = consumer.poll(timeout_ms=int(timeout_s * 1000))
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
                position = consumer.position(partition, timeout_ms=0) if high_watermark is not None else None
                if position is not None:
                    lags[partition.topic, partition.partition] = max(0, high_watermark - position)
        return lags

    @property
    def exhausted(self) -> bool:
        """Never: a topic has no end."""
        return False

    def close(self) -> None:
        """Leave the group."""
        if self._client.made is not None:
            with translated_errors():
                self._client.made.close(autocommit=False, timeout_ms=5000)
            self._client.drop()


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
        self._client = _Client(lambda: KafkaProducer(**_producer_config(settings)))

    def connect(self) -> None:
        """Reach Kafka and check that the topics exist."""
        producer = self._client.get()
        for topic in self._topics:
            with translated_errors():
                _await_topic(producer, topic)

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Send all, then wait for every acknowledgement; see `Sink.publish`."""
        producer = self._client.get()
        try:
            with translated_errors():
                self._send_all(producer, messages)
        except (KafkaUnavailable, Misconfigured):
            # An idempotent producer may have met an error that it never gets past: the next attempt has a new one.
            self._let_go(timeout_s=0)
            raise

    def _send_all(self, producer: Any, messages: Sequence[OutgoingMessage]) -> None:  # noqa: ANN401 - as below
        futures = [self._send(producer, message) for message in messages]
        producer.flush(timeout=DELIVERY_TIMEOUT_MS / 1000)
        for future in futures:
            future.get(timeout=DELIVERY_TIMEOUT_MS / 1000)

    @staticmethod
    def _send(producer: Any, message: OutgoingMessage) -> Any:  # noqa: ANN401 - kafka-python has no types
        # kafka-python sends neither null headers nor a message that is null all over: both become empty.
        value = b"" if message.value is None and message.key is None else message.value
        headers = [(name, text or b"") for name, text in message.headers]
        return producer.send(message.topic, value=value, key=message.key, headers=headers)

    def close(self) -> None:
        """Let go of the connections; what was published is acknowledged already."""
        self._let_go(timeout_s=5)

    def _let_go(self, timeout_s: float) -> None:
        producer = self._client.made
        if producer is None:
            return
        self._client.drop()
        try:
            producer.close(timeout=timeout_s)
        except KafkaError:
            # It gave up before it ended its thread, which would go on sending.
            producer._sender.force_close()  # noqa: SLF001 - there is no public way


def _await_topic(producer: Any, topic: str) -> None:  # noqa: ANN401 - kafka-python has no types
    try:
        producer.partitions_for(topic)
    except KafkaTimeoutError as exc:
        # The producer waits for a topic that is not there as it does for a broker that is not there.
        raise KafkaUnavailable(f"topic {topic!r} does not exist (yet), or Kafka does not answer") from exc


def _consumer_config(settings: KafkaSettings, group: str) -> dict[str, Any]:
    return {
        **settings.client_config(),
        "group_id": group,
        "client_id": "neardup-consumer",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "allow_auto_create_topics": False,
        "max_partition_fetch_bytes": settings.max_message_bytes,
        "fetch_max_bytes": max(FETCH_MAX_BYTES, settings.max_message_bytes),
        "request_timeout_ms": FETCH_TIMEOUT_MS,
        "bootstrap_timeout_ms": CONNECT_TIMEOUT_MS,
        "metrics_enabled": False,
    }


def _producer_config(settings: KafkaSettings) -> dict[str, Any]:
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


def _unreadable(consumer: Any, error: CorruptRecordError) -> Misconfigured:  # noqa: ANN401 - kafka-python has no types
    # kafka-python neither tells which record it is nor gets past it: its next poll would never return.
    places = [
        f"{place.topic}-{place.partition}-{consumer.position(place, timeout_ms=0)}" for place in consumer.assignment()
    ]
    return Misconfigured(
        f"Kafka gave a record that cannot be read, one of {', '.join(sorted(places))}: {_text(error)}; "
        "move the group's offset past it"
    )


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
