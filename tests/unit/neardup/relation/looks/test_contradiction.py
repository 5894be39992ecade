"""One form, filled in otherwise, is another picture, however many points agree; and a photo with a logo is none."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from neardup.relation.looks.cells import (
    CELLS_BYTES,
    SMOOTHINGS,
    cells_of,
    is_drawn,
    measured,
    places_of,
    read_cells,
    smoothed,
)
from neardup.relation.looks.contradiction import LaterPlane, contradicts, differences
from neardup.relation.looks.look import (
    CELLS,
    COUNT,
    DRAWN_POINTS,
    look_of,
    plane_of,
    points_of,
    stored_look,
    transformed_look,
)
from neardup.relation.looks.second_look import DEFAULT_AGREEMENT, NEVER, Looks, looks
from neardup.types import Kept, Pixels
from tests.support.drawings import chess_board, cropped, form, jpeg_of, page, photo, qr_code, rgb, scaled

SAME_FRAME = np.eye(2, 3)
COPIES: dict[str, Callable[[Pixels], Pixels]] = {
    "the same": lambda pixels: pixels,
    "JPEG": lambda pixels: jpeg_of(pixels, 40),
    "crop of 5 %": lambda pixels: cropped(pixels, 0.05),
    "half size": lambda pixels: scaled(pixels, 0.5),
    "darker": lambda pixels: (pixels * 0.8).astype(np.uint8),
    "turned by 2 degrees": lambda pixels: rgb(Image.fromarray(pixels).rotate(2, Image.Resampling.BICUBIC)),
}


def plane(pixels: Pixels) -> np.ndarray:
    found = plane_of(look_of(pixels))
    assert found is not None
    return found


def seen(later: Kept, earlier: Kept) -> Looks:
    return looks(later, stored_look(earlier)[np.newaxis], np.ones(1), DEFAULT_AGREEMENT)


def alike(found: Looks) -> bool:
    return bool(found.agreement[0] >= found.needed[0])


@pytest.mark.parametrize("drawn", [form, page, qr_code, chess_board])
def test_what_is_drawn_has_cells_and_fewer_points(drawn: Callable[[int], Pixels]) -> None:
    look = look_of(drawn(1))
    assert is_drawn(plane(drawn(1)))
    assert look[CELLS] > 0
    assert stored_look(look)[COUNT] == DRAWN_POINTS
    assert np.array_equal(points_of(stored_look(look)), points_of(look)[:DRAWN_POINTS])


def test_a_photo_has_none() -> None:
    assert look_of(photo(1))[CELLS] == 0
    assert not is_drawn(plane(photo(1)))


def test_a_form_filled_in_otherwise_is_another_picture_though_most_agrees() -> None:
    for later, earlier in ((1, 2), (2, 1)):
        found = seen(look_of(form(later)), look_of(form(earlier)))
        assert found.agreement[0] > DEFAULT_AGREEMENT
        assert found.needed[0] == NEVER


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_of_a_form_is_none(copy: str) -> None:
    assert alike(seen(look_of(COPIES[copy](form(1))), look_of(form(1))))


def test_two_members_are_told_apart_by_what_is_stored_of_them() -> None:
    one, other, copy = (stored_look(look_of(pixels)) for pixels in (form(1), form(2), jpeg_of(form(1))))
    assert not alike(seen(one, other))
    assert alike(seen(copy, one))


def test_a_logo_on_a_photo_is_no_contradiction() -> None:
    image = Image.fromarray(photo(1))
    ImageDraw.Draw(image).rectangle((10, 10, 60, 30), "white", "black")
    assert alike(seen(look_of(rgb(image)), look_of(photo(1))))


def test_a_single_digit_is_enough() -> None:
    image = Image.fromarray(form(1))
    ImageDraw.Draw(image).rectangle((322, 60, 385, 80), (250, 250, 250))
    later = LaterPlane(plane(rgb(image)))
    earlier = plane(form(1))
    _, cells = cells_of(earlier)
    assert contradicts(later, cells, earlier.shape[::-1], SAME_FRAME)
    assert not contradicts(LaterPlane(earlier), cells, earlier.shape[::-1], SAME_FRAME)


def test_a_map_that_is_off_by_a_pixel_is_improved() -> None:
    earlier = plane(form(1))
    _, cells = cells_of(earlier)
    off = SAME_FRAME + np.array([[0.004, 0, 0.006], [0, -0.004, 0.007]])
    assert differences(LaterPlane(earlier), cells, earlier.shape[::-1], off).max() < 0.05


def test_nothing_is_said_of_what_is_not_shown() -> None:
    earlier = plane(form(1))
    _, cells = cells_of(earlier)
    beside = SAME_FRAME + np.array([[0, 0, 2.0], [0, 0, 0]])
    assert differences(LaterPlane(earlier), cells, earlier.shape[::-1], beside).size == 0


def test_cells_are_kept_as_they_are_measured() -> None:
    of_form = plane(form(1))
    count, kept = cells_of(of_form)
    squares, numbers = read_cells(kept)
    assert (len(squares), kept.nbytes) == (count, CELLS_BYTES)
    exact = measured(smoothed(of_form, SMOOTHINGS), *places_of(squares, of_form.shape[1]))
    away, whole = (np.sqrt(np.square(each).sum(axis=1)) for each in (numbers - exact, exact))
    assert (away < 0.25 * whole).all()


def test_any_bytes_can_be_read_as_cells() -> None:
    random = np.random.default_rng(1)
    later, earlier = look_of(form(1)), stored_look(look_of(form(1)))
    for _ in range(20):
        earlier[-CELLS_BYTES:] = random.integers(0, 256, CELLS_BYTES)
        assert np.isfinite(seen(later, earlier).agreement).all()


def test_a_turned_look_has_its_plane_turned_and_no_cells() -> None:
    look = look_of(form(1))
    turned = transformed_look(look, mirror=True, turns=1)
    found = plane_of(turned)
    assert found is not None
    assert np.array_equal(found, np.rot90(plane(form(1))[:, ::-1]))
    assert turned[CELLS] == 0
    assert len(points_of(turned)) == len(points_of(look))
