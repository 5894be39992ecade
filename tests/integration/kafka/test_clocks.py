"""Wrong clocks in a real stream: with retention, nothing that should stay is removed, and no verdict changes."""

import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from neardup.capture_time import UNKNOWN_MS
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect
from tests.support.indexes import forget_decisions
from tests.support.processes import eventually, photo
from tests.support.stage import SEEDS, Service, Stage, bootstrap, fresh, seed_folder

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]

SECONDS = 1_767_225_600
UNKNOWN: dict[str, tuple[bytes | None, int | None]] = {
    "2036": (b"2036-01-01T00:00:00Z", None),
    "2036 in milliseconds": (b"2082758400000", None),
    "2036 by the producer": (None, 2_082_758_400_000),
    "microseconds by the producer": (None, SECONDS * 1_000_000),
    "seconds": (b"%d" % SECONDS, None),
    "seconds by the producer": (None, SECONDS),
    "1970": (b"1970-01-01T00:00:00.001Z", None),
    "before 1970": (b"1965-03-01T12:00:00+01:00", None),
    "none": (b"0", None),
    "none by the producer": (None, 0),
}
"""What a publisher says in its header, and Kafka's timestamp if it is not now."""
REASONS = {"future": 4, "early": 4, "missing": 2}
REFUSED = (b"-1", b"-1767225600000", b"1767225600000000", b"tomorrow", b"2036-01-01T00:00:00")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as opened:
        yield opened


@pytest.fixture
def stage(kafka_address: str, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    index = f"clocks-{secrets.token_hex(4)}"
    bootstrap(seed_folder(tmp_path / "seeds"), redis_url, index)
    stage = Stage(kafka_address, redis_url, index, 1)
    with stage.stack:
        yield stage


def said(stage: Stage) -> list[dict[str, Any]]:
    """Return the verdicts of the run that is over, without what is of the moment, in the order of the messages."""
    passing = {"decided_at", "latency_ms"}
    documents = [
        {name: value for name, value in document.items() if name not in passing}
        for document in stage.documents().values()
    ]
    stage.verdict_reader.records.clear()
    return sorted(documents, key=lambda document: int(document["source"]["offset"]))


def run_through(stage: Stage, service: Service, outcomes: int) -> None:
    eventually(lambda: stage.verdict_reader.read() + stage.dead_reader.read() >= outcomes, f"{outcomes} outcomes")
    assert service.program.stop() == 0


def test_no_wrong_clock_removes_a_member_or_changes_a_verdict(stage: Stage, client: redis.Redis) -> None:
    right, wrong = fresh(), {what: fresh() for what in UNKNOWN}
    first = stage.publish(photo(right))
    places = {
        what: stage.publish(
            photo(wrong[what]), headers=[] if header is None else [("captured_at", header)], timestamp_ms=timestamp_ms
        )
        for what, (header, timestamp_ms) in UNKNOWN.items()
    }
    refused = [stage.publish(photo(fresh()), headers=[("captured_at", header)]) for header in REFUSED]
    copies = {
        stage.publish(photo(number, quality=60)): place
        for number, place in [(right, first), *zip(wrong.values(), places.values(), strict=True)]
    }
    seeds = [stage.publish(photo(number, quality=60)) for number in range(SEEDS)]
    stage.flush()

    # One by one: each batch looks for what is too old.
    options = ("--retention", "30d", "--batch-size", "1")
    with stage.service(*options) as service:
        stage.await_outcomes()
        told = stage.documents()
        uniques = {first, *places.values()}
        assert {place for place, document in told.items() if document["verdict"] == "unique"} == uniques
        assert {place: told[place]["duplicate_of"] for place in copies} == copies
        assert all(told[place]["verdict"] == "duplicate" for place in seeds)
        assert {told[place]["captured_at"] for place in places.values()} == {None}
        letters = [dict(letter.headers) for letter in stage.dead_reader.read_to_end()]
        assert [letter["error.source"].decode() for letter in letters] == refused
        assert {letter["error.reason"] for letter in letters} == {b"bad-captured-at"}
        eventually(lambda: service.images() == len(told), "the last image counted")
        counted = {
            dict(labels)["reason"]: int(value)
            for (name, labels), value in service.metrics().items()
            if name == "neardup_unknown_capture_times_total"
        }
        assert counted == REASONS
        assert service.program.stop() == 0
    warnings = [line["message"] for line in service.program.log() if line["level"] == "warning"]
    assert len(warnings) == REASONS["future"] + REASONS["early"]
    assert any("2036-01-01" in warning for warning in warnings)
    assert any("a time in microseconds" in warning for warning in warnings)

    stored = {member.key: member.captured_at_ms for member in RedisIndex(client, stage.index).members()}
    assert len(stored) == SEEDS + len(uniques)
    assert {stored[place] for place in places.values()} == {UNKNOWN_MS}
    assert stored[first] == told[first]["source"]["timestamp"]

    # Delivered again, while the decisions are remembered, and when they are forgotten.
    before = said(stage)
    for forget in (False, True):
        if forget:
            forget_decisions(client, stage.index)
        stage.group = f"{stage.group}-again"
        stage.dead_reader.records.clear()
        with stage.service(*options) as service:
            run_through(stage, service, stage.published.total())
        again = said(stage)
        if forget:  # the nearest member of a copy, and the one that a unique is told of, may have come later
            kept = ("image_id", "verdict", "duplicate_of")
            assert [[each[name] for name in kept] for each in again] == [
                [each[name] for name in kept] for each in before
            ]
        else:
            assert again == before
    assert {member.key: member.captured_at_ms for member in RedisIndex(client, stage.index).members()} == stored
    assert Counter(each["verdict"] for each in before)["unique"] == len(uniques)
