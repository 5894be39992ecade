"""Translates kafka-python's errors into the project's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from kafka import TopicPartition
from kafka.errors import (
    AuthorizationError,
    CorruptRecordError,
    FencedInstanceIdError,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaConfigurationError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)

from neardup.errors import KafkaUnavailable, Misconfigured

PLACE_TAKEN = (
    "another consumer joined the group with our --group-instance-id and replaced us: give each consumer its own id"
)
TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_FATAL = (
    AuthorizationError,
    InvalidTopicError,
    KafkaConfigurationError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)


class MessageTooLarge(Misconfigured):
    """A topic does not take a message of this size."""


def too_large(topic: str, size_bytes: int, error: KafkaError) -> MessageTooLarge:
    """Return the error for a message that is refused for its size, one of `TOO_LARGE`."""
    return MessageTooLarge(
        f"a message of {size_bytes:,} bytes is larger than Kafka accepts for topic {topic!r}: raise "
        f"max.message.bytes of the topic, and --max-message-bytes if that is less ({text_of(error)})"
    )


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise the project's errors in place of kafka-python's.

    Raises
    ------
    KafkaUnavailable
        It may be temporary.
    Misconfigured
        Access was denied, or the request can never succeed.
    """
    try:
        yield
    except _FATAL as exc:
        raise Misconfigured(f"Kafka rejected the client: {text_of(exc)}") from exc
    except FencedInstanceIdError as exc:
        raise Misconfigured(PLACE_TAKEN) from exc
    except InvalidTimestampError as exc:
        raise Misconfigured(
            "Kafka refuses our timestamps: the clock of this machine differs from the broker's by more than the topic "
            "allows (message.timestamp.after.max.ms, an hour by default, and message.timestamp.before.max.ms): "
            f"correct it ({text_of(exc)})"
        ) from exc
    except (KafkaError, OSError) as exc:
        raise KafkaUnavailable(f"Kafka is unavailable: {text_of(exc)}") from exc


def unreadable(error: CorruptRecordError, places: Mapping[TopicPartition, int | None], advice: str) -> Misconfigured:
    """Return the error for a record that cannot be read.

    kafka-python does not say which record it is, and cannot skip it: its next poll would never return.

    Parameters
    ----------
    error
        As kafka-python raised it.
    places
        The partitions that are read, each with the reader's offset: the record is at one of them.
    advice
        How to skip it.
    """
    at = ", ".join(sorted(f"{place.topic}-{place.partition}-{offset}" for place, offset in places.items()))
    return Misconfigured(f"Kafka returned an unreadable record, one of {at}: {text_of(error)}; {advice}")


def text_of(exc: BaseException) -> str:
    """Return an error in one line, with its type."""
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
