"""A look-up finds the nearest of all members, and the verdict of brute force, wherever members are."""

import itertools
from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from neardup.index.looking import nearest
from neardup.index.looking.neighbours import Neighbours, neighbours
from neardup.index.memory import MemoryIndex
from neardup.index.redis import CACHE_BYTES, RedisIndex, RedisIndexOptions
from neardup.index.retention import Retention
from neardup.index.stored.connection import connect
from neardup.relation.rule import Relation
from neardup.search.cells import Cells
from neardup.search.distance import l2_distances
from neardup.types import Descriptors, Member, Query, Variant
from tests.support.indexes import CENTROIDS, DIMENSION, RADIUS, build_generation, member, new_name, point, thumbnail

pytestmark = pytest.mark.redis

POINTS = [
    point(cell, angle, plane)
    for cell, angle, plane in itertools.product(range(4), (0.0, 0.05, 0.11, 0.125, 0.3, 0.7), range(2))
]
PLACES = st.integers(0, len(POINTS) - 1)


@pytest.fixture(scope="module")
def client(redis_url: str) -> redis.Redis:
    return connect(redis_url)


def l2_to(compared: Sequence[Descriptors], each: Member) -> float:
    return float(l2_distances(np.stack(compared), each.descriptor[np.newaxis]).min())


def check(found: Neighbours, members: Sequence[Member], compared: Sequence[Descriptors], limit: int) -> None:
    assert [l2_to(compared, near.member) for near in found.nearest] == [near.l2_distance for near in found.nearest]
    told = [near.l2_distance for near in found.nearest]
    truth = sorted(l2_to(compared, each) for each in members)  # equally near ones may come in any order
    assert found.members == len(members)
    if found.exact:
        assert told == truth[:limit]
    within = [l2 for l2 in truth if l2 <= RADIUS]
    assert told[: len(within)] == within[:limit]


@settings(max_examples=60)
@given(
    places=st.lists(PLACES, max_size=25),
    asked=st.lists(PLACES, min_size=1, max_size=3),
    limit=st.integers(1, 12),
    most=st.sampled_from([1, 3, 10_000]),
    split=st.booleans(),
    cache_bytes=st.sampled_from([0, CACHE_BYTES]),
)
def test_the_nearest_are_those_of_brute_force(  # noqa: PLR0917 - all that may differ
    client: redis.Redis,
    places: list[int],
    asked: list[int],
    limit: int,
    most: int,
    split: bool,  # noqa: FBT001
    cache_bytes: int,
) -> None:
    members = [member(f"m{number}", POINTS[place]) for number, place in enumerate(places)]
    name = new_name()
    relation = Relation(RADIUS, match_flips=len(asked) > 1, match_rotations=len(asked) > 2)
    build_generation(client, name, RADIUS, members, relation=relation)
    index = RedisIndex(
        client, name, options=RedisIndexOptions(max_cluster=2 if split else 300, cache_bytes=cache_bytes)
    )
    if split:  # deciding is what divides cells; what was decided already changes nothing else
        index._divide_large_cells()
    compared = [POINTS[place] for place in asked]
    symmetries = relation.described_after[1:]
    variants = tuple(
        Variant(symmetry, compared[min(number, len(compared) - 1)])
        for number, symmetry in enumerate(symmetries, start=1)
    )
    query = Query("lookup:", "asked", compared[0], variants=variants)
    with patch.multiple(nearest, MOST_MEASURED=most, _HOPELESS=1, MOST_READ=2, _FIRST=2, _STEPS=2):
        found = neighbours(index, query, limit)
    check(found, members, [each.descriptor for each in query.compared], limit)
    assert found.exact or most < len(members) or cache_bytes == 0
    truth = MemoryIndex(index.meta, Cells(CENTROIDS), members).decide([query])[0]
    decision = found.decision
    assert decision.verdict is truth.verdict
    if decision.origin is not None:
        assert decision.l2_distance == truth.l2_distance
        assert decision.origin.key in [near.member.key for near in found.nearest]
    assert [each.key for each in index.members()] == [each.key for each in RedisIndex(client, name).members()]
    assert sorted(each.key for each in index.members()) == sorted(each.key for each in members)


def test_what_the_image_duplicates_is_told_though_others_are_nearer(client: redis.Redis) -> None:
    name = new_name()
    changed = [
        Member(f"m{number}", f"m{number}", point(0, 0.01 * number), kept=thumbnail((4, 4), by=200))
        for number in range(5)
    ]
    same = Member("same", "same", point(0, 0.1), kept=thumbnail())
    build_generation(client, name, RADIUS, [*changed, same], relation=Relation(RADIUS, local_change=3.0))
    found = neighbours(RedisIndex(client, name), Query("lookup:", "asked", point(0), kept=thumbnail()), 2)
    assert found.decision.duplicate_of == "same"
    assert [near.member.key for near in found.nearest] == ["m0", "same"]


def test_members_that_are_too_old_do_not_count_and_stay(client: redis.Redis) -> None:
    name, hour = new_name(), 60 * 60 * 1000
    old = Member("old", "old", point(0), captured_at_ms=1_700_000_000_000)
    build_generation(client, name, RADIUS, [old])
    options = RedisIndexOptions(retention=Retention(hour, hour), now_ms=lambda: 1_900_000_000_000)
    index = RedisIndex(client, name, options=options)
    query = Query("lookup:", "asked", point(0), captured_at_ms=old.captured_at_ms + 5 * hour)
    found = neighbours(index, query, 3)
    assert (found.decision.verdict.value, found.nearest[0].counts) == ("unique", False)
    assert [each.key for each in index.members()] == ["old"]


def test_a_real_radius_finds_all_within_it(client: redis.Redis) -> None:
    name = new_name()
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(300, DIMENSION))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    members = [member(f"m{number}", row) for number, row in enumerate(rows)]
    build_generation(client, name, RADIUS, members)
    index = RedisIndex(client, name)
    for row in rows[:50]:
        turned = row + rng.normal(scale=0.05, size=DIMENSION)
        asked = (turned / np.linalg.norm(turned)).astype(np.float16)
        found = neighbours(index, Query("lookup:", "asked", asked), 7)
        assert found.exact
        check(found, members, [asked], 7)
