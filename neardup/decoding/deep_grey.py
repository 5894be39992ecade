"""From greys of more than 8 bits to those of 8: which numbers are black and white, a file rarely says.

Sensors of 10, 12 and 14 bits fill the lower part of 16. A thermal camera counts hundredths of a kelvin, of which a
scene takes a few hundred in the middle. A tomograph counts from below zero.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, TiffImageFile

WHITES = (1.0, 255.0, 1023.0, 4095.0, 16_383.0, 65_535.0)
"""White of fractions, and of whole numbers of 8, 10, 12, 14 and 16 bits."""
USUAL_SPAN = 0.5
"""Of white: a picture in one of these depths spans more, as 994 photos of 1,000 do. Degrees and distances rarely do.

A picture that is stretched by more than this is another one than its copy in 8 bits.
"""
OUTLIERS_PERCENT = 0.1
"""Of the pixels, at either end: hot and dead ones, and what a camera writes into its picture."""
NO_MEASUREMENT = 1e30
"""What is missing is often marked by the largest number that a format has."""
_SAMPLES = 1_000_000
_PIXELS_AT_ONCE = 1 << 20


def is_deep(mode: str) -> bool:
    """Tell whether Pillow holds greys of more than 8 bits in this mode."""
    return mode in {"I", "F"} or mode.startswith("I;16")


def grey_of_deep(image: Image.Image) -> Image.Image:
    """Return a deep grey image in RGB, of 8 bits.

    A picture that uses a usual depth as pictures do looks as it would in 8 bits. In all others, what is used of the
    range is stretched to all of it. What is no number is black.
    """
    values = np.asarray(image)
    black, white = _black_and_white(values, image.mode)
    grey = np.empty(values.shape, dtype=np.uint8)
    rows = max(1, _PIXELS_AT_ONCE // values.shape[1])
    for start in range(0, len(values), rows):  # in parts: a large image fits only so often
        grey[start : start + rows] = _levels(values[start : start + rows], black, white)
    del values
    return Image.fromarray(255 - grey if _is_negative(image) else grey).convert("RGB")


def _levels(values: NDArray[np.generic], black: float, white: float) -> NDArray[np.floating]:
    """Return values as grey levels from 0 to 255."""
    wide = values.astype(np.result_type(values.dtype, np.float32))
    with np.errstate(over="ignore", invalid="ignore"):
        levels = (wide - black) / ((white - black) / 255.0)
    return np.clip(np.nan_to_num(levels, copy=False), 0.0, 255.0)


def _is_negative(image: Image.Image) -> bool:
    # Pillow turns such a TIFF over when it has 8 bits, and leaves it as it is when it has more.
    return isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0


def _black_and_white(values: NDArray[np.generic], mode: str) -> tuple[float, float]:
    """Return which numbers are black and white, the second the greater one."""
    measured = values.reshape(-1)
    if values.dtype.kind == "f":
        measured = measured[np.abs(measured) < NO_MEASUREMENT]
    if not measured.size:
        return 0.0, 1.0
    sample = _without_filling(measured[:: 1 + measured.size // _SAMPLES])
    shares = [OUTLIERS_PERCENT, 100.0 - OUTLIERS_PERCENT]
    low, high = map(float, np.percentile(sample.astype(np.float64), shares))
    if low == high:  # all but a few pixels are alike: these are the picture
        low, high = float(measured.min()), float(measured.max())
    if low == high:
        return 0.0, _white_of_plain(high, mode)
    white = next((white for white in WHITES if high <= white), high)
    return (0.0, white) if low >= 0.0 and high - low >= USUAL_SPAN * white else (low, high)


def _without_filling(sample: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return what was measured: a negative number further below all others than they span stands for nothing."""
    lowest = sample.min()
    others = sample[sample > lowest]
    if lowest >= 0 or not others.size:
        return sample
    nearest, highest = float(others.min()), float(others.max())
    return others if nearest - float(lowest) > highest - nearest > 0.0 else sample


def _white_of_plain(value: float, mode: str) -> float:
    if mode == "F" and value <= 1.0:
        return 1.0
    return 255.0 if not mode.startswith("I;16") and value <= 255.0 else max(65_535.0, value)  # noqa: PLR2004 - 8 bits
