"""Pixels as JPEG: as a camera would publish them, and smaller where they are too large to be sent."""

import io
from dataclasses import dataclass

from PIL import Image

from neardup.errors import TooManyBytes
from neardup.types import Pixels

_QUALITIES = (90, 80, 70)
"""Tried at full size, best first. Below the last, fewer pixels keep more of the picture than coarser ones."""
_MOST_OF_SIDE = 0.9
"""A side shrinks at least to this part of itself, or a picture of noise would never get there."""


_CAMERA_QUALITY = 92


def as_jpeg(pixels: Pixels) -> bytes:
    """Return an image as JPEG, as a camera would.

    Parameters
    ----------
    pixels
        uint8 (height, width, 3), upright.
    """
    return _jpeg(Image.fromarray(pixels), _CAMERA_QUALITY).data


@dataclass(frozen=True, slots=True)
class SmallerJpeg:
    """A JPEG, and what it was made with."""

    data: bytes
    width: int
    height: int
    quality: int


def smaller_jpeg(pixels: Pixels, max_bytes: int) -> SmallerJpeg:
    """Return an image as JPEG of at most `max_bytes`: coarser if that is enough, else with fewer pixels as well.

    Parameters
    ----------
    pixels
        uint8 (height, width, 3), upright.

    Raises
    ------
    TooManyBytes
        Not even a single pixel fits.
    """
    image = Image.fromarray(pixels)
    for quality in _QUALITIES:
        made = _jpeg(image, quality)
        if len(made.data) <= max_bytes:
            return made
    while len(made.data) > max_bytes:
        if max_bytes <= 0 or max(made.width, made.height) == 1:
            raise TooManyBytes(f"no JPEG of it fits into {max_bytes} bytes")
        part = min(_MOST_OF_SIDE, (max_bytes / len(made.data)) ** 0.5)
        size = (max(1, int(made.width * part)), max(1, int(made.height * part)))
        made = _jpeg(image.resize(size, Image.Resampling.LANCZOS), _QUALITIES[-1])
    return made


def _jpeg(image: Image.Image, quality: int) -> SmallerJpeg:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return SmallerJpeg(buffer.getvalue(), image.width, image.height, quality)
