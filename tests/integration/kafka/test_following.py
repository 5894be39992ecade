"""Following real topics: from near their ends, without a group, and how far a group is behind."""

from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from neardup.errors import KafkaUnavailable
from neardup.kafka.following import Follower
from tests.support.transports import KafkaRig, commit, connected, create_topics, numbered, take, until_deadline

pytestmark = pytest.mark.kafka


@pytest.fixture
def follower(kafka: KafkaRig) -> Iterator[Follower]:
    with closing(made(kafka, 3)) as opened:
        yield opened


def made(kafka: KafkaRig, last: int, *topics: str) -> Follower:
    return Follower({"bootstrap_servers": kafka.address, "client_id": "test"}, topics or [kafka.images], last)


def come(follower: Follower, count: int) -> list[tuple[int, bytes, bool]]:
    """Return partition, value and whether it was there before, of so many records."""
    found: list[tuple[int, bytes, bool]] = []
    for _ in until_deadline():
        found += [(record.partition, record.value, earlier) for record, earlier in follower.poll(0.2)]
        if len(found) >= count:
            break
    return sorted(found)


def test_the_last_are_read_first_and_then_what_comes(kafka: KafkaRig, follower: Follower) -> None:
    kafka.write([*numbered(10, 0), *numbered(2, 1)])
    follower.connect()
    assert come(follower, 5) == [
        *((0, value, True) for value in (b"7", b"8", b"9")),
        *((1, value, True) for value in (b"0", b"1")),
    ]
    kafka.write(numbered(1, 1, start=5))
    assert come(follower, 1) == [(1, b"5", False)]


def test_connecting_again_goes_on_where_it_was(kafka: KafkaRig, follower: Follower) -> None:
    follower.connect()
    kafka.write(numbered(2))
    follower.connect()
    assert come(follower, 2) == [(0, b"0", False), (0, b"1", False)]


def test_partitions_that_are_new_are_taken_up(kafka: KafkaRig, follower: Follower) -> None:
    follower.connect()
    kafka.admin.create_partitions({kafka.images: 3})
    for _ in until_deadline():
        if len(kafka.admin.describe_topics([kafka.images])[0]["partitions"]) == 3:
            break
    kafka.write(numbered(1, 2))
    found: list[tuple[int, bytes, bool]] = []
    for _ in until_deadline(60):
        follower._client.drop()  # a client learns of partitions every five minutes; another one at once
        follower.connect()
        if found := come_now(follower):
            break
    assert found == [(2, b"0", False)]


def come_now(follower: Follower) -> list[tuple[int, bytes, bool]]:
    return [(record.partition, record.value, earlier) for record, earlier in follower.poll(1.0)]


def test_a_topic_that_is_not_there_yet_is_waited_for(kafka: KafkaRig) -> None:
    later = f"{kafka.images}-later"
    with closing(made(kafka, 3, later)) as follower:
        with pytest.raises(KafkaUnavailable, match=r"does not exist \(yet\)"):
            follower.connect()
        create_topics(kafka.admin, {later: 1})
        try:
            follower.connect()
        finally:
            kafka.admin.delete_topics([later])


def test_lag_is_what_a_group_has_not_committed(kafka: KafkaRig, follower: Follower) -> None:
    kafka.write([*numbered(10, 0), *numbered(4, 1)])
    follower.connect()
    assert lag(kafka, follower) is None
    source = connected(kafka.source())
    taken = take(source, 14)
    commit(source, [message for message in taken if message.partition == 0][:7])
    assert lag(kafka, follower) == {0: 3, 1: 4}
    commit(source, taken)
    assert lag(kafka, follower) == {0: 0, 1: 0}


def lag(kafka: KafkaRig, follower: Follower) -> dict[int, int] | None:
    for _ in until_deadline():
        with suppress(KafkaUnavailable):  # a broker that is only just becoming the coordinator of groups
            return follower.lag(kafka.group, kafka.images)
    raise AssertionError("the lag is not told in time")


def test_no_group_is_joined_and_nothing_is_committed(kafka: KafkaRig, follower: Follower) -> None:
    kafka.write(numbered(3))
    groups = {each["group_id"] for each in kafka.admin.list_groups()}
    follower.connect()
    come(follower, 3)
    lag(kafka, follower)
    assert {each["group_id"] for each in kafka.admin.list_groups()} == groups
    assert kafka.committed() == {}
