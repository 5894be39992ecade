"""What the loop may rely on, held by the memory transport and by real Kafka alike."""

from collections.abc import Sequence

import pytest

from consumer.messages import ImageMessage, OutgoingMessage
from neardup.wire import Headers
from tests.support.transports import (
    BINARY,
    KafkaRig,
    MemoryRig,
    Rig,
    Sent,
    answered,
    answers,
    commit,
    connected,
    numbered,
    outgoing,
    take,
    until_deadline,
    values,
)

QUICKLY_S = 10.0
"""A group forgets a member that did not say goodbye after 45 s."""


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
    source, sink = rig.source(), rig.sink()
    for close in (source.close, source.close, sink.close, sink.close):
        close()


# Deliveries.


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
