"""The DCT descriptor against its definition, and the numbers that its fingerprint stands for."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from neardup.descriptors import load_descriptor
from neardup.descriptors.dct import (
    CHROMA_COEFFICIENTS,
    CHROMA_WEIGHT,
    LUMA_COEFFICIENTS,
    NOISE_GREY_LEVELS,
    SIDE_PX,
    DctDescriptor,
    _lowest_frequencies,
)
from neardup.search.distance import l2_distances
from neardup.types import Descriptors, Pixels
from tests.support.pictures import GENERATED, detailed, flat, generated

# A change of numbers needs a new fingerprint: members described by the old ones would be compared with the new.
# Sixteen numbers of the descriptor of one picture, in units of 2**-14; processors differ in the last bits only.
# "dct" sees fine detail without coarse contrast, as of gravel or a form: its numbers hold a fine part.
PINNED: dict[str, tuple[str, list[int]]] = {
    "dct": (
        "dct-3:64px-98y-7c-16l-trim2",
        [-707, 1605, -174, 1276, -950, 855, 1018, -672, -626, 738, 1489, 1731, 257, 812, 3376, -131],
    ),
    "pixels": (
        "pixels-1:32x32-bilinear",
        [19, 218, 285, 296, 294, 292, 292, 285, 306, 285, 294, 292, 296, 310, 299, 287],
    ),
    "pixels:320": (
        "pixels-1:320x320-bilinear",
        [0, 17, 46, 28, 22, 11, 42, 18, 38, 27, 22, 25, 23, 17, 21, 36],
    ),
}

OF_COARSE_CONTRAST = [1802, -1041, 1105, -766, 1194, -5, 884, 224, 336, -93, 53, -91, 17, -340, 644, 524]


def described(spec: str, *images: Pixels) -> Descriptors:
    descriptor = load_descriptor(spec)
    return descriptor.describe([descriptor.prepare(pixels) for pixels in images])


def sampled(row: Descriptors) -> list[int]:
    """Return sixteen of its numbers, evenly spread, in units of 2**-14."""
    picked = np.linspace(0, len(row) - 1, 16).astype(int)
    return [round(float(value) * 2**14) for value in row[picked]]


@pytest.mark.parametrize("spec", PINNED)
def test_the_numbers_belong_to_the_fingerprint(spec: str) -> None:
    fingerprint, expected = PINNED[spec]
    found = sampled(described(spec, detailed())[0])
    assert load_descriptor(spec).fingerprint == fingerprint
    assert np.abs(np.subtract(found, expected)).max() <= 2, found


def test_the_numbers_of_a_picture_with_coarse_contrast() -> None:
    found = sampled(described("dct", generated(1))[0])
    assert np.abs(np.subtract(found, OF_COARSE_CONTRAST)).max() <= 2, found


def rooted(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    return coefficients / (coefficients**2 + NOISE_GREY_LEVELS**2) ** 0.25


def test_the_coefficients_are_those_of_scipy() -> None:
    dct = DctDescriptor()
    prepared = np.stack([dct.prepare(pixels) for pixels in GENERATED])
    planes = [np.asarray(Image.fromarray(each).convert("YCbCr"), dtype=np.float64) for each in prepared]
    window = hann(SIDE_PX)
    means = np.average(planes, axis=(1, 2), weights=window)
    spectrum = dctn(window[:, :, np.newaxis] * (np.stack(planes) - means[:, None, None]), axes=(1, 2), norm="ortho")
    spectrum /= SIDE_PX
    rows, columns = _lowest_frequencies(LUMA_COEFFICIENTS)
    luma = rooted(spectrum[:, rows, columns, 0]) / np.hypot(rows, columns) ** 0.5
    rows, columns = _lowest_frequencies(CHROMA_COEFFICIENTS)
    chroma = (
        CHROMA_WEIGHT * rooted(spectrum[:, rows, columns, 1:]) / (1 + np.hypot(rows, columns))[:, np.newaxis] ** 0.5
    )
    expected = np.concatenate([luma, chroma.transpose(0, 2, 1).reshape(len(prepared), -1)], axis=1)
    # Pillow rounds each pixel to a whole level, and that is all that they differ by.
    assert np.abs(dct.features(prepared)[:, : expected.shape[1]] - expected).max() < 0.05


def hann(side: int) -> NDArray[np.float64]:
    """Return the periodless Hann window, sampled at the middles of pixels, float64 (side, side)."""
    across = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(side) + 0.5) / side)
    return np.outer(across, across)


def test_frequencies_are_the_lowest() -> None:
    rows, columns = _lowest_frequencies(LUMA_COEFFICIENTS)
    kept = set(zip(rows.tolist(), columns.tolist(), strict=True))
    largest = max(row * row + column * column for row, column in kept)
    assert (0, 0) not in kept
    assert len(kept) == LUMA_COEFFICIENTS
    for row in range(SIDE_PX):
        for column in range(SIDE_PX):
            assert (row, column) in kept or row == column == 0 or row * row + column * column >= largest


def within(*images: Pixels) -> NDArray[np.bool_]:
    """Return bool (n, n): which pairs are duplicates at the default radius."""
    rows = described("dct", *images)
    return l2_distances(rows, rows) <= load_descriptor("dct").default_radius


def test_brightness_and_contrast_hardly_count() -> None:
    original = np.clip(generated(1).astype(np.float64) * 0.5 + 60, 0, 255)
    images = [original, original + 30, (original - 128) * 1.2 + 128, (original - 128) * 0.8 + 128]
    rows = described("dct", *[np.clip(image, 0, 255).round().astype(np.uint8) for image in images])
    assert l2_distances(rows[:1], rows[1:]).max() < 0.2


def test_colour_hardly_counts() -> None:
    for original in GENERATED:
        grey = np.asarray(Image.fromarray(original).convert("L").convert("RGB"))
        assert within(original, grey).all()


def test_a_crop_of_a_tenth_is_found() -> None:
    for original in GENERATED:
        height, width = original.shape[:2]
        y, x = round(0.05 * height), round(0.05 * width)
        assert within(original, original[y:-y, x:-x]).all()


def test_what_stands_in_a_corner_hardly_counts() -> None:
    marked = generated(1)
    marked[5:27, 5:27] = (230, 40, 40)
    rows = described("dct", generated(1), marked)
    assert l2_distances(rows[:1], rows[1:])[0, 0] < 0.1


def test_the_switch_for_trimming_has_a_fingerprint_of_its_own() -> None:
    assert load_descriptor("dct").fingerprint != load_descriptor("dct:notrim").fingerprint


def noisy(image: NDArray[np.float64], seed: int, levels: float) -> Pixels:
    noise = np.random.default_rng(seed).normal(0.0, levels, (*image.shape[:2], 3))
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def sky(top: tuple[int, int, int], horizon: tuple[int, int, int]) -> NDArray[np.float64]:
    along = np.linspace(0.0, 1.0, 240)[:, np.newaxis, np.newaxis]
    return np.asarray(np.array(top) * (1 - along) + np.array(horizon) * along) * np.ones((1, 320, 1))


def night(x_px: float, y_px: float) -> NDArray[np.float64]:
    y, x = np.mgrid[0:240, 0:320]
    lamp = 230.0 * np.exp(-((x - x_px) ** 2 + (y - y_px) ** 2) / 300)
    return np.asarray(lamp[:, :, np.newaxis] + 6.0)


def fog(x_px: float) -> NDArray[np.float64]:
    shade = 4.0 * np.sin(np.arange(320) / 40.0 + x_px)
    return np.ones((240, 1, 3)) * (190.0 + shade)[np.newaxis, :, np.newaxis]


LOW_TEXTURE: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {
    "solid": (flat(200, 60, 50).astype(float), flat(60, 90, 200).astype(float)),
    "grey and a darker grey": (flat(160, 160, 160).astype(float), flat(60, 60, 60).astype(float)),
    "sky": (sky((60, 120, 220), (200, 220, 250)), sky((120, 90, 110), (250, 170, 90))),
    "night with a lamp": (night(100, 100), night(220, 130)),
    "fog": (fog(0.0), fog(2.0)),
    "covered lens": (flat(4, 3, 3).astype(float), flat(45, 12, 8).astype(float)),
}


@pytest.mark.parametrize("kind", LOW_TEXTURE)
def test_low_texture_is_told_apart_and_found_again(kind: str) -> None:
    one, other = LOW_TEXTURE[kind]
    images = [noisy(one, 1, 3.0), noisy(one, 2, 3.0), noisy(other, 1, 3.0), noisy(other, 2, 3.0)]
    same = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], dtype=bool)
    assert np.array_equal(within(*images), same)


def test_flat_colours_lie_where_they_look() -> None:
    rows = described("dct", flat(255, 0, 0), flat(250, 5, 5), flat(0, 0, 255))
    assert l2_distances(rows[:1], rows[1:2])[0, 0] < 0.25
    assert l2_distances(rows[:1], rows[2:])[0, 0] > 0.5


def test_black_is_not_white() -> None:
    rows = described("dct", flat(0, 0, 0), flat(255, 255, 255))
    assert l2_distances(rows[:1], rows[1:])[0, 0] > load_descriptor("dct").default_radius


def test_noise_of_one_level_leaves_a_flat_image_flat() -> None:
    rng = np.random.default_rng(0)
    noisy = [(120 + rng.integers(0, 2, (300, 400, 3))).astype(np.uint8) for _ in range(2)]
    rows = described("dct", *noisy)
    assert l2_distances(rows[:1], rows[1:])[0, 0] < load_descriptor("dct").default_radius
