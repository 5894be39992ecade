"""The largest local difference of two thumbnails."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from neardup.errors import Misconfigured
from neardup.relation.local_change import (
    DEFAULT_LOCAL_CHANGE,
    SIDE_PX,
    THUMBNAIL_BYTES,
    largest_change,
    mirrored,
    thumbnail_of,
    turned,
)
from neardup.types import Pixels

HEIGHT, WIDTH = 360, 640
thumbnails = arrays(np.uint8, THUMBNAIL_BYTES, elements=st.integers(0, 255))
few_thumbnails = arrays(np.uint8, (5, THUMBNAIL_BYTES), elements=st.integers(0, 255))


def change(one: Pixels, other: Pixels) -> float:
    return float(largest_change(thumbnail_of(one), thumbnail_of(other)[np.newaxis])[0])


def smooth_noise(seed: int, cells: int, low: int, high: int) -> NDArray[np.float64]:
    """Return a texture of that many blocks a side, float64 (HEIGHT, WIDTH, 3)."""
    grey = np.random.default_rng(seed).uniform(low, high, (cells, cells))
    rows, columns = np.arange(HEIGHT) * cells // HEIGHT, np.arange(WIDTH) * cells // WIDTH
    return np.repeat(grey[np.ix_(rows, columns)][..., np.newaxis], 3, axis=2)


def as_pixels(values: NDArray[np.float64]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


SCENE = smooth_noise(1, 12, 60, 180)


def with_object(height_px: int, left: int, contrast: float = 90.0) -> NDArray[np.float64]:
    """Return a plain square with an upright dark box on it."""
    values = np.full((HEIGHT, WIDTH, 3), 150.0)
    values[200 : 200 + height_px, left : left + height_px // 3] -= contrast
    return values


def test_a_thumbnail_is_as_long_as_promised_whatever_the_image() -> None:
    for shape in ((1, 1, 3), (7, 300, 3), (HEIGHT, WIDTH, 3)):
        thumbnail = thumbnail_of(np.full(shape, 77, dtype=np.uint8))
        assert thumbnail.shape == (THUMBNAIL_BYTES,)
        assert thumbnail.dtype == np.uint8
        assert (thumbnail == 77).all()


def test_a_thumbnail_leaves_the_pixels_alone_and_can_be_written_to() -> None:
    pixels = as_pixels(SCENE)
    before = pixels.copy()
    thumbnail_of(pixels)[:] = 0
    assert (pixels == before).all()


@given(thumbnails, few_thumbnails)
def test_it_is_symmetric_to_the_bit_and_the_same_alone_and_in_a_batch(
    one: NDArray[np.uint8], many: NDArray[np.uint8]
) -> None:
    together = largest_change(one, many)
    assert together.dtype == np.float64
    assert together.tolist() == [largest_change(each, one[np.newaxis])[0] for each in many]
    assert together.tolist() == [largest_change(one, each[np.newaxis])[0] for each in many]


def test_a_batch_of_more_than_one_chunk_is_compared_whole() -> None:
    many = np.random.default_rng(0).integers(0, 256, (100, THUMBNAIL_BYTES), dtype=np.uint8)
    changes = largest_change(many[7], many)
    assert changes.tolist() == [largest_change(each, many[7:8])[0] for each in many]
    assert changes.argmin() == 7


@given(thumbnails)
def test_nothing_has_changed_in_the_same_thumbnail(one: NDArray[np.uint8]) -> None:
    assert largest_change(one, one[np.newaxis]).tolist() == [0.0]


@given(st.sampled_from(range(2**4)), st.integers(0, 3))
def test_the_extremes_fit_the_integers_it_is_made_of(corners: int, quarter_turns: int) -> None:
    # A checkerboard's halves of 0 and 255 are the steepest that there is; int64 must agree with what is used.
    board = (np.indices((SIDE_PX, SIDE_PX)) // 16).sum(axis=0) % 2 * 255
    one = turned(board.astype(np.uint8).reshape(-1), quarter_turns)
    other = np.where(np.arange(THUMBNAIL_BYTES) % 16 == corners, 0, 255).astype(np.uint8)
    assert largest_change(one, other[np.newaxis])[0] == pytest.approx(in_floats(one, other), abs=0.1)


def test_a_spot_and_its_negative_are_further_apart_than_16_bits_hold() -> None:
    spot = np.zeros((SIDE_PX, SIDE_PX), dtype=np.uint8)
    spot[10:13, 10:13] = 255
    one, other = spot.reshape(-1), 255 - spot.reshape(-1)
    expected = in_floats(one, other)
    assert expected * 225 > np.iinfo(np.int16).max
    assert largest_change(one, other[np.newaxis])[0] == pytest.approx(expected, abs=0.1)


def in_floats(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the measure as its text says it, pixel by pixel."""
    first, second = (less_surroundings(each.reshape(SIDE_PX, SIDE_PX).astype(np.float64)) for each in (one, other))
    ours, theirs = (np.abs(each).mean() + 1.0 for each in (first, second))
    first, second = first * limited(theirs / ours), second * limited(ours / theirs)
    difference = first - second
    explained = np.floor(25 * np.maximum(steepest(first), steepest(second)) * 3 / 8) / 25
    rest = np.sign(difference) * np.maximum(np.abs(difference) - explained, 0)
    return float(np.abs(sliding_window_view(rest, (3, 3)).mean(axis=(2, 3))).max())


def limited(ratio: float) -> float:
    return float(min(max(ratio, 1 / 1.6), 1.6) ** 0.5)


def less_surroundings(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    padded = np.pad(plane, 2, mode="edge")
    return np.asarray(plane - sliding_window_view(padded, (5, 5)).mean(axis=(2, 3)))


def steepest(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    padded = np.pad(plane, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.asarray(np.max([np.abs(each - plane) for each in neighbours], axis=0))


@pytest.mark.parametrize("sigma", [2, 4, 8])
def test_noise_is_no_change(sigma: int) -> None:
    noise = np.random.default_rng(2).normal(0.0, sigma, SCENE.shape)
    assert change(as_pixels(SCENE), as_pixels(SCENE + noise)) < DEFAULT_LOCAL_CHANGE / 2


@pytest.mark.parametrize(
    "edited", [SCENE + 20, SCENE - 20, SCENE * 0.9, SCENE * 1.1, SCENE * 0.8 + 24, 255 * (SCENE / 255) ** 0.8]
)
def test_more_or_less_light_is_no_change(edited: NDArray[np.float64]) -> None:
    assert change(as_pixels(SCENE), as_pixels(edited)) < DEFAULT_LOCAL_CHANGE


def test_light_that_fades_across_the_image_is_no_change() -> None:
    fading = np.linspace(0.7, 1.0, WIDTH)[np.newaxis, :, np.newaxis]
    plain = np.full(SCENE.shape, 150.0)
    assert change(as_pixels(plain), as_pixels(plain * fading)) < DEFAULT_LOCAL_CHANGE / 2


@pytest.mark.parametrize("shift", [(0, 1), (1, 0), (1, 1), (0, 4)])
def test_a_camera_that_sways_is_no_change(shift: tuple[int, int]) -> None:
    shifted = np.roll(as_pixels(SCENE), shift, axis=(0, 1))
    cropped = slice(8, None)
    assert change(as_pixels(SCENE)[cropped, cropped], shifted[cropped, cropped]) < DEFAULT_LOCAL_CHANGE


@pytest.mark.parametrize("percent", [12, 15, 20])
def test_a_small_object_is_a_change_wherever_it_stands(percent: int) -> None:
    empty = np.full((HEIGHT, WIDTH, 3), 150.0)
    for left in range(0, 600, 37):
        entered = with_object(HEIGHT * percent // 100, left)
        assert change(as_pixels(empty), as_pixels(entered)) > DEFAULT_LOCAL_CHANGE


def test_an_object_that_moved_by_its_width_has_changed_place() -> None:
    height = HEIGHT // 8
    before, after = with_object(height, 300), with_object(height, 300 + height // 3)
    assert change(as_pixels(before), as_pixels(after)) > DEFAULT_LOCAL_CHANGE


def test_an_object_in_a_corner_counts_like_one_in_the_middle() -> None:
    empty = np.full((HEIGHT, WIDTH, 3), 150.0)
    for rows, columns in ((slice(0, 40), slice(0, 40)), (slice(320, 360), slice(600, 640))):
        entered = empty.copy()
        entered[rows, columns] -= 90
        assert change(as_pixels(empty), as_pixels(entered)) > DEFAULT_LOCAL_CHANGE


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_thumbnails_turn_as_their_images_do(quarter_turns: int) -> None:
    square = as_pixels(SCENE)[:, :HEIGHT]
    expected = thumbnail_of(np.ascontiguousarray(np.rot90(square, quarter_turns)))
    # A resize rounds at most by one level on another side of the pixel.
    difference = turned(thumbnail_of(square), quarter_turns).astype(int) - expected
    assert np.abs(difference).max() <= 1


def test_thumbnails_mirror_as_their_images_do() -> None:
    pixels = as_pixels(SCENE)
    expected = thumbnail_of(np.ascontiguousarray(pixels[:, ::-1]))
    assert np.abs(mirrored(thumbnail_of(pixels)).astype(int) - expected).max() <= 1
    assert not (mirrored(thumbnail_of(pixels)) == thumbnail_of(pixels)).all()


@given(thumbnails, thumbnails, st.integers(0, 3))
def test_the_symmetries_of_both_change_nothing(
    one: NDArray[np.uint8], other: NDArray[np.uint8], quarter_turns: int
) -> None:
    expected = largest_change(one, other[np.newaxis])
    both_turned = largest_change(turned(one, quarter_turns), turned(other, quarter_turns)[np.newaxis])
    assert both_turned == expected
    assert largest_change(mirrored(one), mirrored(other)[np.newaxis]) == expected


def test_no_members_have_no_changes() -> None:
    empty = np.empty((0, THUMBNAIL_BYTES), dtype=np.uint8)
    assert largest_change(np.zeros(THUMBNAIL_BYTES, dtype=np.uint8), empty).shape == (0,)


@pytest.mark.parametrize(
    ("one", "many"),
    [
        (np.zeros(9, dtype=np.uint8), np.zeros((2, THUMBNAIL_BYTES), dtype=np.uint8)),
        (np.zeros(THUMBNAIL_BYTES, dtype=np.uint8), np.zeros((2, 9), dtype=np.uint8)),
        (np.zeros(THUMBNAIL_BYTES, dtype=np.uint8), np.zeros(THUMBNAIL_BYTES, dtype=np.uint8)),
        (np.zeros(THUMBNAIL_BYTES, dtype=np.float32), np.zeros((2, THUMBNAIL_BYTES), dtype=np.uint8)),
    ],
)
def test_thumbnails_of_another_version_are_refused(one: NDArray[np.uint8], many: NDArray[np.uint8]) -> None:
    with pytest.raises(Misconfigured, match="bootstrap it again"):
        largest_change(one, many)
