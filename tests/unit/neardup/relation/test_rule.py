"""Symmetries, and when an image is a duplicate of a member."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from neardup.errors import Misconfigured
from neardup.relation.kept import Parts, kept_of, kept_of_part, stacked_kept, transformed_kept
from neardup.relation.local_change import SIDE_PX, THUMBNAIL_BYTES, largest_change
from neardup.relation.rule import Relation, local_changes
from neardup.relation.symmetry import SWITCHES, Switches, symmetries, transformed
from neardup.types import Symmetry
from tests.support.forms import scene
from tests.support.indexes import thumbnail

PIXELS = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
BLANK = np.full((90, 120, 3), 255, dtype=np.uint8)
PART = (0.25, 0.5, 1.0, 1.0)
MIRROR_TURNS = ["mirror-rotate90", "mirror-rotate180", "mirror-rotate270"]
SQUARE = ["none", "mirror", "rotate90", "rotate180", "rotate270", *MIRROR_TURNS]


@pytest.mark.parametrize(
    ("flips", "rotations", "expected"),
    [
        (False, False, []),
        (True, False, ["mirror"]),
        (False, True, ["rotate90", "rotate180", "rotate270"]),
        (True, True, SQUARE[1:]),
    ],
)
def test_the_symmetries_of_each_switch(*, flips: bool, rotations: bool, expected: list[str]) -> None:
    assert list(symmetries(Switches(match_flips=flips, match_rotations=rotations))) == expected
    assert list(Relation(0.1, match_flips=flips, match_rotations=rotations).symmetries) == expected


def test_every_symmetry_has_its_line_and_every_switch_asks_for_something() -> None:
    every = Relation(0.1, agreement=0.5, **dict.fromkeys(SWITCHES, True))
    assert {Symmetry.NONE, *every.symmetries} == set(Symmetry)
    asked = [(set(each.symmetries), each.match_parts) for each in (every, *_without_each(every))]
    assert asked.count(asked[0]) == 1


def _without_each(relation: Relation) -> list[Relation]:
    return [replace(relation, **{name: False}) for name in SWITCHES]


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({}, ["none"]),
        ({"match_flips": True}, ["none", "mirror"]),
        ({"match_parts": True}, ["none"]),
        ({"match_parts": True, "match_flips": True}, ["none", "mirror"]),
        ({"turned_by_look": True, "match_flips": True}, ["none"]),
    ],
)
def test_an_image_is_described_as_it_came_and_after_each_symmetry_that_the_look_does_not_try(
    switches: dict[str, bool], expected: list[str]
) -> None:
    assert list(Relation(0.1, agreement=0.5, **switches).described_after) == expected


@pytest.mark.parametrize("local_change", [None, 2.0])
def test_parts_without_a_second_look_are_refused(local_change: float | None) -> None:
    with pytest.raises(Misconfigured, match=r"match-parts works only with a second look, .* turn match-parts off"):
        Relation(0.1, local_change, match_parts=True)
    assert Relation(0.1, local_change, agreement=0.0, match_parts=True).match_parts


def test_nearness_of_a_part_does_not_make_less_agreement_enough() -> None:
    relation = Relation(0.3, agreement=0.3, match_parts=True)
    later, same, blank = (kept_of(each, relation.parts) for each in (scene(2), scene(2), BLANK))
    part = kept_of_part(later, scene(2), PART)
    near, far = (relation.check_one(later, same, l2).look(0) for l2 in (0.0, 2.0))
    assert near is not None
    assert far is not None
    assert near.needed < far.needed
    of_part = relation.check_one(part, same, 0.0).look(0)
    assert of_part is not None
    assert (of_part.agreement, of_part.needed) == (far.agreement, far.needed)
    assert relation.check_one(later, blank, 0.0).allowed.tolist() == [True]
    assert relation.check_one(part, blank, 0.0).allowed.tolist() == [False]
    assert relation.check_one(kept_of_part(later, BLANK, PART), blank, 0.0).allowed.tolist() == [False]


def test_of_many_pairs_each_is_of_a_part_or_not() -> None:
    relation = Relation(0.3, agreement=0.3, match_parts=True)
    whole = kept_of(scene(2), relation.parts)
    every = (whole, kept_of(BLANK, relation.parts), kept_of_part(whole, scene(2), PART))
    kept = stacked_kept(every, relation.parts)
    assert kept is not None
    found = relation.check(kept, np.array([0, 0, 2, 2]), kept[[0, 1, 0, 1]], np.zeros(4))
    assert found.allowed.tolist() == [True, True, True, False]


def test_symmetries_are_what_they_are_called() -> None:
    assert np.array_equal(transformed(PIXELS, Symmetry.NONE), PIXELS)
    assert np.array_equal(transformed(PIXELS, Symmetry.MIRROR)[:, 0], PIXELS[:, -1])
    assert np.array_equal(transformed(PIXELS, Symmetry.ROTATE_90)[0], PIXELS[:, -1])
    assert np.array_equal(transformed(PIXELS, Symmetry.ROTATE_180), PIXELS[::-1, ::-1])
    assert np.array_equal(transformed(PIXELS, Symmetry.ROTATE_270)[0], PIXELS[::-1, 0])
    assert np.array_equal(transformed(PIXELS, Symmetry.MIRROR_ROTATE_180), PIXELS[::-1])


def test_they_are_the_eight_of_a_square() -> None:
    square = PIXELS[:, :5]
    images = {symmetry: transformed(square, symmetry).tobytes() for symmetry in map(Symmetry, SQUARE)}
    assert len(set(images.values())) == 8
    for one, other in itertools.product(map(Symmetry, SQUARE), repeat=2):
        assert transformed(transformed(square, one), other).tobytes() in images.values()


@pytest.mark.parametrize("symmetry", Symmetry)
def test_pixels_lie_side_by_side_for_whoever_reads_them_next(symmetry: Symmetry) -> None:
    assert transformed(PIXELS, symmetry).flags.c_contiguous


@pytest.mark.parametrize("symmetry", Symmetry)
def test_a_thumbnail_is_turned_as_its_image(symmetry: Symmetry) -> None:
    values = np.random.default_rng(2).integers(0, 256, THUMBNAIL_BYTES, dtype=np.uint8)
    image = np.repeat(values.reshape(SIDE_PX, SIDE_PX, 1), 3, axis=2)
    turned = transformed_kept(values, symmetry)
    assert turned is not None
    assert np.array_equal(turned, transformed(image, symmetry)[:, :, 0].reshape(-1))


@pytest.mark.parametrize(
    ("before", "after", "wider"),
    [
        (Relation(0.1), Relation(0.1), False),
        (Relation(0.1), Relation(0.2), True),
        (Relation(0.2), Relation(0.1), False),
        (Relation(0.1), Relation(0.1, local_change=9.0), False),
        (Relation(0.1, local_change=9.0), Relation(0.1), True),
        (Relation(0.1, local_change=9.0), Relation(0.1, local_change=9.5), True),
        (Relation(0.1, local_change=9.0), Relation(0.1, local_change=8.5), False),
        (Relation(0.1, local_change=9.0), Relation(0.2, local_change=1.0), True),
        (Relation(0.1), Relation(0.1, agreement=0.5), False),
        (Relation(0.1, agreement=0.5), Relation(0.1), True),
        (Relation(0.1, agreement=0.5), Relation(0.1, agreement=0.4), True),
        (Relation(0.1, agreement=0.5), Relation(0.1, agreement=0.6), False),
        (Relation(0.1, agreement=0.5), Relation(0.1, local_change=9.0, agreement=0.5), False),
        (Relation(0.1, local_change=9.0), Relation(0.1, local_change=9.0, agreement=0.5), False),
        (Relation(0.1, local_change=9.0, agreement=0.5), Relation(0.1, agreement=0.6), True),
        # Members are stored once, so that nobody can see which of them mirror one another.
        (Relation(0.1), Relation(0.1, match_flips=True, match_rotations=True), False),
    ],
)
def test_a_wider_relation_can_make_duplicates_of_members(before: Relation, after: Relation, *, wider: bool) -> None:
    assert after.is_wider_than(before) is wider


def test_changes_of_pairs_are_those_of_one_after_the_other() -> None:
    some = np.stack([thumbnail((row, 3), by=50 + row) for row in range(9)])
    rows = np.array([2, 0, 2, 2, 1, 0])
    others = some[[3, 4, 5, 2, 8, 0]]
    expected = [float(largest_change(some[row], other[np.newaxis])[0]) for row, other in zip(rows, others, strict=True)]
    assert local_changes(some, rows, others).tolist() == expected
    assert expected[3] == expected[5] == 0.0
    assert local_changes(some, rows[:0], others[:0]).shape == (0,)


def test_a_missing_thumbnail_is_told() -> None:
    with pytest.raises(Misconfigured, match="has nothing kept, but the index compares a thumbnail, too"):
        stacked_kept([thumbnail(), None], Parts.THUMBNAIL)
