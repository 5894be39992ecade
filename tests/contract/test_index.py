"""What every index does, on every kind of it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from neardup.index.base import Index
from neardup.types import Decision, Member, Origin, Verdict
from tests.support.indexes import (
    CELLS,
    RADIUS,
    Backend,
    MemoryBackend,
    RedisBackend,
    l2_distance,
    member,
    point,
    query,
)

UNIQUE, DUPLICATE = Verdict.UNIQUE, Verdict.DUPLICATE


@pytest.fixture(params=["memory", *(pytest.param(kind, marks=pytest.mark.redis) for kind in ("redis", "cluster"))])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "memory":
        return MemoryBackend()
    return RedisBackend(request.getfixturevalue("redis_url" if request.param == "redis" else "redis_cluster_url"))


def verdicts(decisions: Sequence[Decision]) -> list[str]:
    return [decision.verdict.value for decision in decisions]


def keys_by_cell(index: Index) -> dict[int, list[str]]:
    cells: dict[int, list[str]] = defaultdict(list)
    for each in index.members():
        cells[int(each.descriptor[:CELLS].argmax())].append(each.key)
    return dict(cells)


class TestVerdicts:
    def test_the_first_is_unique_and_its_copy_a_duplicate_of_it(self, backend: Backend) -> None:
        index = backend.make()
        (first,) = index.decide([query("a", point(1))])
        (second,) = index.decide([query("b", point(1))])
        assert first == Decision(UNIQUE, None, None, 1, 1)
        assert second == Decision(DUPLICATE, "id of a", 0.0, 1, 1, origin=Origin("a", 1))

    def test_a_duplicate_tells_where_its_member_comes_from_on_every_delivery(self, backend: Backend) -> None:
        index = backend.make(members=[replace(member("m", point(0)), captured_at_ms=7)])
        batch = [
            query("b", point(0)),
            replace(query("c", point(1)), captured_at_ms=8),
            query("d", point(1)),
        ]
        for _ in range(2):
            decisions = index.decide(batch)
            assert [decision.origin for decision in decisions] == [Origin("m", 7), None, Origin("c", 8)]

    def test_a_duplicate_names_the_nearest_member(self, backend: Backend) -> None:
        index = backend.make(members=[member("far", point(0, 0.3)), member("near", point(0, 0.0))])
        (decision,) = index.decide([query("b", point(0, 0.05))])
        assert decision.duplicate_of == "id of near"
        assert decision.l2_distance == l2_distance(point(0, 0.0), point(0, 0.05))

    def test_a_unique_image_reports_the_distance_to_the_nearest_member(self, backend: Backend) -> None:
        index = backend.make(members=[member("far", point(0, 0.6)), member("near", point(0, 0.3))])
        (decision,) = index.decide([query("b", point(0))])
        assert decision == Decision(UNIQUE, None, l2_distance(point(0), point(0, 0.3)), 0, 1)

    @pytest.mark.parametrize(
        ("towards", "expected"), [(2.0, "duplicate"), (None, "duplicate"), (0.0, "unique")], ids=["in", "on", "out"]
    )
    def test_the_radius_is_inclusive(self, backend: Backend, towards: float | None, expected: str) -> None:
        distance = l2_distance(point(2), point(2, 0.1))
        radius = distance if towards is None else float(np.nextafter(distance, towards))
        index = backend.make(radius=radius, members=[member("a", point(2))])
        assert verdicts(index.decide([query("b", point(2, 0.1))])) == [expected]

    def test_a_radius_of_zero_takes_identical_images_only(self, backend: Backend) -> None:
        index = backend.make(radius=0.0, members=[member("a", point(2))])
        decisions = index.decide([query("b", point(2)), query("c", point(2, 0.002))])
        assert verdicts(decisions) == ["duplicate", "unique"]

    def test_duplicates_do_not_become_members(self, backend: Backend) -> None:
        # b is a duplicate of a; c lies within the radius of b and outside that of a.
        index = backend.make()
        decisions = index.decide([query("a", point(0)), query("b", point(0, 0.1)), query("c", point(0, 0.2))])
        assert verdicts(decisions) == ["unique", "duplicate", "unique"]
        assert keys_by_cell(index) == {0: ["a", "c"]}

    def test_each_image_falls_to_its_cell(self, backend: Backend) -> None:
        decisions = backend.make().decide([query(f"k{cell}", point(cell, 0.1)) for cell in (3, 0, 2, 1)])
        assert [decision.cluster for decision in decisions] == [3, 0, 2, 1]

    def test_equal_images_under_one_id_are_compared(self, backend: Backend) -> None:
        decisions = backend.make().decide([query("a", point(0), "same"), query("b", point(0), "same")])
        assert [decision.duplicate_of for decision in decisions] == [None, "same"]


class TestBatches:
    def test_an_empty_batch_decides_nothing(self, backend: Backend) -> None:
        index = backend.make()
        assert index.decide([]) == []
        assert index.stats().members == 0

    def test_decisions_come_in_the_order_of_the_queries(self, backend: Backend) -> None:
        index = backend.make(members=[member("m", point(0))])
        decisions = index.decide([query(f"k{i}", point(i % 4, 0.3 * (i // 4))) for i in range(16)])
        assert [decision.cluster for decision in decisions] == [i % 4 for i in range(16)]
        assert verdicts(decisions) == ["duplicate"] + ["unique"] * 15

    def test_images_of_one_batch_are_compared_with_one_another(self, backend: Backend) -> None:
        index = backend.make()
        decisions = index.decide([query("a", point(0)), query("b", point(1)), query("c", point(0, 0.05))])
        assert verdicts(decisions) == ["unique", "unique", "duplicate"]
        assert decisions[2].duplicate_of == "id of a"

    def test_a_batch_decides_as_single_images_do(self, backend: Backend) -> None:
        queries = [query(f"k{i}", point(i % 4, 0.07 * (i // 4), i % 3)) for i in range(40)]
        together, one_by_one = backend.make(), backend.make()
        assert together.decide(queries) == [one_by_one.decide([each])[0] for each in queries]
        assert keys_by_cell(together) == keys_by_cell(one_by_one)

    def test_the_nearer_of_member_and_batch_is_named(self, backend: Backend) -> None:
        index = backend.make(members=[member("old", point(0))])
        decisions = index.decide([query("a", point(0, 0.2)), query("b", point(0, 0.11)), query("c", point(0, 0.09))])
        assert [decision.duplicate_of for decision in decisions] == [None, "id of a", "id of old"]

    def test_a_tie_goes_to_the_first_inserted(self, backend: Backend) -> None:
        index = backend.make(members=[member("old", point(0, 0.1))])
        decisions = index.decide([query("a", point(0, -0.1)), query("b", point(0))])
        assert decisions[1].duplicate_of == "id of old"


class TestRedelivery:
    def test_the_same_key_gets_the_same_verdict(self, backend: Backend) -> None:
        index = backend.make()
        queries = [query("a", point(0)), query("b", point(0, 0.05)), query("c", point(0, 0.3))]
        first = index.decide(queries)
        assert index.decide(queries) == first
        assert index.decide(queries[::-1]) == first[::-1]
        assert index.stats().members == 2

    def test_a_recorded_verdict_stays_when_members_come_nearer(self, backend: Backend) -> None:
        index = backend.make(members=[member("m", point(0, 0.3))])
        (first,) = index.decide([query("a", point(0))])
        index.decide([query("b", point(0, 0.15))])
        assert index.decide([query("a", point(0))]) == [first]

    def test_within_one_batch(self, backend: Backend) -> None:
        index = backend.make()
        a, b = query("a", point(0)), query("b", point(0, 0.05))
        decisions = index.decide([a, b, a, b, a])
        assert verdicts(decisions) == ["unique", "duplicate", "unique", "duplicate", "unique"]
        assert decisions[0] == decisions[2] == decisions[4]
        assert index.stats().members == 1

    def test_beside_new_images_of_its_cell(self, backend: Backend) -> None:
        index = backend.make()
        index.decide([query("a", point(0))])
        decisions = index.decide([query("b", point(0, 0.3)), query("a", point(0)), query("c", point(0, 0.31))])
        assert verdicts(decisions) == ["unique", "unique", "duplicate"]
        assert keys_by_cell(index) == {0: ["a", "b"]}

    def test_a_member_stays_unique_after_its_record_is_gone(self, backend: Backend) -> None:
        index = backend.make(members=[member("seed", point(1))])
        queries = [query("a", point(0)), query("b", point(0, 0.3)), query("seed", point(1))]
        index.decide(queries)
        backend.forget_decisions(index)
        decisions = index.decide(queries)
        assert verdicts(decisions) == ["unique"] * 3
        assert decisions[0].l2_distance == l2_distance(point(0), point(0, 0.3))
        assert keys_by_cell(index) == {0: ["a", "b"], 1: ["seed"]}

    def test_a_duplicate_stays_one_after_its_record_is_gone(self, backend: Backend) -> None:
        index = backend.make()
        queries = [query("a", point(0)), query("b", point(0, 0.05))]
        first = index.decide(queries)
        backend.forget_decisions(index)
        assert index.decide(queries)[1] == first[1]
        assert index.stats().members == 1


class TestContents:
    def test_members_come_cell_by_cell_in_the_order_of_insertion(self, backend: Backend) -> None:
        index = backend.make(members=[member("s1", point(2)), member("s0", point(0))])
        index.decide([query("a", point(2, 0.3)), query("b", point(1)), query("c", point(0, 0.3))])
        assert [each.key for each in index.members()] == ["s0", "c", "b", "s1", "a"]

    def test_a_member_holds_all_of_its_query(self, backend: Backend) -> None:
        index = backend.make()
        given = query("a", point(0, 0.123, 2), "camera/é")
        index.decide([given])
        (kept,) = index.members()
        assert isinstance(kept, Member)
        assert (kept.key, kept.image_id, kept.captured_at_ms) == ("a", "camera/é", given.captured_at_ms)
        assert kept.descriptor.tobytes() == given.descriptor.tobytes()

    def test_stats(self, backend: Backend) -> None:
        index = backend.make(members=[member("m", point(3))])
        index.decide([query("a", point(1)), query("b", point(1, 0.3)), query("c", point(1, 0.31))])
        stats = index.stats()
        assert (stats.members, [size for size in stats.cluster_sizes if size]) == (3, [2, 1])
        assert stats.cache_bytes > 0
        assert stats.retries == 0

    def test_more_members_than_one_page(self, backend: Backend) -> None:
        members = [member(f"m{i}", point(0, i / 2500)) for i in range(2100)]
        index = backend.make(members=members)
        assert sorted(each.key for each in index.members()) == sorted(each.key for each in members)
        assert sum(index.stats().cluster_sizes) == index.stats().members == 2100

    def test_meta(self, backend: Backend) -> None:
        meta = backend.make(radius=0.25).meta
        assert (meta.generation, meta.radius, meta.clusters, meta.fingerprint) == (1, 0.25, CELLS, "test-1")

    def test_the_cells_are_well_separated(self) -> None:
        # What makes one cell as good as all of them in this suite.
        for plane in range(4):
            assert l2_distance(point(0, 0.84, plane), point(1, 0.84, plane)) > 2 * RADIUS
