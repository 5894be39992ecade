"""The quick look never loses the nearest member."""

from typing import Literal

import numpy as np
import pytest

import neardup.index.block
from neardup.descriptors.base import unit_float16
from neardup.index.block import MemberBlock, member_of
from neardup.search.distance import l2_distances
from neardup.types import Descriptors, Match, Member, Query


def unit_rows(count: int, dimension: int, seed: int) -> Descriptors:
    return unit_float16(np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32))


def block_of(rows: Descriptors) -> MemberBlock:
    block = MemberBlock(rows.shape[1])
    for number, row in enumerate(rows):
        block.append(Member(f"key-{number}", f"id-{number}", row))
    return block


def nearest_by_brute_force(rows: Descriptors, query: Descriptors, without: set[int]) -> tuple[str, float] | None:
    distances = l2_distances(query[np.newaxis], rows)[0]
    kept = [number for number in range(len(rows)) if number not in without]
    best = min(kept, key=lambda number: distances[number], default=None)
    return None if best is None else (f"key-{best}", float(distances[best]))


def found(match: Match | None) -> tuple[str, float] | None:
    return (match.member.key, match.l2_distance) if match else None


def test_an_empty_block_has_no_nearest() -> None:
    assert MemberBlock(4).nearest(unit_rows(1, 4, 0)[0]) is None


@pytest.mark.parametrize("count", [1, 15, 16, 17, 32, 33, 300])
@pytest.mark.parametrize("dimension", [1, 3, 64, 256, 1000])
def test_nearest_is_that_of_brute_force(count: int, dimension: int) -> None:
    rows = unit_rows(count, dimension, seed=count)
    block = block_of(rows)
    for query in unit_rows(20, dimension, seed=99):
        assert found(block.nearest(query)) == nearest_by_brute_force(rows, query, set())


@pytest.mark.parametrize("scale", [1e-2, 1e-3, 3e-4])
def test_nearest_among_hardly_different_members(scale: float) -> None:
    # Closer together than float32 and the norms' rounding can tell: only the exact look can.
    rng = np.random.default_rng(5)
    base = rng.standard_normal(256)
    rows = unit_float16((base + scale * rng.standard_normal((500, 256))).astype(np.float32))
    block = block_of(rows)
    for query in unit_float16((base + scale * rng.standard_normal((50, 256))).astype(np.float32)):
        assert found(block.nearest(query)) == nearest_by_brute_force(rows, query, set())


def test_long_descriptors() -> None:
    rows = unit_rows(20, 30_000, seed=3)
    block = block_of(rows)
    for query in (*unit_rows(3, 30_000, seed=4), rows[7]):
        assert found(block.nearest(query)) == nearest_by_brute_force(rows, query, set())


@pytest.mark.parametrize("room", [0, 4 * 45 * 7, 1 << 20])
def test_what_was_looked_at_ahead_is_found_like_the_rest(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neardup.index.block, "_AHEAD_BYTES", room)
    rows, queries = unit_rows(60, 8, seed=1), unit_rows(20, 8, seed=2)
    block = block_of(rows[:40])
    block.look_ahead([*queries, *rows[:2]])
    for number, row in enumerate(rows[40:], 40):
        block.append(Member(f"key-{number}", f"id-{number}", row))
        for query in queries:
            first = rows[: number + 1]
            assert found(block.nearest(query)) == nearest_by_brute_force(first, query, set())
            assert found(block.nearest(query, lambda member: member.key != "key-3")) == nearest_by_brute_force(
                first, query, {3}
            )
            assert len(block.within(query, 1.0)) == (l2_distances(query[np.newaxis], first) <= 1.0).sum()


def test_the_first_inserted_wins_a_tie() -> None:
    row = unit_rows(1, 16, seed=1)
    block = block_of(np.concatenate([unit_rows(5, 16, seed=2), row, row, row]))
    assert found(block.nearest(row[0])) == ("key-5", 0.0)


def test_ties_at_a_distance_go_to_the_first_inserted() -> None:
    axes = np.eye(8, dtype=np.float16)
    block = block_of(np.concatenate([-axes[:1], axes[1:]]))
    assert found(block.nearest(axes[0])) == ("key-1", float(np.sqrt(2)))


@pytest.mark.parametrize("own", [0, 7, 39])
def test_other_than_leaves_out_a_member_and_only_that(own: int) -> None:
    rows = unit_rows(40, 32, seed=6)
    block = block_of(rows)
    match = block.nearest(rows[own], lambda member: member.key != f"key-{own}")
    assert found(match) == nearest_by_brute_force(rows, rows[own], {own})


def test_other_than_an_unknown_key_leaves_out_nothing() -> None:
    rows = unit_rows(3, 8, seed=1)
    assert found(block_of(rows).nearest(rows[1], lambda member: member.key != "elsewhere")) == ("key-1", 0.0)


def test_other_than_the_only_member_leaves_nothing() -> None:
    rows = unit_rows(1, 8, seed=1)
    assert block_of(rows).nearest(rows[0], lambda member: member.key != "key-0") is None


def test_other_than_leaves_out_every_record_of_a_key() -> None:
    row = unit_rows(1, 8, seed=1)[0]
    block = MemberBlock(8)
    for _ in range(3):
        block.append(Member("again", "a", row))
    assert block.nearest(row, lambda member: member.key != "again") is None


@pytest.mark.parametrize("dimension", [1, 3, 64, 1000])
def test_within_is_that_of_brute_force(dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    base = rng.standard_normal((4, dimension))
    rows = unit_float16(
        (base[rng.integers(0, 4, 300)] + 0.1 * rng.standard_normal((300, dimension))).astype(np.float32)
    )
    block = block_of(rows)
    for query in rows[:20]:
        distances = l2_distances(query[np.newaxis], rows)[0]
        for radius in (0.0, 0.2, float(distances[17]), float(np.nextafter(distances[17], 0)), 1.2, 2.0):
            expected = [(int(row), f"key-{row}", distances[row]) for row in np.flatnonzero(distances <= radius)]
            found = block.within(query, radius)
            assert [(place, match.member.key, match.l2_distance) for place, match in found] == expected


def test_a_block_is_a_list_of_its_members() -> None:
    rows = unit_rows(20, 4, seed=1)
    block = block_of(rows)
    assert len(block) == 20
    assert [member.key for member in block] == [f"key-{number}" for number in range(20)]
    assert np.array_equal(block.descriptors, rows)
    assert "key-3" in block
    assert "key-20" not in block
    assert block.nbytes >= 20 * 4 * (2 + 4)


def test_growing_while_somebody_iterates() -> None:
    block = block_of(unit_rows(3, 4, seed=1))
    seen = []
    for member in block:
        seen.append(member.key)
        block.append(Member("new", "n", unit_rows(1, 4, seed=2)[0]))
    assert seen == ["key-0", "key-1", "key-2"]


@pytest.mark.parametrize("field", ["key", "image_id", "captured_at_ms"])
def test_a_member_is_what_its_query_was(field: Literal["key", "image_id", "captured_at_ms"]) -> None:
    query = Query("k", "a", unit_rows(1, 4, seed=1)[0], 99)
    assert getattr(member_of(query), field) == getattr(query, field)
    assert member_of(query).descriptor is query.descriptor
