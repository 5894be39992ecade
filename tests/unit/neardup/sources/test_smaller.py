"""A JPEG that fits: as good as it may be, and upright."""

import numpy as np
import pytest

from neardup.decoding.decode import decode
from neardup.errors import TooManyBytes
from neardup.sources.smaller import smaller_jpeg
from neardup.types import Pixels
from tests.support.processes import photo


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("max_bytes", [40_000, 12_000, 3_000, 1_000])
def test_it_fits_and_wastes_little(max_bytes: int) -> None:
    made = smaller_jpeg(noise(120, 180), max_bytes)
    assert max_bytes / 3 < len(made.data) <= max_bytes
    assert decode(made.data).shape == (made.height, made.width, 3)
    assert made.width / made.height == pytest.approx(1.5, abs=0.1)


def test_quality_goes_before_pixels() -> None:
    pixels = decode(photo(1))
    best = smaller_jpeg(pixels, 10**6)
    coarser = smaller_jpeg(pixels, len(best.data) - 1)
    assert (best.quality, best.width, best.height) == (90, 160, 120)
    assert (coarser.width, coarser.height) == (160, 120)
    assert coarser.quality < best.quality


@pytest.mark.parametrize("max_bytes", [100, 0, -5])
def test_what_can_never_fit_is_refused(max_bytes: int) -> None:
    # Of a message whose headers alone are too large, less than nothing is left.
    with pytest.raises(TooManyBytes, match=f"fits into {max_bytes} bytes"):
        smaller_jpeg(noise(16, 16), max_bytes)
