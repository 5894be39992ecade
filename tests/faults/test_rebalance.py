"""Partitions that move while work is in hand, and work that takes longer than the group waits."""

import json
from collections.abc import Callable

import pytest

from tests.support.dying import Consumer, Consumers
from tests.support.harness import audit
from tests.support.processes import eventually, photo
from tests.support.stage import Stage, fresh

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]

IMPATIENT_S = 3.0
LONG_S = 5.0
"""Longer than the group waits."""


MakeStage = Callable[[int], Stage]


def feed(stage: Stage, count: int = 6) -> None:
    """Publish new images, the same number to each partition."""
    for _ in range(count):
        for partition in range(stage.partitions):
            stage.publish(photo(fresh()), partition=partition)
    stage.flush()


def answered(consumer: Consumer) -> list[str]:
    """Return the partitions of the images that this consumer has answered, one entry an image."""
    lines = (json.loads(line) for line in consumer.said().splitlines() if line.startswith("{"))
    return [str(line["partition"]) for line in lines if line["message"] == "verdict"]


def assigned_count(consumer: Consumer) -> int:
    """Count how often the consumer was given partitions."""
    return consumer.said().count("partitions assigned: images")


def test_a_batch_may_take_longer_than_the_group_waits(make_stage: MakeStage, consumers: Consumers) -> None:
    stage = make_stage(1)
    feed(stage)
    with consumers.run(stage.arguments("--max-poll-interval-s", str(IMPATIENT_S)), slow_s=LONG_S) as slow:
        stage.await_outcomes()
        assert slow.stop() == 0, slow.said()
    audit(stage)
    assert stage.committed() == stage.published
    assert "partitions lost" not in slow.said()
    assert "poll timeout has expired" not in slow.said()
    assert assigned_count(slow) == 1


def test_work_on_a_partition_that_moves_is_dropped_and_done_elsewhere(
    make_stage: MakeStage, consumers: Consumers
) -> None:
    stage = make_stage(2)
    # Three batches, which are all in hand when partitions move.
    with consumers.run(stage.arguments("--batch-size", "4"), slow_s=LONG_S) as slow:
        eventually(lambda: assigned_count(slow) == 1, "both partitions assigned")
        feed(stage)
        # It may have polled one partition first; from then on what is in hand is of both or of either.
        with consumers.run(stage.arguments()) as other:
            stage.await_outcomes()
            eventually(lambda: len(answered(slow)) + len(answered(other)) == 12, "all told in the logs")
            assert other.stop() == 0, other.said()
        assert slow.stop() == 0, slow.said()
    assert "partitions revoked: images" in slow.said()
    assert "partitions lost" not in slow.said()
    audit(stage)
    assert stage.committed() == stage.published
    # The one that moved was finished by the other alone, or by the first alone before it moved: never by both.
    assert len(answered(slow)) + len(answered(other)) == 12


def test_who_has_a_name_comes_back_without_a_rebalance(make_stage: MakeStage, consumers: Consumers) -> None:
    stage = make_stage(2)
    with consumers.run(stage.arguments("--group-instance-id", "stays")) as stays:
        eventually(lambda: assigned_count(stays) == 1, "both partitions assigned")
        with consumers.run(stage.arguments("--group-instance-id", "goes"), step="told") as goes:
            eventually(
                lambda: assigned_count(goes) == 1 and "partitions revoked" in stays.said(), "one partition for each"
            )
            feed(stage)
            goes.wait()
        assignments = assigned_count(stays)
        with consumers.run(stage.arguments("--group-instance-id", "goes")) as back:
            stage.await_outcomes()
            feed(stage)
            stage.await_outcomes()
            eventually(lambda: len(answered(back)) >= 6, "the one that came back has work")
            assert back.stop() == 0, back.said()
        assert assigned_count(stays) == assignments
        assert stays.said().count("partitions revoked") == 1
        assert stays.stop() == 0, stays.said()
    audit(stage)
    assert stage.committed() == stage.published
