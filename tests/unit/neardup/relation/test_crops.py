"""Crops: which part of an image each is."""

import numpy as np
import pytest

from benchmarks.part_crops import CANDIDATES
from neardup.relation.crops import CROPS, SMALLEST_SHARE, cropped
from neardup.types import Box, Pixels

PIXELS = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)


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


@pytest.mark.parametrize("part", CROPS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3), (7, 5)])
def test_a_crop_of_the_smallest_image_has_pixels(shape: tuple[int, int], part: Box) -> None:
    found = cropped(PIXELS[: shape[0], : shape[1]], part)
    assert found.shape[0] >= max(1, SMALLEST_SHARE * shape[0])
    assert found.shape[1] >= max(1, SMALLEST_SHARE * shape[1])


def test_each_is_another_part_of_the_frame() -> None:
    assert len(set(CROPS)) == len(CROPS)
    for left, top, right, bottom in CROPS:
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert (left, top, right, bottom) != (0, 0, 1, 1)


def test_they_are_those_that_were_measured() -> None:
    assert set(CROPS) <= set(CANDIDATES.values())


def test_an_odd_middle_belongs_to_both_halves() -> None:
    halves = [cropped(PIXELS[:, :5], part).shape[1] for part in ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))]
    assert halves == [3, 3]
