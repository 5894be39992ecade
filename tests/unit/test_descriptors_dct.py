"""The DCT descriptor against its definition, and the numbers that its fingerprint stands for."""

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from neardup.descriptors import load_descriptor
from neardup.descriptors.dct import (
    CHROMA_COEFFICIENTS,
    CHROMA_WEIGHT,
    LUMA_COEFFICIENTS,
    SIDE_PX,
    DctDescriptor,
    _lowest_frequencies,
)
from neardup.distance import l2_distances
from neardup.types import Descriptors, Pixels
from tests.unit.pictures import GENERATED, detailed, flat, generated

# A change of numbers needs a new fingerprint: members described by the old ones would be compared with the new.
# Sixteen numbers of the descriptor of one picture, in units of 2**-14; processors differ in the last bits only.
PINNED: dict[str, tuple[str, list[int]]] = {
    "dct": (
        "dct-1:64px-224y-14c-0.5w",
        [-1692, -1934, -1740, -1532, -1565, -1146, -1273, -1063, -495, -46, -526, 58, 1161, 760, 110, -1],
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


def test_the_spectrum_is_that_of_scipy() -> None:
    dct = DctDescriptor()
    prepared = np.stack([dct.prepare(pixels) for pixels in GENERATED])
    planes = [np.asarray(Image.fromarray(each).convert("YCbCr"), dtype=np.float64) for each in prepared]
    spectrum = dctn(np.stack(planes), axes=(1, 2), norm="ortho") / SIDE_PX
    features = dct.features(prepared)
    luma_rows, luma_columns = _lowest_frequencies(LUMA_COEFFICIENTS + 1)
    luma = spectrum[:, luma_rows[1:], luma_columns[1:], 0]
    # Pillow rounds each pixel to a whole level, and that is all that they differ by.
    assert np.abs(features[:, :LUMA_COEFFICIENTS] - luma).max() < 0.05
    chroma_rows, chroma_columns = _lowest_frequencies(CHROMA_COEFFICIENTS)
    chroma = CHROMA_WEIGHT * spectrum[:, chroma_rows[1:], chroma_columns[1:], 1:]
    found = features[:, LUMA_COEFFICIENTS:-4].reshape(len(GENERATED), CHROMA_COEFFICIENTS, 2)
    assert np.abs(found[:, 1:] - chroma).max() < 0.05


def test_frequencies_are_the_lowest() -> None:
    rows, columns = _lowest_frequencies(LUMA_COEFFICIENTS)
    kept = set(zip(rows.tolist(), columns.tolist(), strict=True))
    largest = max(row * row + column * column for row, column in kept)
    assert (0, 0) in kept
    assert len(kept) == LUMA_COEFFICIENTS
    for row in range(SIDE_PX):
        for column in range(SIDE_PX):
            assert (row, column) in kept or row * row + column * column >= largest


def test_brightness_and_contrast_hardly_count() -> None:
    original = np.clip(generated(1).astype(np.float64) * 0.5 + 60, 0, 255)
    images = [original, original + 30, (original - 128) * 1.2 + 128, (original - 128) * 0.6 + 128]
    rows = described("dct", *[np.clip(image, 0, 255).round().astype(np.uint8) for image in images])
    assert l2_distances(rows[:1], rows[1:]).max() < 0.08


def test_flat_colours_lie_where_they_look() -> None:
    rows = described("dct", flat(255, 0, 0), flat(250, 5, 5), flat(0, 0, 255))
    assert l2_distances(rows[:1], rows[1:2])[0, 0] < 0.1
    assert l2_distances(rows[:1], rows[2:])[0, 0] > 0.5


def test_black_is_not_white() -> None:
    rows = described("dct", flat(0, 0, 0), flat(255, 255, 255))
    assert l2_distances(rows[:1], rows[1:])[0, 0] > load_descriptor("dct").default_radius


def test_noise_of_one_level_leaves_a_flat_image_flat() -> None:
    rng = np.random.default_rng(0)
    noisy = [(120 + rng.integers(0, 2, (300, 400, 3))).astype(np.uint8) for _ in range(2)]
    rows = described("dct", *noisy)
    assert l2_distances(rows[:1], rows[1:])[0, 0] < load_descriptor("dct").default_radius
