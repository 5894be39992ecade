"""Levels side by side on a canvas are what they would be alone, whatever lies next to them."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import correlate, maximum_filter

from neardup.relation.looks.points import level_sizes
from neardup.relation.looks.pyramid import Canvas, Plane, canvas_of

SIZES = [(128, 128), (58, 286), (286, 58), (150, 110), (12, 14)]
WEIGHTS = np.outer([1, 2, 1], [1, 2, 1])


def noise(width: int, height: int) -> Image.Image:
    random = np.random.default_rng(width)
    return Image.fromarray(random.integers(0, 256, (height, width), dtype=np.uint8))


def prepared(size: tuple[int, int]) -> tuple[Canvas, Plane]:
    canvas = canvas_of(level_sizes(*size))
    return canvas, canvas.plane(noise(*size))


def levels_of(canvas: Canvas, plane: Plane) -> list[Plane]:
    return [canvas.level(plane, number) for number in range(len(canvas.sizes))]


@pytest.mark.parametrize("size", SIZES)
def test_each_level_is_the_picture_at_its_size(size: tuple[int, int]) -> None:
    grey = noise(*size)
    for level, (width, height) in zip(levels_of(*prepared(size)), level_sizes(*size), strict=True):
        expected = np.asarray(grey.resize((width, height), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(level, expected)


@pytest.mark.parametrize("size", SIZES)
def test_blurred_levels_are_those_blurred_alone(size: tuple[int, int]) -> None:
    canvas, plane = prepared(size)
    alone = [correlate(level.astype(np.int64), WEIGHTS, mode="nearest") >> 2 for level in levels_of(canvas, plane)]
    again = [correlate(level, WEIGHTS, mode="nearest") >> 4 for level in alone]
    blurred = canvas.blurred(plane, 2)
    twice = canvas.blurred(blurred.copy(), 4)
    for level, expected in zip(levels_of(canvas, blurred) + levels_of(canvas, twice), alone + again, strict=True):
        np.testing.assert_array_equal(level, expected)


@pytest.mark.parametrize("size", SIZES)
def test_highest_pixels_are_those_of_each_level_but_for_the_outermost(size: tuple[int, int]) -> None:
    canvas, plane = prepared(size)
    # Coarse steps: neighbours are equal in places.
    plane //= 32
    found = canvas.places(canvas.highest(plane, 5))
    for number, level in enumerate(levels_of(canvas, plane)):
        highest = (level == maximum_filter(level, 3)) & (level > 5)
        rows, columns = np.nonzero(highest[1:-1, 1:-1])
        mine = found.places[:, found.levels == number]
        order = np.lexsort(mine)
        np.testing.assert_array_equal(mine[:, order], [columns + 1, rows + 1])
    assert len(found.at)


def test_a_patch_repeats_the_outermost_pixels_of_its_level() -> None:
    canvas, plane = prepared((150, 110))
    grid = np.array([-9, 0, 9])
    at = np.flatnonzero(canvas.levels >= 0)
    found = canvas.places(at)
    padded = [np.pad(level, 9, mode="edge") for level in levels_of(canvas, plane)]
    expected = [
        padded[level][np.ix_(grid + 9 + row, grid + 9 + column)].ravel()
        for level, (column, row) in zip(found.levels.tolist(), found.places.T.tolist(), strict=True)
    ]
    np.testing.assert_array_equal(canvas.patches(plane, found, grid), expected)


def test_a_patch_of_no_place_is_none() -> None:
    canvas, plane = prepared((150, 110))
    assert canvas.patches(plane, canvas.places(np.empty(0, dtype=np.intp)), np.arange(8)).shape == (0, 64)
