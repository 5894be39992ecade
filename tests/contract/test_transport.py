"""What the loop may rely on, held by the memory transport and by real Kafka alike."""

import gc
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, MemberToRemove, NewTopic
from kafka.errors import KafkaConfigurationError, KafkaTimeoutError, UnsupportedVersionError
from kafka.record.default_records import DefaultRecordBatch

import consumer.transport.kafka
from consumer.messages import ImageMessage, OutgoingMessage, dead_letter
from consumer.settings import KafkaSettings, ServiceSettings
from consumer.transport.at_least_once import AtLeastOnceDelivery
from consumer.transport.base import Delivery, Sink, Source
from consumer.transport.exactly_once import ExactlyOnceDelivery, _explained
from consumer.transport.kafka import KafkaSink, KafkaSource
from consumer.transport.memory import MemorySink, MemorySource
from demo.services import KafkaProgram, KafkaServer
from demo.services.process import free_port
from neardup.errors import EmptyImage, KafkaUnavailable, Misconfigured
from neardup.kafka.patch import patch_kafka_python
from neardup.wire import Headers
from tests.support.odd_headers import NotUtf8
from tests.support.processes import read_topic

DEADLINE_S = 30.0
QUICKLY_S = 10.0
"""A group forgets a member that did not say goodbye after 45 s."""

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
        admin.create_topics([NewTopic(self.images, 2, 1), NewTopic(self.output, 1, 1), NewTopic(self.other, 1, 1)])

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
        offsets = self.admin.list_group_offsets([self.group])[self.group]
        return {partition.partition: offset.offset for partition, offset in offsets.items()}

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


@pytest.fixture(scope="module")
def kafka_admin(kafka_address: str) -> Iterator[KafkaAdminClient]:
    with KafkaAdminClient(bootstrap_servers=kafka_address) as admin:
        yield admin


@pytest.fixture
def kafka_producer(kafka_address: str) -> Iterator[KafkaProducer]:
    with KafkaProducer(bootstrap_servers=kafka_address, max_request_size=2**25) as producer:
        yield producer


@pytest.fixture
def kafka(kafka_address: str, kafka_admin: KafkaAdminClient, kafka_producer: KafkaProducer) -> Iterator[KafkaRig]:
    rig = KafkaRig(kafka_address, kafka_admin, kafka_producer)
    try:
        yield rig
    finally:
        rig.close()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def rig(request: pytest.FixtureRequest) -> Rig:
    if request.param == "memory":
        return MemoryRig()
    made: KafkaRig = request.getfixturevalue("kafka")
    return made


@pytest.fixture(
    params=[
        "memory",
        pytest.param("in turn", marks=pytest.mark.kafka),
        pytest.param("transaction", marks=pytest.mark.kafka),
    ]
)
def delivering(request: pytest.FixtureRequest) -> Rig:
    if request.param == "memory":
        return MemoryRig()
    made: KafkaRig = request.getfixturevalue("kafka")
    made.exactly_once = request.param == "transaction"
    return made


def connected(source: Source) -> Source:
    source.connect()
    return source


# Sources.


def test_a_partition_keeps_its_order(rig: Rig) -> None:
    rig.write([*numbered(20, 0), *numbered(20, 1)])
    taken = take(connected(rig.source()), 40, max_messages=7)
    for partition in (0, 1):
        assert values(taken, partition) == [b"%d" % number for number in range(20)]
        offsets = [message.offset for message in taken if message.partition == partition]
        assert offsets == list(range(20))
    assert {message.topic for message in taken} == {rig.images}


def test_a_message_arrives_as_it_was_sent(rig: Rig) -> None:
    headers = (("image_id", "bild-ä".encode()), ("binary", BINARY), ("empty", b""), ("image_id", b"second"))
    sent = [
        Sent(BINARY * 5000, key=BINARY, headers=headers, timestamp_ms=1_234_567_890_123),
        Sent(b"", key=None),
        Sent(None, key=b"a key and nothing else"),
    ]
    rig.write(sent)
    taken = take(connected(rig.source()), len(sent))
    arrived = [Sent(m.value, m.partition, m.key, _present(m.headers), m.timestamp_ms) for m in taken]
    assert arrived == sent


def _present(headers: Headers) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, text) for name, text in headers if text is not None)


def test_a_poll_gives_no_more_than_asked_for(rig: Rig) -> None:
    rig.write([*numbered(10, 0), *numbered(10, 1)])
    source = connected(rig.source())
    taken: list[ImageMessage] = []
    for _ in until_deadline():
        batch = source.poll(3, 0.2)
        assert len(batch) <= 3
        taken += batch
        if len(taken) == 20:
            break
    assert len(taken) == 20


def test_the_next_of_the_group_goes_on_behind_what_was_committed(rig: Rig) -> None:
    rig.write([*numbered(6, 0), *numbered(6, 1)])
    first = connected(rig.source())
    taken = take(first, 12, max_messages=4)
    done = [message for message in taken if message.offset < (4 if message.partition == 0 else 2)]
    commit(first, done)
    first.close()
    rest = take(connected(rig.source()), 6)
    assert values(rest, 0) == [b"4", b"5"]
    assert values(rest, 1) == [b"2", b"3", b"4", b"5"]


def test_what_was_not_committed_is_delivered_again(rig: Rig) -> None:
    rig.write(numbered(5))
    first = connected(rig.source())
    assert len(take(first, 5)) == 5
    first.close()
    assert values(take(connected(rig.source()), 5)) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_commit_of_nothing_changes_nothing(rig: Rig) -> None:
    rig.write(numbered(2))
    first = connected(rig.source())
    taken = take(first, 2)
    commit(first, taken)
    commit(first, [])
    first.close()
    rig.write(numbered(1, start=2))
    assert values(take(connected(rig.source()), 1)) == [b"2"]


def test_connecting_again_changes_nothing(rig: Rig) -> None:
    rig.write(numbered(4))
    source = connected(rig.source())
    taken = take(source, 2, max_messages=2)
    taken += take(connected(source), 2)
    assert values(taken) == [b"0", b"1", b"2", b"3"]


def test_idling_loses_nothing(rig: Rig) -> None:
    rig.write([*numbered(10, 0), *numbered(10, 1)])
    source = connected(rig.source())
    taken = take(source, 1, max_messages=1)
    for _ in range(3):
        source.idle(0.1)
    taken += take(source, 19, max_messages=4)
    for partition in (0, 1):
        assert values(taken, partition) == [b"%d" % number for number in range(10)]


def test_idling_while_partitions_are_assigned_loses_nothing(rig: Rig) -> None:
    rig.write([*numbered(10, 0), *numbered(10, 1)])
    source = connected(rig.source())
    for _ in range(3):
        source.idle(0.5)
    taken = take(source, 20, max_messages=4)
    for partition in (0, 1):
        assert values(taken, partition) == [b"%d" % number for number in range(10)]


def test_the_lag_is_gone_when_all_is_taken(rig: Rig) -> None:
    rig.write([*numbered(10, 0), *numbered(10, 1)])
    source = connected(rig.source())
    take(source, 20)
    assert sum(source.lag().values()) == 0


def test_who_leaves_makes_room_at_once(rig: Rig) -> None:
    rig.write([*numbered(3, 0), *numbered(3, 1)])
    first = connected(rig.source())
    commit(first, take(first, 6))
    first.close()
    rig.write([*numbered(1, 0, start=3), *numbered(1, 1, start=3)])
    taken = take(connected(rig.source()), 2, deadline_s=QUICKLY_S)
    assert (values(taken, 0), values(taken, 1)) == ([b"3"], [b"3"])


# Sinks.


def outgoing(
    topic: str, value: bytes | None = b"verdict", key: bytes | None = None, headers: Headers = ()
) -> OutgoingMessage:
    return OutgoingMessage(topic, key, value, headers)


def test_what_is_published_is_there_when_publish_returns(rig: Rig) -> None:
    sink = rig.sink()
    sink.connect()
    messages = [
        outgoing(rig.output, b"%d" % number, BINARY, (("binary", BINARY), ("empty", b""))) for number in range(50)
    ]
    sink.publish(messages)
    assert rig.written() == messages


def test_publishing_nothing_is_allowed(rig: Rig) -> None:
    sink = rig.sink()
    sink.connect()
    sink.publish([])
    assert rig.written() == []


def test_clients_close_however_often_and_unused(rig: Rig) -> None:
    clients: list[Source | Sink] = [rig.source(), rig.sink()]
    for client in clients:
        client.close()
        client.close()


# Deliveries.


def answers(rig: Rig, messages: Sequence[ImageMessage]) -> list[OutgoingMessage]:
    """Return an answer to each message that repeats its value."""
    return [outgoing(rig.output, message.value, headers=(("place", b"here"),)) for message in messages]


def answered(rig: Rig, messages: Sequence[ImageMessage]) -> list[tuple[OutgoingMessage, ...]]:
    """Return what messages come to where each has one answer."""
    return [(answer,) for answer in answers(rig, messages)]


def test_what_is_delivered_is_there_and_not_given_again(delivering: Rig) -> None:
    rig = delivering
    rig.write([*numbered(5, 0), *numbered(5, 1)])
    source = connected(rig.source())
    delivery = rig.delivery(source)
    delivery.connect()
    taken = take(source, 10)
    first, second = taken[:6], taken[6:]
    assert delivery.deliver(first, answered(rig, first)) == [True] * 6
    assert rig.written() == answers(rig, first)
    assert delivery.deliver(second, answered(rig, second)) == [True] * 4
    assert rig.written() == answers(rig, taken)
    source.close()
    rig.write(numbered(1, start=5))
    assert values(take(connected(rig.source()), 1)) == [b"5"]


def test_delivering_nothing_is_allowed(delivering: Rig) -> None:
    delivering.write(numbered(1))
    source = connected(delivering.source())
    delivery = delivering.delivery(source)
    delivery.connect()
    take(source, 1)
    assert delivery.deliver([], []) == []
    assert delivering.written() == []


def outcomes(rig: Rig, messages: Sequence[ImageMessage]) -> list[tuple[OutgoingMessage, ...]]:
    """Return no message, one and three in turn, over both topics."""
    made: list[tuple[OutgoingMessage, ...]] = []
    for number, message in enumerate(messages):
        one, two = outgoing(rig.output, message.value), outgoing(rig.other, message.value)
        last = outgoing(rig.output, b"last of %b" % (message.value or b""))
        made.append([(), (two,), (one, two, last)][number % 3])
    return made


def sent_to(topic: str, outcomes: Sequence[Sequence[OutgoingMessage]]) -> list[OutgoingMessage]:
    return [message for outcome in outcomes for message in outcome if message.topic == topic]


def test_a_message_may_come_to_any_number_of_messages_for_any_topics(delivering: Rig) -> None:
    rig = delivering
    rig.write(numbered(7))
    source = connected(rig.source())
    delivery = rig.delivery(source)
    delivery.connect()
    taken = take(source, 7)
    wanted = outcomes(rig, taken)
    assert delivery.deliver(taken, wanted) == [True] * 7
    for topic, count in {rig.output: 4, rig.other: 4}.items():
        assert len(sent_to(topic, wanted)) == count
        assert rig.written(topic) == sent_to(topic, wanted)
    source.close()
    rig.write(numbered(1, start=7))
    assert values(take(connected(rig.source()), 1)) == [b"7"]


def test_messages_that_come_to_nothing_are_committed_all_the_same(delivering: Rig) -> None:
    rig = delivering
    rig.write(numbered(4))
    source = connected(rig.source())
    delivery = rig.delivery(source)
    delivery.connect()
    taken = take(source, 4)
    assert delivery.deliver(taken[:2], [(), ()]) == [True] * 2
    assert delivery.deliver(taken[2:], [(), ()]) == [True] * 2
    assert (rig.written(), rig.written(rig.other)) == ([], [])
    source.close()
    rig.write(numbered(1, start=4))
    assert values(take(connected(rig.source()), 1)) == [b"4"]


def test_of_a_partition_that_was_taken_away_nothing_is_published(
    delivering: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = delivering
    rig.write([*numbered(3, 0), *numbered(3, 1)])
    source = connected(rig.source())
    delivery = rig.delivery(source)
    delivery.connect()
    taken = sorted(take(source, 6), key=lambda message: (message.offset, message.partition))
    three_each = [outcomes(rig, [message] * 3)[2] for message in taken]
    ours = [message.partition == 0 for message in taken]
    monkeypatch.setattr(source, "ours", lambda _messages: ours)
    assert delivery.deliver(taken, three_each) == ours
    wanted = [outcome for outcome, own in zip(three_each, ours, strict=True) if own]
    for topic in (rig.output, rig.other):
        assert rig.written(topic) == sent_to(topic, wanted)
    source.close()
    again = take(connected(rig.source()), 3)
    assert (values(again, 0), values(again, 1)) == ([], [b"0", b"1", b"2"])


# Only Kafka.


@pytest.mark.kafka
def test_lag_counts_what_waits(kafka: KafkaRig) -> None:
    kafka.write([*numbered(10, 0), *numbered(10, 1)])
    source = connected(kafka.source())
    taken: list[ImageMessage] = []
    for _ in until_deadline():
        taken += source.poll(1, 0.2)
        # Known from a partition's first fetch on.
        if len(source.lag()) == 2:
            break
    assert sorted(source.lag()) == [(kafka.images, 0), (kafka.images, 1)]
    assert sum(source.lag().values()) == 20 - len(taken)


@pytest.mark.kafka
def test_the_broker_holds_the_offset_behind_the_last_message(kafka: KafkaRig) -> None:
    kafka.write([*numbered(7, 0), *numbered(3, 1)])
    source = connected(kafka.source())
    commit(source, take(source, 10))
    assert kafka.committed() == {0: 7, 1: 3}


@pytest.mark.kafka
def test_a_topic_that_is_not_there_is_waited_for(kafka: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = f"{kafka.images}-missing"
    monkeypatch.setattr(consumer.transport.kafka, "CONNECT_TIMEOUT_MS", 1000)
    source = KafkaSource(replace(kafka.settings, topic=missing))
    sink = kafka.sink(kafka.output, missing)
    clients: list[Source | Sink] = [source, sink]
    try:
        for client in clients:
            with pytest.raises(KafkaUnavailable, match=f"topic '{missing}' does not exist"):
                client.connect()
        source.idle(0.05)
        kafka.admin.create_topics([NewTopic(missing, 1, 1)])
        eventually_connects(source)
        eventually_connects(sink)
    finally:
        source.close()
        kafka.admin.delete_topics([missing])


def eventually_connects(client: Source | Sink) -> None:
    for _ in until_deadline():
        try:
            return client.connect()
        except KafkaUnavailable:
            time.sleep(0.05)
    raise AssertionError("no connection in time")


@pytest.mark.kafka
def test_two_members_share_and_what_moved_is_left_to_the_other(kafka: KafkaRig) -> None:
    kafka.write([*numbered(5, 0), *numbered(5, 1)])
    first = connected(kafka.source())
    taken = take(first, 10)
    second = connected(kafka.source())
    again: list[ImageMessage] = []
    for _ in until_deadline(2 * DEADLINE_S):
        # Neither has committed: whoever is given a partition is given all of it.
        again += second.poll(100, 0.2)
        first.idle(0.2)
        if again:
            break
    moved = {message.partition for message in again}
    assert len(moved) == 1
    # The group comes to rest only while both poll, each in a thread of its own as in life.
    with ThreadPoolExecutor(1) as executor:
        owned = executor.submit(first.ours, taken)
        while not owned.done():
            second.idle(0.2)
    assert owned.result() == [message.partition not in moved for message in taken]
    commit(first, taken)
    assert kafka.committed() == {partition: 5 for partition in (0, 1) if partition not in moved}
    # Who keeps a partition goes on in it where it was.
    kafka.write([*numbered(1, 0, start=5), *numbered(1, 1, start=5)])
    assert {message.value for message in take(first, 1)} == {b"5"}
    assert second.ours(again) == [True] * 5
    commit(second, again)
    assert kafka.committed() == {0: 5, 1: 5}


@pytest.mark.kafka
def test_who_was_forgotten_by_the_group_answers_nothing(kafka: KafkaRig) -> None:
    kafka.write(numbered(5))
    source = connected(kafka.source())
    taken = take(source, 5)
    member = kafka.admin.describe_groups([kafka.group])[kafka.group]["members"][0]["member_id"]
    kafka.admin.remove_group_members(kafka.group, [MemberToRemove(member_id=member)])
    with pytest.raises(KafkaUnavailable, match=r"CommitFailed|UnknownMember"):
        source.commit(taken)
    assert source.ours(taken) == [False] * 5
    source.commit(taken)
    assert kafka.committed() == {}
    again = take(source, 5)
    assert values(again) == [b"0", b"1", b"2", b"3", b"4"]
    assert source.ours(again) == [True] * 5
    source.commit(again)
    assert kafka.committed() == {0: 5}


@pytest.mark.kafka
@pytest.mark.parametrize("arrived", [True, False], ids=["the answer was lost", "the request was lost"])
def test_a_commit_whose_end_nobody_heard_is_not_made_twice(
    kafka: KafkaRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, arrived: bool
) -> None:
    kafka.write(numbered(5))
    source = connected(kafka.source())
    delivery = kafka.delivery(source)
    delivery.connect()
    taken = take(source, 5)
    commit = ExactlyOnceDelivery._commit

    def cut_off(self: ExactlyOnceDelivery, producer: object) -> None:
        if arrived:
            commit(self, producer)
        raise KafkaTimeoutError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(ExactlyOnceDelivery, "_commit", cut_off)
        with pytest.raises(KafkaUnavailable, match="cut off"):
            delivery.deliver(taken, answered(kafka, taken))
    assert delivery.deliver(taken, answered(kafka, taken)) == [True] * 5
    assert kafka.written() == answers(kafka, taken)
    assert kafka.committed() == {0: 5}
    assert ("nothing is sent again" in caplog.text) == arrived
    kafka.write(numbered(1, start=5))
    more = take(source, 1)
    assert delivery.deliver(more, answered(kafka, more)) == [True]
    assert kafka.written() == answers(kafka, [*taken, *more])


@pytest.mark.kafka
def test_a_transaction_whose_epoch_was_taken_is_made_again(kafka: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> None:
    kafka.write(numbered(3))
    source = connected(kafka.source())
    delivery = kafka.delivery(source)
    delivery.connect()
    taken = take(source, 3)
    commit = ExactlyOnceDelivery._commit

    def aborted_first(self: ExactlyOnceDelivery, producer: Any) -> None:  # noqa: ANN401 - kafka-python has no types
        # As the broker does when a transaction takes too long: it aborts, and takes the epoch away.
        monkeypatch.setattr(ExactlyOnceDelivery, "_commit", commit)
        servers, name = kafka.address, producer.config["transactional_id"]
        with KafkaProducer(bootstrap_servers=servers, transactional_id=name) as thief:
            thief.init_transactions()
        commit(self, producer)

    monkeypatch.setattr(ExactlyOnceDelivery, "_commit", aborted_first)
    with pytest.raises(KafkaUnavailable, match="ProducerFenced"):
        delivery.deliver(taken, answered(kafka, taken))
    assert delivery.deliver(taken, answered(kafka, taken)) == [True] * 3
    assert kafka.written() == answers(kafka, taken)
    assert kafka.committed() == {0: 3}


@pytest.mark.parametrize(
    "cause",
    [
        KafkaConfigurationError("requires broker >= 0.11"),
        UnsupportedVersionError(),
        KafkaTimeoutError("transactional state"),
    ],
)
def test_a_broker_without_transactions_is_told_with_the_way_out(cause: Exception) -> None:
    error = KafkaUnavailable("Kafka is unavailable")
    error.__cause__ = cause
    assert "--delivery at-least-once" in str(_explained(error))


@pytest.mark.kafka
@pytest.mark.parametrize(("policy", "first", "lost"), [("earliest", b"4", 4), ("latest", b"7", 7)])
def test_messages_deleted_before_they_were_read_are_counted_and_passed_by(
    kafka: KafkaRig, caplog: pytest.LogCaptureFixture, policy: str, first: bytes, lost: int
) -> None:
    counted: list[int] = []
    kafka.write(numbered(1))
    source = connected(kafka.source())
    commit(source, take(source, 1))
    source.close()
    kafka.write(numbered(6, start=1))
    kafka.admin.delete_records({TopicPartition(kafka.images, 0): 4})
    source = connected(kafka.source(on_lost_data=policy, count_lost=counted.append))
    if policy == "latest":
        for _ in until_deadline():
            source.poll(10, 0.1)
            if counted:
                break
        kafka.write(numbered(1, start=7))
    assert values(take(source, 1))[0] == first
    assert counted == [lost - 1]
    assert f"{kafka.images}-0 offsets 1 to 3 were deleted before they were read" in caplog.text
    assert [record.levelname for record in caplog.records if "deleted before" in record.message] == ["ERROR"]


@pytest.mark.kafka
def test_lost_messages_may_stop_it(kafka: KafkaRig) -> None:
    kafka.write(numbered(1))
    source = connected(kafka.source())
    commit(source, take(source, 1))
    source.close()
    kafka.write(numbered(6, start=1))
    kafka.admin.delete_records({TopicPartition(kafka.images, 0): 4})
    source = connected(kafka.source(on_lost_data="stop"))
    with pytest.raises(Misconfigured, match=f"{kafka.images}-0 offsets 1 to 3 were deleted.*--on-lost-data stop"):
        take(source, 1)


@pytest.mark.kafka
def test_a_batch_is_bounded_in_bytes_and_what_is_larger_comes_alone(kafka: KafkaRig) -> None:
    sizes = [1000, 1000, 1000, 9000, 500, 500]
    kafka.write([Sent(bytes(size)) for size in sizes])
    source = connected(kafka.source(batch_bytes=2500))
    batches: list[list[int]] = []
    for _ in until_deadline():
        batch = [len(message.value or b"") for message in source.poll(100, 0.2)]
        batches += [batch] if batch else []
        if sum(map(len, batches)) == len(sizes):
            break
    assert [size for batch in batches for size in batch] == sizes
    assert all(len(batch) == 1 or sum(batch) <= 2500 for batch in batches)


@pytest.mark.kafka
def test_a_message_that_the_broker_never_takes_names_the_settings(kafka: KafkaRig) -> None:
    small = f"{kafka.output}-small"
    kafka.admin.create_topics([NewTopic(small, 1, 1, topic_configs={"max.message.bytes": "10000"})])
    try:
        sink = kafka.sink(small)
        eventually_connects(sink)
        with pytest.raises(Misconfigured, match=r"larger than Kafka accepts.*max\.message\.bytes.*--max-message-bytes"):
            sink.publish([outgoing(small, bytes(20_000))])
        sink.publish([outgoing(small, b"fits")])
        assert [record.value for record in read_topic(kafka.address, small)] == [b"fits"]
    finally:
        kafka.admin.delete_topics([small])


@pytest.mark.kafka
def test_a_message_beyond_our_own_limit_names_the_settings(kafka: KafkaRig) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka.address, max_message_bytes=1024)
    sink = KafkaSink(settings, [kafka.output])
    try:
        sink.connect()
        with pytest.raises(Misconfigured, match="--max-message-bytes"):
            sink.publish([outgoing(kafka.output, bytes(100_000))])
    finally:
        sink.close()


@pytest.mark.kafka
def test_the_dead_letter_of_a_largest_message_passes(kafka: KafkaRig) -> None:
    kafka.write([Sent(secrets.token_bytes(20 * 2**20), key=BINARY, headers=(("image_id", b"large"),))])
    (large,) = take(connected(kafka.source()), 1)
    sink = kafka.sink()
    sink.connect()
    sink.publish([dead_letter(kafka.output, large, EmptyImage("not so empty"))])
    (written,) = kafka.written()
    assert written.value == large.value
    assert written.key == BINARY
    assert dict(written.headers)["error.reason"] == b"empty"


@pytest.mark.kafka
def test_a_header_whose_name_is_not_utf8_stops_nobody(kafka: KafkaRig) -> None:
    odd = Sent(b"odd", headers=((NotUtf8("x"), BINARY), ("image_id", b"bild")))
    kafka.write([Sent(b"good"), odd, Sent(b"good")])
    taken = take(connected(kafka.source()), 3)
    assert values(taken) == [b"good", b"odd", b"good"]
    assert taken[1].headers == (("\\xff\\xfe", BINARY), ("image_id", b"bild"))
    sink = kafka.sink()
    sink.connect()
    sink.publish([dead_letter(kafka.output, taken[1], EmptyImage("not so empty"))])
    (written,) = kafka.written()
    assert written.headers[0] == ("\\xff\\xfe", BINARY)


@pytest.mark.kafka
def test_a_record_that_cannot_be_read_is_named_and_not_waited_for(
    kafka: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.write([Sent(b"good"), Sent(b"bad", headers=((NotUtf8("x"), b""),)), Sent(b"good")])
    patch_kafka_python()
    # As kafka-python reads by itself.
    monkeypatch.setattr(DefaultRecordBatch, "_read_msg", DefaultRecordBatch._read_strictly, raising=True)
    source = connected(kafka.source())
    assert values(take(source, 1)) == [b"good"]
    with pytest.raises(Misconfigured, match=f"unreadable record, one of {kafka.images}-0-1,.*move the group's offset"):
        take(source, 1)


@pytest.mark.kafka
def test_the_dead_letter_of_a_message_without_key_and_value_passes(kafka: KafkaRig) -> None:
    # kafka-python writes no such message; other clients do.
    nothing = ImageMessage(kafka.images, 0, 0, 0, None, None, (("null", None),))
    sink = kafka.sink()
    sink.connect()
    sink.publish([dead_letter(kafka.output, nothing, EmptyImage("the message has no value"))])
    (written,) = kafka.written()
    assert (written.key, written.value) == (None, b"")
    assert written.headers[:2] == (("null", b""), ("error.reason", b"empty"))


@pytest.fixture
def leaked_sockets(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    # kafka-python never closes a socket whose connection was refused, nor what it opened before its constructor
    # failed. They are collected here, where the warning is expected, and not kept alive by captured log records.
    caplog.set_level(logging.CRITICAL, logger="kafka")
    yield
    gc.collect()


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, milliseconds in {
        "CONNECT_TIMEOUT_MS": 1000,
        "SEND_TIMEOUT_MS": 1000,
        "DELIVERY_TIMEOUT_MS": 1500,
        "COMMIT_TIMEOUT_MS": 1000,
        "ANSWER_TIMEOUT_MS": 1000,
    }.items():
        monkeypatch.setattr(consumer.transport.kafka, name, milliseconds)


@dataclass(frozen=True)
class OwnKafka:
    """A broker that may be killed, with a second listener that asks for a password."""

    server: KafkaServer
    secured: str


@pytest.fixture(scope="module")
def own_kafka(kafka_program: KafkaProgram) -> Iterator[OwnKafka]:
    ours, controller, secured = (f"127.0.0.1:{free_port()}" for _ in range(3))
    listeners = f"PLAINTEXT://{ours},SECURED://{secured}"
    settings = {
        "listeners": f"{listeners},CONTROLLER://{controller}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURED:SASL_PLAINTEXT",
        "controller.quorum.bootstrap.servers": controller,
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secured.plain.sasl.jaas.config": (
            'org.apache.kafka.common.security.plain.PlainLoginModule required user_camera="open sesame";'
        ),
    }
    server = KafkaServer(kafka_program, settings)
    server.address = ("127.0.0.1", int(ours.rpartition(":")[2]))
    with server:
        with KafkaAdminClient(bootstrap_servers=ours) as admin:
            admin.create_topics([NewTopic("images", 1, 1), NewTopic("output", 1, 1)])
        yield OwnKafka(server, secured)


@pytest.mark.kafka
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.usefixtures("leaked_sockets")
@pytest.mark.usefixtures("short_timeouts")
def test_a_broker_that_dies_is_an_outage_and_nothing_more(own_kafka: OwnKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    server = own_kafka.server
    settings = ServiceSettings(bootstrap_servers=server.bootstrap_servers, group="group")
    source, sink, feed = (
        KafkaSource(settings),
        KafkaSink(settings, ["output"]),
        KafkaSink(settings, ["images"]),
    )
    late_source, late_sink = KafkaSource(replace(settings, group="late")), KafkaSink(settings, ["output"])
    clients: list[Source | Sink] = [source, sink, feed]
    for client in clients:
        eventually_connects(client)
    feed.publish([outgoing("images", b"%d" % number) for number in range(3)])
    taken = take(source, 3)
    server.kill()
    attempts: list[Callable[[], object]] = [
        late_source.connect,
        late_sink.connect,
        lambda: sink.publish([outgoing("output", b"verdict")]),
        lambda: source.commit(taken),
    ]
    for attempt in attempts:
        with pytest.raises(KafkaUnavailable):
            attempt()
    source.idle(0.1)
    monkeypatch.setattr(consumer.transport.kafka, "SILENCE_S", 0.0)
    with pytest.raises(KafkaUnavailable):
        source.poll(100, 0.1)
    server.start()
    eventually(lambda: source.poll(100, 0.1))
    eventually(lambda: sink.publish([outgoing("output", b"verdict")]))
    assert {record.value for record in read_topic(server.bootstrap_servers, "output")} == {b"verdict"}
    eventually(lambda: source.commit(taken))
    eventually(lambda: feed.publish([outgoing("images", b"3")]))
    assert values(take(source, 1)) == [b"3"]
    eventually_connects(late_source)
    assert values(take(late_source, 4)) == [b"0", b"1", b"2", b"3"]
    for client in (*clients, late_source, late_sink):
        client.close()


def eventually(attempt: Callable[[], object]) -> None:
    for _ in until_deadline():
        try:
            attempt()
        except KafkaUnavailable:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("no success in time")


# Settings.


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.usefixtures("leaked_sockets")
@pytest.mark.parametrize(
    "client", [KafkaSource, lambda settings: KafkaSink(settings, ["output"])], ids=["source", "sink"]
)
@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (ServiceSettings(bootstrap_servers="127.0.0.1:port"), "Kafka settings"),
        (ServiceSettings(security_protocol="SASL_PLAINTEXT"), "--sasl-mechanism"),
        (ServiceSettings(security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN"), "--sasl-username"),
        (ServiceSettings(security_protocol="SSL", ssl_cafile="/no/such/file"), "--ssl-cafile"),
    ],
    ids=["port", "mechanism", "username", "cafile"],
)
def test_a_setting_that_can_never_work_is_said_at_once(
    client: Callable[[ServiceSettings], Source | Sink], settings: ServiceSettings, named: str
) -> None:
    made = client(settings)
    with pytest.raises(Misconfigured, match=named) as caught:
        made.connect()
    assert "\n" not in str(caught.value)
    made.close()


@pytest.mark.kafka
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.usefixtures("leaked_sockets")
@pytest.mark.usefixtures("short_timeouts")
def test_passwords_reach_the_broker(own_kafka: OwnKafka) -> None:
    settings = ServiceSettings(
        bootstrap_servers=own_kafka.secured,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="camera",
        sasl_password="open sesame",  # noqa: S106 - of a broker that lives for this test
        group="secured",
    )
    right: list[Source | Sink] = [KafkaSource(settings), KafkaSink(settings, ["images"])]
    wrong_settings = replace(settings, sasl_password="wrong")  # noqa: S106 - as above
    wrong: list[Source | Sink] = [KafkaSource(wrong_settings), KafkaSink(wrong_settings, ["images"])]
    for client in right:
        eventually_connects(client)
        client.close()
    for client in wrong:
        with pytest.raises(Misconfigured, match="SaslAuthenticationFailedError") as caught:
            client.connect()
        assert "\n" not in str(caught.value)
        client.close()
