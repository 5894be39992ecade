"""Crops: parts of an image by which it is compared again, so that a picture inside it is found.

A screenshot, a collage or a picture in a frame lies far from the picture that it shows, because a descriptor sees it as
a whole. A crop that holds little but that picture lies near it. The second look says whether it is there, and where.
"""

import math

from neardup.types import Box, Pixels

CROPS: tuple[Box, ...] = (
    (0.0, 0.0, 0.5, 1.0),
    (0.5, 0.0, 1.0, 1.0),
    (0.0, 0.0, 1.0, 0.5),
    (0.0, 0.5, 1.0, 1.0),
    (0.0, 0.25, 1.0, 0.75),
    (0.15, 0.15, 0.85, 0.85),
)
"""The four halves, a landscape across the middle, and the centre: docs/parts.md says how they were chosen."""

SMALLEST_SHARE: float = min(min(right - left, bottom - top) for left, top, right, bottom in CROPS)
"""Share of an image's side that each side of a crop has at least."""


def cropped(pixels: Pixels, part: Box) -> Pixels:
    """Return the part of uint8 (height, width, 3) pixels, at least one pixel; a view."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = part
    rows = slice(min(math.floor(top * height), height - 1), math.ceil(bottom * height))
    columns = slice(min(math.floor(left * width), width - 1), math.ceil(right * width))
    return pixels[rows, columns]
