"""Who is a member of the next generation, and where it stands."""

import numpy as np
import pytest

from bootstrap.generation.assembly import Assembly
from bootstrap.generation.placement import Placement
from neardup.descriptors.base import unit_float16
from neardup.relation.images import Images
from neardup.relation.rule import Relation
from neardup.search.cells import Cells
from neardup.search.sketches import fit_sketcher
from neardup.types import Descriptors, Member

RADIUS = 0.1
START_MS = 1_700_000_000_000


def at(angle: float) -> Descriptors:
    """Return an image at an angle on a circle: the distance of two is about the difference of their angles."""
    row: Descriptors = unit_float16(np.array([[np.cos(angle), np.sin(angle), 0.0]], dtype=np.float32))
    return np.asarray(row[0])


def member(key: str, angle: float, captured_at_ms: int = 0) -> Member:
    return Member(key, key.rpartition(":")[2], at(angle), captured_at_ms)


def assembled(carried: list[Member], candidates: list[Member], radius_before: float | None = None) -> Assembly:
    rows = np.stack([each.descriptor for each in candidates]) if candidates else np.empty((0, 3), dtype=np.float16)
    before = None if radius_before is None else Relation(radius_before)
    return Assembly(carried, candidates, Images(rows), Relation(RADIUS), before)


def keys(assembly: Assembly) -> list[str]:
    return [assembly.rows[row].key for row in assembly.members]


def test_without_a_generation_before_the_first_of_two_stays() -> None:
    assembly = assembled([], [member("seed:a", 0.0), member("seed:b", 0.05), member("seed:c", 0.12)])
    assert keys(assembly) == ["seed:a", "seed:c"]
    assert assembly.groups() == {0: [1]}
    assert (assembly.carried, assembly.kept, assembly.unique, assembly.left_out) == (0, 0, 2, 0)


def test_carried_members_come_first() -> None:
    assembly = assembled([member("t-0-0", 0.05)], [member("seed:a", 0.0), member("seed:b", 0.2)], RADIUS)
    assert keys(assembly) == ["t-0-0", "seed:b"]
    assert assembly.groups() == {0: [1]}
    assert assembly.uniques.tolist() == [2]


def test_a_seed_that_is_carried_is_no_duplicate_and_its_copies_are_its_own() -> None:
    carried = [member("seed:a", 0.0), member("t-0-0", 1.0)]
    assembly = assembled(carried, [member("seed:b", 0.05), member("seed:a", 0.01)], RADIUS)
    assert keys(assembly) == ["seed:a", "t-0-0"]
    assert assembly.known == {3: 0}
    assert assembly.groups() == {3: [2]}
    assert (assembly.unique, assembly.uniques.tolist()) == (1, [3])


def test_near_members_of_the_same_radius_are_all_kept() -> None:
    # As retention makes them: the one had expired when the other came.
    assembly = assembled([member("t-0-0", 0.0, 1), member("t-0-1", 0.05, 9)], [], RADIUS)
    assert keys(assembly) == ["t-0-0", "t-0-1"]


def test_of_near_members_of_a_smaller_radius_the_earlier_stays() -> None:
    carried = [member("t-0-1", 0.05, START_MS + 9), member("t-0-0", 0.0, START_MS + 1)]
    assembly = assembled(carried, [], RADIUS / 2)
    assert keys(assembly) == ["t-0-0"]
    assert (assembly.carried, assembly.kept, assembly.left_out) == (2, 1, 1)
    assert assembly.add_late([member("t-0-2", 0.09), member("t-0-3", 0.3)])[0] == [assembly.rows[3]]
    assert (assembly.kept, assembly.left_out) == (2, 2)


@pytest.mark.parametrize("wrong_ms", [START_MS // 1000, START_MS * 1000, -1, -START_MS])
def test_a_wrong_time_is_no_time_when_the_earlier_of_two_is_to_stay(wrong_ms: int) -> None:
    carried = [member("t-0-0", 0.0, START_MS), member("seed:a", 0.05), member("t-0-1", 0.1, wrong_ms)]
    assembly = assembled(carried, [], RADIUS / 2)
    assert [each.key for each in assembly.rows] == ["seed:a", "t-0-1", "t-0-0"]


def test_what_comes_late_is_counted() -> None:
    assembly = assembled([], [member("seed:a", 0.0), member("seed:b", 0.09), member("seed:c", 1.0)], RADIUS)
    added, removed = assembly.add_late([member("t-0-0", -0.08)])
    assert [each.key for each in added] == ["t-0-0", "seed:b"]
    assert [each.key for each in removed] == ["seed:a"]
    assert (assembly.unique, assembly.kept, assembly.left_out) == (len(assembly.uniques), 1, 0)
    assert assembly.unique == 2
    assert assembly.add_late([]) == ([], [])


def test_what_is_removed_meanwhile_makes_room() -> None:
    assembly = assembled(
        [member("t-0-0", 0.0), member("t-0-1", 1.0)], [member("seed:a", 0.05), member("seed:b", 2.0)], 0.1
    )
    assert keys(assembly) == ["t-0-0", "t-0-1", "seed:b"]
    added, removed = assembly.withdraw(["t-0-0", "t-0-1"])
    assert [each.key for each in added] == ["seed:a"]
    assert [each.key for each in removed] == ["t-0-0", "t-0-1"]
    assert keys(assembly) == ["seed:a", "seed:b"]
    assert (assembly.kept, assembly.unique, assembly.left_out) == (0, 2, 0)
    assert assembly.withdraw(["t-0-0"]) == ([], [])  # and once only
    assert assembly.withdraw([]) == ([], [])


def test_what_was_removed_and_came_again_is_a_member_again() -> None:
    assembly = assembled([member("t-0-0", 0.0)], [member("seed:b", 2.0)], RADIUS)
    assembly.withdraw(["t-0-0"])
    [again], _ = assembly.add_late([member("t-0-0", 0.0)])
    assert keys(assembly) == ["seed:b", "t-0-0"]
    assert assembly.withdraw(["t-0-0"]) == ([], [again])
    assert (keys(assembly), assembly.kept, assembly.left_out) == (["seed:b"], 0, 0)


def test_a_member_that_made_way_for_the_removed_one_is_back() -> None:
    # Of a smaller radius before: then the seed that is near it gives way.
    carried = [member("t-0-0", 0.0, 1), member("t-0-1", 0.09, 2)]
    assembly = assembled(carried, [member("seed:a", 0.15)], RADIUS / 2)
    assert keys(assembly) == ["t-0-0", "seed:a"]
    added, removed = assembly.withdraw(["t-0-0"])
    assert ([each.key for each in added], [each.key for each in removed]) == (["t-0-1"], ["t-0-0", "seed:a"])
    assert (assembly.kept, assembly.unique, assembly.left_out) == (1, 0, 0)


def test_a_seed_that_is_the_removed_member_is_one_of_its_own() -> None:
    assembly = assembled([member("seed:a", 0.0)], [member("seed:a", 0.0)], RADIUS)
    assert assembly.known == {1: 0}
    added, removed = assembly.withdraw(["seed:a"])
    assert (added, removed) == ([assembly.rows[1]], [assembly.rows[0]])
    assert (assembly.known, assembly.kept, assembly.unique) == ({}, 0, 1)


def test_another_image_of_the_same_key_gets_a_key_of_its_own() -> None:
    first = assembled([member("seed:a", 0.0)], [member("seed:a", 1.0)], RADIUS)
    (_, renamed) = keys(first)
    assert renamed.startswith("seed:a:")
    carried = [first.rows[row] for row in first.members]
    carried[1] = Member(renamed, "a", carried[1].descriptor)
    again = assembled(carried, [member("seed:a", 1.0)], RADIUS)
    assert again.known == {2: 1}


@pytest.mark.parametrize("clusters", [1, 3])
def test_no_cell_is_above_the_limit_and_members_are_where_they_are_looked_for(clusters: int) -> None:
    random = np.random.default_rng(0)
    rows = unit_float16(random.normal(size=(1000, 8)).astype(np.float32))
    cells = Cells(rows[:clusters].astype(np.float32))
    placement = Placement(cells, fit_sketcher(rows), rows, cells.assign(rows), limit=50)
    assert sorted(row for part in placement.rows.values() for row in part) == list(range(1000))
    assert max(map(len, placement.rows.values())) <= 50
    assert len(placement.rows) == clusters + len(placement.splits)
    for cell, part in placement.rows.items():
        assert {placement.home(rows[row]) for row in part[:5]} == {cell}


def test_copies_stay_in_one_cell() -> None:
    rows = np.repeat(unit_float16(np.ones((1, 8), dtype=np.float32)), 100, axis=0)
    cells = Cells(rows[:1].astype(np.float32))
    placement = Placement(cells, fit_sketcher(rows), rows, np.zeros(100, dtype=np.intp), limit=50)
    assert {cell: len(part) for cell, part in placement.rows.items()} == {0: 100}
