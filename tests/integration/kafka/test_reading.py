"""What only a real broker does to a source: lag, groups, offsets, and records that are gone or cannot be read."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import MemberToRemove
from kafka.record.default_records import DefaultRecordBatch

from consumer.messages import ImageMessage, dead_letter
from neardup.errors import EmptyImage, KafkaUnavailable, Misconfigured
from neardup.kafka.patch import patch_kafka_python
from tests.support.odd_headers import NotUtf8
from tests.support.processes import DEADLINE_S
from tests.support.transports import (
    BINARY,
    KafkaRig,
    Sent,
    commit,
    connected,
    numbered,
    take,
    until_deadline,
    values,
)

pytestmark = pytest.mark.kafka


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


def test_the_broker_holds_the_offset_behind_the_last_message(kafka: KafkaRig) -> None:
    kafka.write([*numbered(7, 0), *numbered(3, 1)])
    source = connected(kafka.source())
    commit(source, take(source, 10))
    assert kafka.committed() == {0: 7, 1: 3}


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
    # What is still in hand of the earlier assignment stays lost, whatever was polled since.
    assert source.ours([*taken, *again]) == [False] * 5 + [True] * 5
    source.commit([*again[:2], *taken])
    assert kafka.committed() == {0: 2}
    source.commit(again)
    assert kafka.committed() == {0: 5}


def test_a_rebalance_that_a_short_poll_began_is_finished_by_the_next(kafka: KafkaRig) -> None:
    kafka.write(numbered(3))
    source = kafka.source()
    source.connect()
    taken = take(source, 3)
    source.ours(taken)
    coordinator = source._client.get()._coordinator
    join = None
    for _ in until_deadline():
        if join is None:
            coordinator._assignment_snapshot = {}  # as if the topic had other partitions when it was assigned
            source.idle(0.0)
            join = coordinator._join_task
        elif join.is_done:
            break
    assert join is not None
    assert source.ours(taken) == [True] * 3
    source.commit(taken)
    assert kafka.committed()[0] == 3


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


def test_a_batch_is_bounded_in_bytes_and_what_is_larger_comes_alone(kafka: KafkaRig) -> None:
    sizes = [1000, 1000, 1000, 9000, 500, 500]
    kafka.write([Sent(bytes(size)) for size in sizes])
    source = connected(kafka.source(batch_bytes=7500))
    batches: list[list[int]] = []
    for _ in until_deadline():
        batch = [len(message.value or b"") for message in source.poll(100, 0.2)]
        batches += [batch] if batch else []
        if sum(map(len, batches)) == len(sizes):
            break
    assert [size for batch in batches for size in batch] == sizes
    # A third each: as many may be in hand.
    assert all(len(batch) == 1 or sum(batch) <= 2500 for batch in batches)


def test_what_does_not_fill_a_batch_waits_when_a_full_one_is_asked_for(kafka: KafkaRig) -> None:
    kafka.write([*numbered(2, 0), *numbered(1, 1)])
    source = connected(kafka.source())
    for _ in until_deadline():
        assert source.poll(4, 0.2, full=True) == []
        if sum(source.lag().values()) == 3 and len(source.lag()) == 2:
            break
    kafka.write(numbered(2, 1, start=1))
    batch: list[ImageMessage] = []
    for _ in until_deadline():
        batch = source.poll(4, 0.2, full=True)
        if batch:
            break
    assert len(batch) == 4
    assert source.poll(4, 0.0, full=True) == []
    batch += take(source, 1)
    assert (values(batch, 0), values(batch, 1)) == ([b"0", b"1"], [b"0", b"1", b"2"])


@pytest.mark.timeout(120)
def test_what_waits_already_waits_for_no_other(kafka: KafkaRig) -> None:
    kafka.write(numbered(3))
    source = kafka.source()
    source.connect()
    for _ in until_deadline():
        assert source.poll(100, 0.2, full=True) == []
        if len(source._waiting) == 3:
            break
    an_hour_s = 3600.0
    assert values(source.poll(100, an_hour_s)) == [b"0", b"1", b"2"]


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


def test_a_partition_that_was_paused_goes_on_though_another_was_read_meanwhile(kafka: KafkaRig) -> None:
    kafka.write([*numbered(5, 0), *numbered(5, 1)])
    patch_kafka_python()
    places = [TopicPartition(kafka.images, number) for number in (0, 1)]
    with KafkaConsumer(bootstrap_servers=kafka.address, auto_offset_reset="earliest") as consumer:
        consumer.assign(places)
        ((first, records),) = taken_of(consumer, 1).items()
        consumer.pause(first)  # with four of it read and not handed out
        (other,) = {*places} - {first}
        others = taken_of(consumer, 5)[other]
        assert list(taken_of(consumer, 1, polls=3)) == []
        consumer.resume(first)
        records += taken_of(consumer, 4)[first]
    assert [record.value for record in (*records, *others)] == [b"0", b"1", b"2", b"3", b"4"] * 2


def taken_of(consumer: KafkaConsumer, count: int, polls: int = 100) -> dict[TopicPartition, list[Any]]:
    """Return so many records, or those that come in so many polls, by partition."""
    taken: dict[TopicPartition, list[Any]] = {}
    for _ in range(polls):
        for place, records in consumer.poll(timeout_ms=100, max_records=count).items():
            taken.setdefault(place, []).extend(records)
        if sum(map(len, taken.values())) >= count:
            break
    return taken
