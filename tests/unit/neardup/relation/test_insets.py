"""Insets: where in an image other pictures lie."""

from collections.abc import Callable

import numpy as np
import pytest

from neardup.relation.insets import MOST_INSETS, SMALLEST_SHARE, cropped, insets
from neardup.types import Box, Pixels
from tests.support.drawings import dark_photo, jpeg_of, pale_photo, photo
from tests.support.forms import collage

PIXELS = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
GREY = np.full((300, 400, 3), 128, dtype=np.uint8)


def laid(ground: Pixels, top: int, left: int, height: int, width: int) -> tuple[Pixels, Box]:
    """Lay part of a picture on the ground, and return its place, too."""
    high, wide = ground.shape[:2]
    shown = ground.copy()
    shown[top : top + height, left : left + width] = photo(1, width, height) // 2 + 64
    return shown, (left / wide, top / high, (left + width) / wide, (top + height) / high)


def near(box: Box, expected: Box) -> bool:
    return bool(np.abs(np.subtract(box, expected)).max() <= 0.015)


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("place", [(40, 60, 200, 260), (0, 100, 300, 200), (90, 0, 150, 400), (20, 30, 120, 160)])
def test_a_picture_on_a_plain_ground(place: tuple[int, int, int, int], level: int) -> None:
    shown, expected = laid(np.full_like(GREY, level), *place)
    for pixels in (shown, jpeg_of(shown, 60)):
        assert any(near(box, expected) for box in insets(pixels))


def test_the_halves_of_a_collage_meet_where_they_meet() -> None:
    both = collage(dark_photo(1), pale_photo(2))
    assert np.allclose(insets(both), [(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)], atol=0.01)
    assert np.allclose(insets(np.rot90(both)), [(0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)], atol=0.01)


def test_each_of_four_pictures_is_found() -> None:
    upper, lower = collage(dark_photo(3), pale_photo(4)), collage(pale_photo(0), dark_photo(5))
    found = insets(np.concatenate([upper, lower]))
    assert len(found) == MOST_INSETS
    quarters = [(x, y, x + 0.5, y + 0.5) for x in (0.0, 0.5) for y in (0.0, 0.5)]
    assert sum(any(near(box, each) for box in found) for each in quarters) >= 3


@pytest.mark.parametrize("number", [0, 2, 3, 4, 5])
def test_a_picture_by_itself_has_none(number: int) -> None:
    assert insets(photo(number)) == ()


def test_noise_and_plain_images_have_none() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    assert insets(noise) == insets(GREY) == ()


def test_a_picture_is_not_told_twice_nor_too_small_to_be_looked_for() -> None:
    shown, expected = laid(GREY, 40, 60, 200, 260)
    shown[36:40, 56:324] = shown[240:244, 56:324] = shown[36:244, 56:60] = shown[36:244, 320:324] = 255  # a thin frame
    assert sum(near(box, expected) for box in insets(shown)) <= 1
    for box in insets(shown):
        assert min(box[2] - box[0], box[3] - box[1]) >= SMALLEST_SHARE
    assert insets(laid(GREY, 100, 100, 50, 60)[0]) == ()


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 3), (7, 5), (3, 4000), (4000, 3)])
@pytest.mark.parametrize("make", [np.zeros_like, lambda pixels: np.indices(pixels.shape).sum(axis=0) % 2 * 255])
def test_any_shape_will_do(shape: tuple[int, int], make: Callable[[Pixels], Pixels]) -> None:
    pixels = make(np.zeros((*shape, 3), dtype=np.uint8)).astype(np.uint8)
    for box in insets(pixels):
        assert 0 <= box[0] < box[2] <= 1
        assert 0 <= box[1] < box[3] <= 1
        assert min(cropped(pixels, box).shape) >= 1


def test_the_pixels_alone_decide_however_they_lie_in_memory() -> None:
    shown, _ = laid(GREY, 40, 60, 200, 260)
    twice = np.repeat(shown, 2, axis=1)[:, ::2]
    before = shown.copy()
    assert insets(twice) == insets(shown) == insets(np.asfortranarray(shown))
    assert np.array_equal(shown, before)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ((0.0, 0.0, 1.0, 1.0), PIXELS),
        ((0.0, 0.0, 0.5, 1.0), PIXELS[:, :30]),
        ((0.5, 0.0, 1.0, 1.0), PIXELS[:, 30:]),
        ((0.0, 0.5, 1.0, 1.0), PIXELS[20:]),
        ((0.25, 0.1, 0.75, 0.9), PIXELS[4:36, 15:45]),
    ],
)
def test_the_sides_are_shares_from_the_top_left(part: Box, expected: Pixels) -> None:
    assert np.array_equal(cropped(PIXELS, part), expected)


def test_an_odd_middle_belongs_to_both_halves() -> None:
    halves = [cropped(PIXELS[:, :5], part).shape[1] for part in ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))]
    assert halves == [3, 3]
