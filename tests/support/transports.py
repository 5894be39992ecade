"""One transport for a test: lists of this process, or topics and a group on a real broker; what tests do with it."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import NotCoordinatorError

from consumer.messages import ImageMessage, OutgoingMessage
from consumer.settings import ServiceSettings
from consumer.transport.at_least_once import AtLeastOnceDelivery
from consumer.transport.base import Delivery, Sink, Source
from consumer.transport.exactly_once import ExactlyOnceDelivery
from consumer.transport.kafka import KafkaSink, KafkaSource
from consumer.transport.memory import MemorySink, MemorySource
from neardup.errors import KafkaUnavailable
from neardup.wire import Headers
from tests.support.processes import DEADLINE_S, read_topic

BINARY = bytes(range(256))


@dataclass(frozen=True)
class Sent:
    """A message as its publisher wrote it."""

    value: bytes | None = b"image"
    partition: int = 0
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int = 1_700_000_000_000


class Rig(Protocol):
    """One transport with an image topic of two partitions and two output topics of one."""

    images: str
    output: str
    other: str

    def write(self, messages: Sequence[Sent]) -> None:
        """Append messages to the image topic."""

    def source(self) -> Source:
        """Make another member of the one group."""

    def sink(self) -> Sink:
        """Make a sink to the first output topic."""

    def delivery(self, source: Source) -> Delivery:
        """Make what answers the messages of a source."""

    def written(self, topic: str | None = None) -> list[OutgoingMessage]:
        """Read an output topic (None: the first), as readers do who leave out what was not committed."""


class MemoryRig:
    """Lists of this process."""

    images, output, other = "images", "output", "other"

    def __init__(self) -> None:
        self._log: list[ImageMessage] = []
        self._sources: list[MemorySource] = []
        self._sink = MemorySink()

    def write(self, messages: Sequence[Sent]) -> None:
        for sent in messages:
            offset = sum(message.partition == sent.partition for message in self._log)
            self._log.append(
                ImageMessage(self.images, sent.partition, offset, sent.timestamp_ms, sent.key, sent.value, sent.headers)
            )

    def source(self) -> MemorySource:
        committed = self._sources[-1].committed if self._sources else {}
        self._sources.append(MemorySource(self._log, committed))
        return self._sources[-1]

    def sink(self) -> MemorySink:
        return self._sink

    def delivery(self, source: Source) -> Delivery:
        return AtLeastOnceDelivery(source, self._sink)

    def written(self, topic: str | None = None) -> list[OutgoingMessage]:
        return self._sink.topics[topic or self.output]


class KafkaRig:
    """Topics and a group of their own on a real broker."""

    def __init__(self, address: str, admin: KafkaAdminClient, producer: KafkaProducer) -> None:
        run = secrets.token_hex(4)
        self.images, self.group = f"images-{run}", f"group-{run}"
        self.output, self.other = f"output-{run}", f"other-{run}"
        self.address = address
        self.admin = admin
        self._producer = producer
        self._clients: list[Source | Sink | Delivery] = []
        self.exactly_once = True
        create_topics(admin, {self.images: 2, self.output: 1, self.other: 1})

    @property
    def settings(self) -> ServiceSettings:
        return ServiceSettings(bootstrap_servers=self.address, topic=self.images, group=self.group)

    def write(self, messages: Sequence[Sent]) -> None:
        for sent in messages:
            self._producer.send(
                self.images,
                sent.value,
                key=sent.key,
                partition=sent.partition,
                headers=list(sent.headers),
                timestamp_ms=sent.timestamp_ms,
            )
        self._producer.flush(DEADLINE_S)

    def source(self, *, count_lost: Callable[[int], None] = lambda _lost: None, **settings: object) -> KafkaSource:
        made = replace(self.settings, **settings)  # type: ignore[arg-type]
        source = KafkaSource(made, count_lost=count_lost)
        self._clients.append(source)
        return source

    def sink(self, *topics: str) -> KafkaSink:
        sink = KafkaSink(self.settings, topics or (self.output,))
        self._clients.append(sink)
        return sink

    def delivery(self, source: Source) -> Delivery:
        assert isinstance(source, KafkaSource)
        topics = [self.output, self.other]
        made = (
            ExactlyOnceDelivery(self.settings, source, topics)
            if self.exactly_once
            else AtLeastOnceDelivery(source, KafkaSink(self.settings, topics))
        )
        self._clients.append(made)
        return made

    def written(self, topic: str | None = None) -> list[OutgoingMessage]:
        topic = topic or self.output
        records = read_topic(self.address, topic, committed=self.exactly_once)
        return [OutgoingMessage(topic, record.key, record.value, tuple(record.headers)) for record in records]

    def committed(self) -> Mapping[int, int]:
        for _ in until_deadline():
            with suppress(NotCoordinatorError):  # a broker that is only just becoming the group's
                offsets = self.admin.list_group_offsets([self.group])[self.group]
                return {partition.partition: offset.offset for partition, offset in offsets.items()}
        raise AssertionError(f"no broker is the coordinator of {self.group}")

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.admin.delete_topics([self.images, self.output, self.other])


def until_deadline(deadline_s: float = DEADLINE_S) -> Iterator[None]:
    """Give turns until time is up."""
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        yield


def take(source: Source, count: int, max_messages: int = 100, deadline_s: float = DEADLINE_S) -> list[ImageMessage]:
    """Poll until `count` messages have come."""
    taken: list[ImageMessage] = []
    for _ in until_deadline(deadline_s):
        taken += source.poll(max_messages, 0.2)
        if len(taken) >= count:
            return taken
    raise AssertionError(f"{len(taken)} of {count} messages came in time")


def commit(source: Source, messages: Sequence[ImageMessage]) -> None:
    """Commit as a delivery does: when the group is at rest."""
    source.ours(messages)
    source.commit(messages)


def values(messages: Sequence[ImageMessage], partition: int = 0) -> list[bytes | None]:
    """Return what messages of a partition hold, in order."""
    return [message.value for message in messages if message.partition == partition]


def numbered(count: int, partition: int = 0, start: int = 0) -> list[Sent]:
    """Return messages that hold their number."""
    return [Sent(b"%d" % number, partition) for number in range(start, start + count)]


def connected(source: Source) -> Source:
    source.connect()
    return source


def outgoing(
    topic: str, value: bytes | None = b"verdict", key: bytes | None = None, headers: Headers = ()
) -> OutgoingMessage:
    return OutgoingMessage(topic, key, value, headers)


def answers(rig: Rig, messages: Sequence[ImageMessage]) -> list[OutgoingMessage]:
    """Return an answer to each message that repeats its value."""
    return [outgoing(rig.output, message.value, headers=(("place", b"here"),)) for message in messages]


def answered(rig: Rig, messages: Sequence[ImageMessage]) -> list[tuple[OutgoingMessage, ...]]:
    """Return what messages come to where each has one answer."""
    return [(answer,) for answer in answers(rig, messages)]


def create_topics(admin: KafkaAdminClient, partitions: Mapping[str, int]) -> None:
    """Create topics with so many partitions, and wait until the broker knows them: its answer may come before."""
    admin.create_topics([NewTopic(name, count, 1) for name, count in partitions.items()])
    for _ in until_deadline():
        if not any(topic["error_code"] for topic in admin.describe_topics(list(partitions))):
            return
        time.sleep(0.05)
    raise AssertionError("the broker does not know the topics in time")


def eventually_connects(client: Source | Sink) -> None:
    for _ in until_deadline():
        try:
            return client.connect()
        except KafkaUnavailable:
            time.sleep(0.05)
    raise AssertionError("no connection in time")
