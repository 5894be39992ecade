"""Retention: both kinds of index count members by the images' own time."""

import dataclasses

import pytest
import redis

from neardup.capture_time import TOLERANCE_MS
from neardup.index.base import Index, IndexMeta
from neardup.index.memory import MemoryIndex
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.retention import Retention
from neardup.index.stored.connection import connect
from neardup.search.cells import Cells
from neardup.types import Query, Verdict
from tests.support.indexes import CENTROIDS, DIMENSION, RADIUS, build_generation, forget_decisions, member, new_name
from tests.support.indexes import point as at
from tests.support.indexes import query as untimed

HOUR_MS = 3_600_000
DAYS_30 = Retention(30 * 24 * HOUR_MS, grace_ms=HOUR_MS)
DAY_MS = 24 * HOUR_MS
START_MS = 1_700_000_000_000
IN_2036_MS = 2_082_758_400_000
SEED = member("seed", at(3))


def shot(key: str, day: float, angle: float = 0.0) -> Query:
    return dataclasses.replace(untimed(key, at(0, angle)), captured_at_ms=START_MS + int(day * DAY_MS))


def at_time(key: str, captured_at_ms: int, angle: float = 0.0) -> Query:
    return dataclasses.replace(untimed(key, at(0, angle)), captured_at_ms=captured_at_ms)


def verdicts(index: Index, *queries: Query) -> list[str]:
    return [decision.verdict.value for query in queries for decision in index.decide([query])]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def index(request: pytest.FixtureRequest) -> Index:
    if request.param == "memory":
        meta = IndexMeta("memory", 1, "pixels:1", "test-1", DIMENSION, RADIUS, len(CENTROIDS))
        return MemoryIndex(meta, Cells(CENTROIDS), [SEED], DAYS_30)
    return on_redis(connect(request.getfixturevalue("redis_url")), DAYS_30)


def on_redis(client: redis.Redis, retention: Retention) -> RedisIndex:
    name = new_name()
    build_generation(client, name, members=[SEED])
    return RedisIndex(client, name, options=RedisIndexOptions(retention=retention))


def test_a_member_counts_to_the_end_of_the_window_and_no_longer(index: Index) -> None:
    assert verdicts(index, shot("first", 0), shot("at the end", 30)) == ["unique", "duplicate"]
    assert verdicts(index, shot("after it", 30.001)) == ["unique"]


def test_what_was_taken_anew_counts_from_then(index: Index) -> None:
    assert verdicts(index, shot("first", 0), shot("again", 31), shot("copy", 60)) == ["unique", "unique", "duplicate"]
    assert index.decide([shot("copy of the second", 60)])[0].duplicate_of == "id of again"


def test_an_old_image_that_comes_late_is_a_duplicate_of_a_newer_one(index: Index) -> None:
    assert verdicts(index, shot("new", 100), shot("old", 1)) == ["unique", "duplicate"]


def test_within_one_batch(index: Index) -> None:
    batch = [shot("first", 0), shot("second", 31), shot("third", 32)]
    assert [decision.verdict.value for decision in index.decide(batch)] == ["unique", "unique", "duplicate"]


def test_members_without_a_time_count_for_ever(index: Index) -> None:
    far = dataclasses.replace(untimed("far", at(3)), captured_at_ms=START_MS + 10_000 * DAY_MS)
    assert index.decide([far])[0].duplicate_of == "id of seed"


@pytest.mark.parametrize("no_time_ms", [0, -1, -START_MS, START_MS // 1000, 1, 99_999_999_999])
def test_what_is_no_time_counts_for_ever_and_sees_every_member(index: Index, no_time_ms: int) -> None:
    assert verdicts(index, at_time("no time", no_time_ms), shot("other", 0, 0.5)) == ["unique", "unique"]
    assert verdicts(index, at_time("copy of the other", no_time_ms, 0.5), shot("copy", 1000)) == ["duplicate"] * 2
    assert index.decide([shot("later copy", 1000)])[0].duplicate_of == "id of no time"


@pytest.mark.parametrize("wrong_ms", [IN_2036_MS, START_MS * 1000, START_MS * 1_000_000])
def test_an_image_of_the_future_takes_no_member_with_it(index: Index, wrong_ms: int) -> None:
    for number in range(5):
        verdicts(
            index, shot(f"m{number}", number, 0.3 * number), at_time(f"wrong {number}", wrong_ms, 1.6 + 0.3 * number)
        )
    assert index.stats().members == 11
    copies = [shot(f"copy {number}", 10, 0.3 * number) for number in range(5)]
    assert [decision.duplicate_of for decision in index.decide(copies)] == [f"id of m{number}" for number in range(5)]
    assert verdicts(index, shot("copy of the wrong", 10, 1.6)) == ["duplicate"]
    assert index.stats().members == 11


def test_a_unique_image_is_told_the_distance_to_a_member_that_counts(index: Index) -> None:
    verdicts(index, shot("first", 0), shot("other", 40, angle=0.5))
    (decision,) = index.decide([shot("again", 41)])
    assert decision.verdict is Verdict.UNIQUE
    assert decision.l2_distance is not None
    assert decision.l2_distance > RADIUS


@pytest.mark.redis
def test_expired_members_are_removed_after_the_grace_and_everybody_follows(redis_url: str) -> None:
    client = connect(redis_url)
    index = on_redis(client, DAYS_30)
    other = RedisIndex(client, index.meta.name, options=RedisIndexOptions(retention=DAYS_30))
    verdicts(index, *(shot(f"m{number}", 0, 0.3 * number) for number in range(5)))
    assert other.stats().members == 6
    verdicts(index, shot("later", 30.01))  # beyond the window, within the grace: ignored, not removed
    assert index.stats().members == 7
    for number in range(5):  # each batch looks at one more cell
        verdicts(index, shot(f"tick {number}", 40 + number, angle=-0.3))
    assert sorted(each.key for each in index.members()) == ["later", "seed", "tick 0"]
    assert other.stats().members == 3
    assert verdicts(other, shot("m2 again", 45, 0.6)) == ["unique"]
    assert index.decide([shot("copy", 46, 0.6)])[0].duplicate_of == "id of m2 again"


@pytest.mark.redis
@pytest.mark.parametrize("ahead_ms", [0, HOUR_MS, 20 * HOUR_MS, TOLERANCE_MS])
def test_a_clock_that_is_fast_takes_nothing_that_counts_for_an_image_of_now(redis_url: str, ahead_ms: int) -> None:
    client, window_ms = connect(redis_url), HOUR_MS
    name = new_name()
    build_generation(client, name, members=[SEED])
    now_ms = START_MS + HOUR_MS
    options = RedisIndexOptions(retention=Retention(window_ms), now_ms=lambda: now_ms)
    index = RedisIndex(client, name, options=options)
    verdicts(index, at_time("first", START_MS), at_time("fast", now_ms + ahead_ms, 0.5))
    for number in range(5):
        verdicts(index, at_time(f"again {number}", now_ms + ahead_ms, 0.5))
    assert verdicts(index, at_time("copy of the first", now_ms)) == ["duplicate"]


@pytest.mark.redis
def test_off_by_default(redis_url: str) -> None:
    client = connect(redis_url)
    name = new_name()
    build_generation(client, name, members=[SEED])
    index = RedisIndex(client, name)
    assert verdicts(index, shot("first", 0), shot("years later", 10_000)) == ["unique", "duplicate"]
    forget_decisions(client, name)
    assert verdicts(index, shot("first", 0)) == ["unique"]
