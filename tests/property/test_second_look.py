"""A second look at drawn pictures of any size, as full of detail as photos, and at what was done to them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neardup.relation.looks.look import look_of, stored_look, transformed_look, whole_look
from neardup.relation.looks.second_look import DEFAULT_AGREEMENT, Looks, Ways, looks
from neardup.relation.symmetry import motion, transformed
from neardup.types import Kept, Pixels, Symmetry
from tests.support.drawings import cropped, jpeg_of, photo, scaled

FEW = settings(max_examples=20)
SIDES = st.integers(100, 240)
PHOTOS = st.builds(photo, st.integers(0, 10**6), SIDES, SIDES)
FAR = np.ones(1)


def seen(later: Kept, earlier: Kept) -> Looks:
    return looks(later, earlier[np.newaxis], FAR, DEFAULT_AGREEMENT)


def same(found: Looks, row: int, other: Looks, other_row: int) -> bool:
    """Return whether two rows are the same to the last bit."""
    pairs = ((getattr(found, name)[row], getattr(other, name)[other_row]) for name in Looks.__slots__)
    return all(one.tobytes() == two.tobytes() for one, two in pairs)


@FEW
@given(
    picture=PHOTOS,
    others=st.lists(PHOTOS, max_size=3),
    turns=st.lists(st.integers(0, 30), min_size=1, max_size=40),
    stored=st.booleans(),
)
def test_a_pair_is_the_same_whatever_is_beside_it_and_however_the_earlier_is_kept(
    picture: Pixels,
    others: list[Pixels],
    turns: list[int],
    stored: bool,  # noqa: FBT001 - by name
) -> None:
    copies = [cropped(picture, 0.1), jpeg_of(picture), *others]
    kinds = [look_of(pixels) for pixels in copies]
    later = look_of(picture)
    many = np.stack([kinds[turn % len(kinds)] for turn in turns])
    l2 = np.array([turn / 20 for turn in turns])
    ways = Ways(((True, 0), (False, 1)), ((False, 2), (True, 2)))
    together = looks(later, many, l2, DEFAULT_AGREEMENT, ways)
    keep = stored_look if stored else (lambda look: whole_look(stored_look(look)))
    for row in range(len(turns)):
        alone = looks(later, keep(many[row])[np.newaxis], l2[row : row + 1], DEFAULT_AGREEMENT, ways)
        assert same(alone, 0, together, row)


@FEW
@given(picture=PHOTOS)
def test_a_picture_agrees_with_itself(picture: Pixels) -> None:
    found = seen(look_of(picture), look_of(picture))
    assert found.agreement[0] == 1.0
    assert found.maps[0] == pytest.approx(np.array([[1, 0, 0], [0, 1, 0]]), abs=1e-9)


@FEW
@given(
    picture=PHOTOS,
    shown=st.tuples(*[st.floats(0.7, 1)] * 2),
    place=st.tuples(*[st.floats(0, 1)] * 2),
    scale=st.floats(0.7, 2),
)
def test_what_is_cut_out_shifted_and_scaled_is_found_in_its_place(
    picture: Pixels, shown: tuple[float, float], place: tuple[float, float], scale: float
) -> None:
    height, width = picture.shape[:2]
    wide, high = round(width * shown[0]), round(height * shown[1])
    left, top = round((width - wide) * place[0]), round((height - high) * place[1])
    found = seen(look_of(scaled(picture[top : top + high, left : left + wide], scale)), look_of(picture))
    assert found.agreement[0] >= found.needed[0]
    expected = np.array([[wide / width, 0, left / width], [0, high / height, top / height]])
    assert found.maps[0] == pytest.approx(expected, abs=0.02)


@FEW
@given(picture=PHOTOS, brighter=st.integers(-40, 40), contrast=st.floats(0.6, 1.6))
def test_light_does_not_count_and_is_told(picture: Pixels, brighter: int, contrast: float) -> None:
    plane = picture * 0.5 + 64
    before = look_of(plane.astype(np.uint8))
    lit = seen(look_of((plane + brighter).astype(np.uint8)), before)
    assert lit.agreement[0] >= 0.75
    assert lit.brightness[0] == pytest.approx(brighter, abs=1)
    graded = seen(look_of(((plane - 128) * contrast + 128).clip(0, 255).astype(np.uint8)), before)
    assert graded.agreement[0] >= 0.75
    assert graded.contrast[0] == pytest.approx(contrast, rel=0.05)


@FEW
@given(picture=PHOTOS, bluer=st.floats(-24, 24), redder=st.floats(-24, 24))
def test_colour_does_not_count_and_is_told(picture: Pixels, bluer: float, redder: float) -> None:
    plane = picture * 0.5 + 64
    # Red, green and blue of a shift of Cb and Cr (ITU-R BT.601).
    shift = np.array([1.402 * redder, -0.344 * bluer - 0.714 * redder, 1.772 * bluer])
    found = seen(look_of((plane + shift).clip(0, 255).astype(np.uint8)), look_of(plane.astype(np.uint8)))
    assert found.agreement[0] >= 0.75
    assert found.colour[0] == pytest.approx([bluer, redder], abs=5)


@FEW
@given(picture=PHOTOS, symmetry=st.sampled_from(Symmetry))
def test_a_look_is_turned_as_its_picture(picture: Pixels, symmetry: Symmetry) -> None:
    mirror, turns = motion(symmetry)
    turned = transformed_look(look_of(picture), mirror=mirror, turns=turns)
    found = seen(turned, look_of(transformed(picture, symmetry)))
    # After a quarter turn the picture is shrunk across first that was shrunk down first, and rounded otherwise.
    assert found.agreement[0] >= (0.8 if turns % 2 else 1.0)
    assert found.maps[0] == pytest.approx(np.array([[1, 0, 0], [0, 1, 0]]), abs=0.01)
    assert symmetry is Symmetry.NONE or not seen(turned, look_of(picture)).agreement[0]
