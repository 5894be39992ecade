"""What was done to a copy, from the map that a second look found."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neardup.relation.edit import Points, common_part, edit_of, told_agreement
from neardup.types import Look, Symmetry

Map = tuple[float, float, float, float, float, float]
SAME: Map = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def look(
    affine: Map = SAME, brightness: float = 0.0, contrast: float = 1.0, colour: tuple[float, float] = (0.0, 0.0)
) -> Look:
    return Look(1.0, 0.3, affine, brightness, contrast, colour)


def turned_by(degrees: float) -> Map:
    """Return the map of an image that is to be turned counter-clockwise about its middle; y points down."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return cos, sin, 0.5 - 0.5 * (cos + sin), -sin, cos, 0.5 - 0.5 * (cos - sin)


def test_the_same_picture() -> None:
    edit = edit_of(look(), Symmetry.NONE)
    assert edit is not None
    assert (edit.mirrored, edit.turned, edit.scale) == (False, 0.0, (1.0, 1.0))
    assert edit.box == edit.inset == (0.0, 0.0, 1.0, 1.0)
    assert str(edit) == "shows all of the earlier image"


def test_a_crop_shows_a_part_and_is_filled_by_it() -> None:
    edit = edit_of(look((0.5, 0.0, 0.25, 0.0, 0.8, 0.1)), Symmetry.NONE)
    assert edit is not None
    assert (edit.box, edit.inset, edit.scale) == ((0.25, 0.1, 0.75, 0.9), (0.0, 0.0, 1.0, 1.0), (0.5, 0.8))
    assert "shows 25 to 75 % of the width and 10 to 90 % of the height of the earlier image" in str(edit)


def test_a_framed_picture_shows_all_in_a_part_of_its_own() -> None:
    edit = edit_of(look((2.0, 0.0, -0.5, 0.0, 1.25, -0.125)), Symmetry.NONE)
    assert edit is not None
    assert (edit.box, edit.inset, edit.scale) == ((0.0, 0.0, 1.0, 1.0), (0.25, 0.1, 0.75, 0.9), (2.0, 1.25))
    assert "in 25 to 75 % of the width and 10 to 90 % of the height of its own frame" in str(edit)


def test_a_picture_that_was_shifted_is_clipped_on_both_sides() -> None:
    edit = edit_of(look((1.0, 0.0, 0.3, 0.0, 1.0, -0.2)), Symmetry.NONE)
    assert edit is not None
    assert (edit.box, edit.inset) == ((0.3, 0.0, 1.0, 0.8), (0.0, 0.2, 0.7, 1.0))


@pytest.mark.parametrize("degrees", [-135.0, -90.0, -10.0, 0.0, 5.5, 45.0, 90.0, 179.0, 180.0])
def test_the_angle_of_a_map(degrees: float) -> None:
    edit = edit_of(look(turned_by(degrees)), Symmetry.NONE)
    assert edit is not None
    assert (edit.mirrored, edit.turned) == (False, degrees)
    assert edit.scale == (1.0, 1.0)


def test_an_angle_within_the_error_of_a_map_is_not_put_into_words() -> None:
    words = [str(edit_of(look(turned_by(degrees)), Symmetry.NONE)) for degrees in (-0.9, 0.4, 1.5)]
    assert ["turned" in each for each in words] == [False, False, True]


@pytest.mark.parametrize(
    ("symmetry", "degrees", "mirrored", "turned"),
    [
        (Symmetry.MIRROR, 0.0, True, 0.0),
        (Symmetry.ROTATE_90, 0.0, False, 90.0),
        (Symmetry.ROTATE_180, 0.0, False, 180.0),
        (Symmetry.ROTATE_270, 0.0, False, -90.0),
        (Symmetry.MIRROR_ROTATE_90, 0.0, True, 90.0),
        (Symmetry.MIRROR_ROTATE_180, 0.0, True, 180.0),
        (Symmetry.ROTATE_90, 10.0, False, 100.0),
        (Symmetry.ROTATE_180, 10.0, False, -170.0),
        (Symmetry.MIRROR_ROTATE_270, -10.0, True, -100.0),
    ],
)
def test_the_quarters_of_the_symmetry_come_on_top(
    *,
    symmetry: Symmetry,
    degrees: float,
    mirrored: bool,
    turned: float,
) -> None:
    edit = edit_of(look(turned_by(degrees)), symmetry)
    assert edit is not None
    assert (edit.mirrored, edit.turned) == (mirrored, turned)


def test_a_map_that_mirrors_is_told_as_a_mirror_image() -> None:
    by_map, by_symmetry = edit_of(look((-1.0, 0, 1, 0, 1, 0)), Symmetry.NONE), edit_of(look(), Symmetry.MIRROR)
    assert by_map == by_symmetry
    assert edit_of(look((-1.0, 0, 1, 0, 1, 0)), Symmetry.MIRROR) == edit_of(look(), Symmetry.NONE)


def test_the_inset_is_a_place_of_the_image_as_it_came() -> None:
    # Compared, the image was turned by 90 degrees: what is at its left then was at its top before.
    framed = look((2.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    as_it_came = {
        Symmetry.NONE: (0.0, 0.0, 0.5, 1.0),
        Symmetry.MIRROR: (0.5, 0.0, 1.0, 1.0),
        Symmetry.ROTATE_90: (0.0, 0.0, 1.0, 0.5),
        Symmetry.ROTATE_180: (0.5, 0.0, 1.0, 1.0),
        Symmetry.ROTATE_270: (0.0, 0.5, 1.0, 1.0),
    }
    found = {symmetry: edit_of(framed, symmetry) for symmetry in as_it_came}
    assert {symmetry: edit and edit.inset for symmetry, edit in found.items()} == as_it_came


def test_light_is_told_as_it_is() -> None:
    edit = edit_of(look(brightness=-12.5, contrast=1.25, colour=(-3.5, 8.0)), Symmetry.NONE)
    assert edit is not None
    assert (edit.brightness, edit.contrast, edit.colour) == (-12.5, 1.25, (-3.5, 8.0))
    assert str(edit).endswith("12.5 grey levels darker, 1.25 times the contrast, 3.5 levels yellower, 8 levels redder")
    assert edit.document()["colour"] == [-3.5, 8.0]


@pytest.mark.parametrize(
    ("needed", "told"),
    [
        (0.31, "agreement 0.42, 0.31 is needed"),
        (1.0, "agreement 0.42, 1 is needed"),
        (2.0, "agreement 0.42, none is enough"),
    ],
)
def test_an_agreement_is_told_beside_what_is_needed(needed: float, told: str) -> None:
    assert told_agreement(0.42, needed) == told


@pytest.mark.parametrize(
    "affine",
    [
        pytest.param((1.0, 0.0, 1.5, 0.0, 1.0, 0.0), id="beside"),
        pytest.param((1.0, 0.0, 1.0, 0.0, 1.0, 0.0), id="edge to edge"),
        pytest.param((0.0, 0.0, 0.5, 0.0, 0.0, 0.5), id="to a point"),
        pytest.param((1.0, 1.0, 0.0, 1.0, 1.0, 0.0), id="to a line"),
    ],
)
def test_nothing_in_common_is_no_edit(affine: Map) -> None:
    assert common_part(look(affine), Symmetry.NONE) is None
    assert edit_of(look(affine), Symmetry.NONE) is None


def test_a_turned_square_is_cut_to_eight_corners() -> None:
    common = common_part(look(turned_by(45)), Symmetry.NONE)
    assert common is not None
    assert all(len(corners) == 8 for corners in common)
    edit = edit_of(look(turned_by(45)), Symmetry.NONE)
    assert edit is not None
    assert edit.box == edit.inset == (0.0, 0.0, 1.0, 1.0)


NUMBERS = st.integers(-3000, 3000).map(lambda number: number / 1000)


@given(st.tuples(*[NUMBERS] * 6), st.sampled_from(Symmetry))
def test_what_is_common_lies_in_both_frames_and_is_the_same_place(affine: Map, symmetry: Symmetry) -> None:
    common = common_part(look(affine), symmetry)
    if common is None:
        return
    later, earlier = common
    for corners in common:
        assert corners.min() >= -1e-6
        assert corners.max() <= 1 + 1e-6
    a, b, c, d, e, f = affine
    x, y = after(later, symmetry).T
    assert np.abs(np.column_stack([a * x + b * y + c, d * x + e * y + f]) - earlier).max() <= 1e-6


def after(points: Points, symmetry: Symmetry) -> Points:
    """Return where points of a frame are after a symmetry, word by word."""
    x, y = points.T
    if symmetry.value.startswith("mirror"):
        x = 1 - x
    for _ in range(int(symmetry.value.partition("rotate")[2] or 0) // 90):
        x, y = y, 1 - x
    return np.column_stack([x, y])
