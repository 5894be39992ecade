"""Whatever clocks say and in whatever order images come: what counts for an image of now is there, and nothing more."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neardup.capture_time import EARLIEST_MS, TOLERANCE_MS, UNKNOWN_MS, capture_time
from neardup.index.base import Index, IndexMeta
from neardup.index.memory import MemoryIndex
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.retention import Retention
from neardup.index.stored.connection import connect
from neardup.search.cells import Cells
from neardup.types import Query
from tests.support.indexes import CELLS, CENTROIDS, DIMENSION, RADIUS, build_generation, new_name, point, query

pytestmark = pytest.mark.redis

NOW_MS = 1_767_225_600_000
HOUR_MS = 60 * 60 * 1000
WINDOW = Retention(12 * HOUR_MS, HOUR_MS)
PLACES = [point(cell, 0.3 * step, plane) for cell in range(CELLS) for plane in range(4) for step in range(1, 4)]
"""Images of which none is like another."""
RIGHT_MS = st.integers(NOW_MS - 40 * HOUR_MS, NOW_MS)
WRONG_MS = st.one_of(
    st.integers(-(2**63), EARLIEST_MS - 1),
    st.integers(NOW_MS + TOLERANCE_MS + 1, 2**63 - 1),
    st.sampled_from([0, -1, NOW_MS // 1000, NOW_MS * 1000, 2_082_758_400_000]),
)


def judged(index: Index, times_ms: Sequence[int], batch: int) -> list[str]:
    """Judge images captured at these times, sent as they were captured or else now; then a copy of each, of now."""
    sent_ms = [ms if EARLIEST_MS <= ms <= NOW_MS else NOW_MS for ms in times_ms]
    known_ms = [capture_time(ms, sent, NOW_MS).ms for ms, sent in zip(times_ms, sent_ms, strict=True)]
    images = [
        replace(query(f"image {number}", PLACES[number]), captured_at_ms=ms) for number, ms in enumerate(known_ms)
    ]
    for first in range(0, len(images), batch):
        index.decide(images[first : first + batch])
    copies = [Query(f"copy of {image.key}", "copy", image.descriptor, NOW_MS) for image in images]
    return [decision.verdict.value for copy in copies for decision in index.decide([copy])]


@settings(max_examples=40, suppress_health_check=list(HealthCheck), database=None)
@given(
    times_ms=st.lists(st.one_of(RIGHT_MS, WRONG_MS), min_size=1, max_size=len(PLACES)),
    batch=st.integers(1, 16),
    later_ms=st.sampled_from([0, HOUR_MS, 10 * 365 * 24 * HOUR_MS]),
)
def test_order_and_clocks_do_not_matter(redis_url: str, times_ms: list[int], batch: int, later_ms: int) -> None:
    meta = IndexMeta("memory", 1, "pixels:1", "test-1", DIMENSION, RADIUS, len(CENTROIDS))
    in_memory = MemoryIndex(meta, Cells(CENTROIDS), [], WINDOW)
    expected = [
        "duplicate" if ms < EARLIEST_MS or ms > NOW_MS or ms >= NOW_MS - WINDOW.window_ms else "unique"
        for ms in times_ms
        if WINDOW.window_ms is not None
    ]
    with connect(redis_url) as client:
        name = new_name()
        build_generation(client, name, members=[])
        options = RedisIndexOptions(retention=WINDOW, now_ms=lambda: NOW_MS + later_ms)
        in_redis = RedisIndex(client, name, options=options)
        assert judged(in_redis, times_ms, batch) == expected
        assert judged(in_memory, times_ms, batch) == expected
        there = {member.key: member.captured_at_ms for member in in_redis.members()}
    stayed = {number for number in range(len(times_ms)) if f"image {number}" in there}
    assert stayed >= {number for number, verdict in enumerate(expected) if verdict == "duplicate"}
    assert all(ms == UNKNOWN_MS or ms <= NOW_MS for ms in there.values())
