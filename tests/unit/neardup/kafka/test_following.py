"""Where following topics begins, without a broker."""

from typing import Any

import pytest
from kafka import TopicPartition

import neardup.kafka.following
from neardup.kafka.following import Follower


class Consumer:
    """Stands for kafka-python's: partitions of one topic, each with so many messages."""

    def __init__(self, *ends: int) -> None:
        self.ends = list(ends)
        self.begun: dict[int, int] = {}

    def get(self) -> "Consumer":
        return self

    def partitions_for_topic(self, _topic: str) -> set[int]:
        return set(range(len(self.ends)))

    def assign(self, places: list[TopicPartition]) -> None: ...

    def beginning_offsets(self, places: list[TopicPartition], **_: Any) -> dict[TopicPartition, int]:  # noqa: ANN401
        return dict.fromkeys(places, 2)

    def end_offsets(self, places: list[TopicPartition], **_: Any) -> dict[TopicPartition, int]:  # noqa: ANN401
        return {place: self.ends[place.partition] for place in places}

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.begun[place.partition] = offset


def test_a_partition_that_came_later_is_read_from_its_beginning_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neardup.kafka.following, "missing_topics", lambda *_: [])
    follower, consumer = Follower({}, ["verdicts"], 5), Consumer(100, 4)
    monkeypatch.setattr(follower, "_client", consumer)
    follower.connect()
    assert consumer.begun == {0: 95, 1: 2}
    consumer.ends.append(1000)
    follower.connect()
    assert consumer.begun == {0: 95, 1: 2, 2: 2}
    assert {place.partition: end for place, end in follower._began.items()} == {0: 100, 1: 4, 2: 0}
