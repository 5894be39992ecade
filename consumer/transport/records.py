"""Messages and offsets as kafka-python has them, from ours and back."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from kafka import TopicPartition
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.structs import OffsetAndMetadata

from consumer.messages import ImageMessage, OutgoingMessage, last_offsets


def image_messages(
    polled: Mapping[TopicPartition, Sequence[Any]], assignment: Callable[[TopicPartition], int]
) -> Iterator[ImageMessage]:
    """Iterate over records that were read, each in the present assignment of its partition."""
    for place, records in polled.items():
        for record in records:
            yield ImageMessage.of_record(record, assignment(place))


def memory_bytes(message: ImageMessage) -> int:
    """Return how many bytes a message holds."""
    return len(message.value or b"") + len(message.key or b"") + sum(len(text or b"") for _, text in message.headers)


def batch_bytes(message: OutgoingMessage) -> int:
    """Return the size that brokers hold against a topic's limit: of a batch with this message alone."""
    value, headers = sendable(message)
    record_bytes = DefaultRecordBatchBuilder.size_in_bytes(0, 0, message.key, value, headers)
    return int(DefaultRecordBatchBuilder.header_size_in_bytes() + record_bytes)


def sendable(message: OutgoingMessage) -> tuple[bytes | None, list[tuple[str, bytes]]]:
    """Return a message's value and headers as they can be sent.

    kafka-python cannot send null headers, or null as both key and value: both become empty.
    """
    value = b"" if message.value is None and message.key is None else message.value
    return value, [(name, text or b"") for name, text in message.headers]


def sent_as(message: OutgoingMessage, partitions_of: Callable[[str], Collection[int]]) -> dict[str, Any]:
    """Return what kafka-python's producer is to be told of a message; `partitions_of` says which a topic has."""
    value, headers = sendable(message)
    partition = message.partition
    if partition is not None:
        partition %= len(partitions_of(message.topic))
    return {"topic": message.topic, "value": value, "key": message.key, "headers": headers, "partition": partition}


def offsets_behind(messages: Iterable[ImageMessage], note: str = "") -> dict[TopicPartition, OffsetAndMetadata]:
    """Return for each partition the offset behind its last message, to commit with a note."""
    return offsets_at(last_offsets(list(messages)), note)


def offsets_at(offsets: Mapping[tuple[str, int], int], note: str = "") -> dict[TopicPartition, OffsetAndMetadata]:
    """Return offsets with a note, in kafka-python's types."""
    return {TopicPartition(*place): OffsetAndMetadata(offset, note, -1) for place, offset in offsets.items()}
