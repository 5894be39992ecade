"""The second look: what agrees, what does not, and how much is needed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import neardup
from neardup.errors import Misconfigured
from neardup.relation.looks.look import (
    LOOK_BYTES,
    STORED_LOOK_BYTES,
    Way,
    look_of,
    part_of,
    stored_look,
    transformed_look,
)
from neardup.relation.looks.second_look import DEFAULT_AGREEMENT, NEVER, Looks, Ways, looks, needed_agreement
from neardup.settings.profiles import AUTO_AGREEMENT
from neardup.types import Pixels
from tests.support.drawings import chess_board, cropped, jpeg_of, page, photo, qr_code, scaled
from tests.support.pictures import flat

FAR = np.ones(1)
"""A distance at which all of the agreement is needed."""
DRAWN = pytest.mark.parametrize("drawn", [page, qr_code, chess_board])
COPIES: dict[str, Callable[[Pixels], Pixels]] = {
    "the same": lambda pixels: pixels,
    "JPEG": jpeg_of,
    "crop of 5 %": lambda pixels: cropped(pixels, 0.05),
    "half size": lambda pixels: scaled(pixels, 0.5),
}


def seen(later: Pixels, earlier: Pixels, l2: float = 1.0, forbidden: tuple[Way, ...] = ()) -> Looks:
    return looks(look_of(later), look_of(earlier)[np.newaxis], np.array([l2]), DEFAULT_AGREEMENT, Ways((), forbidden))


def alike(found: Looks) -> bool:
    return bool(found.agreement[0] >= found.needed[0])


@DRAWN
def test_pictures_of_one_layout_that_say_something_else_do_not_agree(drawn: Callable[[int], Pixels]) -> None:
    one, other = drawn(1), drawn(2)
    assert not alike(seen(one, other))
    assert not alike(seen(other, one))


@pytest.mark.parametrize("copy", COPIES)
@DRAWN
def test_their_copies_do(drawn: Callable[[int], Pixels], copy: str) -> None:
    assert alike(seen(COPIES[copy](drawn(1)), drawn(1)))


def test_a_picture_agrees_with_itself() -> None:
    found = seen(photo(1), photo(1))
    assert (found.agreement.tolist(), found.brightness.tolist(), found.contrast.tolist()) == ([1.0], [0.0], [1.0])
    assert found.colour.tolist() == [[0.0, 0.0]]
    assert found.maps.round(9).tolist() == [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]


def test_strangers_have_no_common_part() -> None:
    found = seen(photo(1), photo(2))
    assert found.agreement.tolist() == [0.0]
    assert not found.maps.any()


# -- mirrored and turned ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turn", "switch", "symmetry"),
    [
        (lambda pixels: pixels[:, ::-1], "match_flips", "mirror"),
        (np.rot90, "match_rotations", "rotate270"),
        (lambda pixels: pixels[::-1, ::-1], "match_rotations", "rotate180"),
    ],
)
def test_a_symmetry_counts_only_where_it_is_asked_for(turn: Any, switch: str, symmetry: str) -> None:  # noqa: ANN401
    copy = np.ascontiguousarray(turn(photo(3)))
    plain = neardup.compare(copy, photo(3), radius=2.0, agreement=DEFAULT_AGREEMENT)
    switches: dict[str, Any] = {switch: True}
    asked = neardup.compare(copy, photo(3), radius=2.0, agreement=DEFAULT_AGREEMENT, **switches)
    assert plain.verdict == "unique"
    assert (asked.verdict, asked.symmetry) == ("duplicate", symmetry)


def nearly_symmetric() -> Pixels:
    """Return a picture whose outer thirds mirror one another, while the middle does not."""
    side, middle = photo(5, 90, 180), photo(6, 90, 180)
    return np.concatenate([side, middle, side[:, ::-1]], axis=1)


def test_what_agrees_better_mirrored_is_no_duplicate_however_near_it_is() -> None:
    picture = nearly_symmetric()
    copy = np.ascontiguousarray(picture[:, ::-1])
    assert alike(seen(copy, picture))
    for l2 in (0.0, 1.0):
        assert seen(copy, picture, l2, ((True, 0),)).needed[0] == NEVER
        assert alike(seen(picture, picture, l2, ((True, 0),)))


# -- light and colour -------------------------------------------------------------------------------------------------

DIMMED = (photo(7) // 2 + 64).astype(np.uint8)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_map_from_a_part_is_told_as_one_from_the_whole(*, mirrored: bool) -> None:
    box = (0.25, 0.5, 0.75, 1.0)
    shown = photo(0)[:, ::-1] if mirrored else photo(0)
    found = looks(
        look_of(shown, box), look_of(photo(0))[np.newaxis], np.zeros(1), DEFAULT_AGREEMENT, Ways(((True, 0),))
    )
    assert (found.way[0], found.agreement[0] >= found.needed[0]) == (int(mirrored), True)
    # From the image after its mirroring, in which the box lies as before: it is in the middle.
    assert found.maps[0] == pytest.approx(np.array([[2, 0, -0.5], [0, 2, -1]]), abs=0.05)


def test_a_part_in_a_corner_lies_in_the_other_one_when_mirrored() -> None:
    look = look_of(photo(0), (0.0, 0.0, 0.5, 0.25))
    assert part_of(transformed_look(look, mirror=True, turns=0)) == pytest.approx((0.5, 0, 1, 0.25), abs=1e-4)
    assert part_of(transformed_look(look, mirror=False, turns=1)) == pytest.approx((0, 0.5, 0.25, 1), abs=1e-4)
    assert part_of(look_of(photo(0))) is None
    assert part_of(stored_look(look)) is None


def test_brightness_is_told_with_its_sign() -> None:
    for by in (-30, 30):
        found = seen((DIMMED.astype(np.int16) + by).astype(np.uint8), DIMMED)
        assert alike(found)
        assert found.brightness[0] == pytest.approx(by, abs=1)
        assert found.contrast[0] == pytest.approx(1, abs=0.02)


def test_contrast_is_told_as_a_ratio() -> None:
    assert seen(DIMMED, photo(7)).contrast[0] == pytest.approx(0.5, abs=0.03)
    assert seen(photo(7), DIMMED).contrast[0] == pytest.approx(2.0, abs=0.12)


@pytest.mark.parametrize(("red", "green", "blue", "cb", "cr"), [(28, -14, 0, 0, 20), (0, -7, 35, 20, 0)])
def test_colour_is_told_as_bluer_and_redder(red: int, green: int, blue: int, cb: float, cr: float) -> None:
    for sign in (1, -1):
        shifted = (DIMMED + sign * np.array([red, green, blue])).astype(np.uint8)
        assert seen(shifted, DIMMED).colour[0] == pytest.approx([sign * cb, sign * cr], abs=4)


# -- blank and odd pictures -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [flat(200, 200, 200), photo(1)], ids=["another blank one", "a full one"])
def test_a_blank_picture_goes_by_its_distance_alone(other: Pixels) -> None:
    for one, two in ((flat(90, 90, 90), other), (other, flat(90, 90, 90))):
        assert alike(seen(one, two, 0.1))
        assert not alike(seen(one, two, 1.0))
        assert seen(one, two, 0.1).agreement[0] == 0.0


@pytest.mark.parametrize("shape", [(8, 8), (1, 1), (1, 300), (300, 1), (40, 200), (200, 40), (10, 200), (200, 10)])
def test_the_oddest_shapes_are_looked_at(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for later, earlier in ((noise, noise), (noise, photo(1)), (photo(1), noise)):
        found = seen(later, earlier, forbidden=((True, 0), (False, 1)))
        assert all(np.isfinite(getattr(found, name)).all() for name in Looks.__slots__)
    if min(shape) >= 10:
        assert alike(seen(noise, noise))


# -- how much is needed -----------------------------------------------------------------------------------------------


def test_plain_pictures_need_more_and_near_ones_less() -> None:
    plainness, l2, whole = np.linspace(0, 1, 11), np.linspace(0, 2, 11), np.ones(11)
    as_it_came = np.zeros(11, dtype=np.bool_)
    by_plainness = needed_agreement(0.3, plainness, np.ones(11), whole, turned=as_it_came)
    by_distance = needed_agreement(0.3, np.zeros(11), l2, whole, turned=as_it_came)
    by_cover = needed_agreement(0.3, np.zeros(11), np.ones(11), np.linspace(1, 0, 11), turned=as_it_came)
    turned = needed_agreement(0.3, np.zeros(11), np.ones(11), whole, turned=~as_it_came)
    assert (np.diff([by_plainness, by_distance, by_cover]) >= 0).all()
    assert by_plainness[0] == by_distance[-1] == by_cover[0] == pytest.approx(0.3)
    assert by_plainness[-1] > by_plainness[0]
    assert by_distance[0] < by_distance[-1]
    assert by_cover[-1] == 1.0
    assert (turned > 0.3).all()
    assert needed_agreement(0.0, plainness, l2, whole, turned=as_it_came).tolist() == [0.0] * 11
    assert needed_agreement(0.9, np.ones(1), np.ones(1), np.ones(1), turned=as_it_came[:1]).tolist() == [1.0]


@pytest.mark.parametrize("stored", [False, True])
def test_a_wrong_byte_costs_agreement_and_nothing_else(*, stored: bool) -> None:
    good = look_of(photo(1))
    for at in (*range(4), 4, 6, 8, 9, 400, STORED_LOOK_BYTES - 1):
        bad = (stored_look(good) if stored else good).copy()
        for byte in (0, 1, 127, 255):
            bad[at] = byte
            found = looks(good, bad[np.newaxis], FAR, DEFAULT_AGREEMENT)
            back = looks(bad, good[np.newaxis], FAR, DEFAULT_AGREEMENT)
            assert 0.0 <= found.agreement[0] <= 1.0
            assert 0.0 <= back.agreement[0] <= 1.0


def test_auto_is_the_default() -> None:
    assert AUTO_AGREEMENT == DEFAULT_AGREEMENT


# -- their bytes ------------------------------------------------------------------------------------------------------


def test_looks_have_one_size_as_they_come_and_one_as_they_are_stored() -> None:
    for pixels in (photo(1), flat(0, 0, 0), page(1)):
        assert (look_of(pixels).nbytes, stored_look(look_of(pixels)).nbytes) == (LOOK_BYTES, STORED_LOOK_BYTES)
        assert stored_look(stored_look(look_of(pixels))).tobytes() == stored_look(look_of(pixels)).tobytes()


def test_looks_of_another_size_or_type_are_refused() -> None:
    scene = look_of(photo(1))
    for one, many in ((scene[:-1], scene[np.newaxis]), (scene, scene[np.newaxis, :-1])):
        with pytest.raises(Misconfigured, match="bootstrap it again"):
            looks(one, many, FAR, 0.3)
    with pytest.raises(Misconfigured, match="looks of int16"):
        looks(scene, scene[np.newaxis].astype(np.int16), FAR, 0.3)


def test_none_may_be_compared() -> None:
    found = looks(look_of(photo(1)), np.empty((0, STORED_LOOK_BYTES), dtype=np.uint8), np.empty(0), 0.3)
    assert (found.maps.shape, found.agreement.shape) == ((0, 2, 3), (0,))
