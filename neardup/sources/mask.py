"""Regions of a picture that do not count, such as a clock that a camera burns in: they are blanked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from neardup.types import Pixels

_BLANK = 128
"""Grey, always the same: what stands in a region has no part in what is left of it."""
_TRIANGLE = 3
_RECTANGLE = 4
Point = tuple[int, int]


class MaskOutside(ValueError):
    """A mask reaches outside the picture."""


@dataclass(frozen=True, slots=True)
class Region:
    """One region, in pixels from the picture's upper left corner.

    Attributes
    ----------
    corners
        A rectangle's upper left corner and the first pixel beyond its lower right one, both as (x, y); or the three or
        more corners of a polygon, whose outline is in it.
    text
        As it was given, for messages.
    """

    corners: tuple[Point, ...]
    text: str

    def fits(self, width: int, height: int) -> bool:
        """Return whether it lies within a picture of this size."""
        beyond = 0 if self._is_rectangle else 1
        return all(x + beyond <= width and y + beyond <= height for x, y in self.corners)

    def draw(self, onto: ImageDraw.ImageDraw) -> None:
        """Fill it with ones."""
        if self._is_rectangle:
            (left, top), (right, lower) = self.corners
            onto.rectangle((left, top, right - 1, lower - 1), fill=1)
        else:
            onto.polygon(self.corners, fill=1, outline=1)

    @property
    def _is_rectangle(self) -> bool:
        return len(self.corners) == 2  # noqa: PLR2004 - two corners say it all


def rectangle(numbers: Sequence[int], text: str) -> Region:
    """Return the region ``x, y, width, height``.

    Raises
    ------
    ValueError
        The numbers are none of a rectangle.
    """
    x, y, width, height = numbers
    if width <= 0 or height <= 0:
        raise ValueError("a rectangle needs a width and a height above 0")
    return _region([(x, y), (x + width, y + height)], text)


def polygon(corners: Sequence[Point], text: str) -> Region:
    """Return the region within these corners.

    Raises
    ------
    ValueError
        There are fewer than three, or one is in no picture.
    """
    if len(corners) < _TRIANGLE:
        raise ValueError("a polygon needs three corners or more")
    return _region(corners, text)


def _region(corners: Sequence[Point], text: str) -> Region:
    if any(number < 0 for corner in corners for number in corner):
        raise ValueError("a picture begins at 0,0, its upper left corner: there are no negative numbers in it")
    return Region(tuple(corners), text)


def region(text: str) -> Region:
    """Parse ``X,Y,WIDTH,HEIGHT``, or a polygon as ``X,Y X,Y X,Y``, in pixels.

    Raises
    ------
    ValueError
        What it should be.
    """
    corners = [_numbers(word) for word in text.split()]
    if len(corners) == 1 and len(corners[0]) == _RECTANGLE:
        return rectangle(corners[0], text.strip())
    if len(corners) >= _TRIANGLE and all(len(corner) == 2 for corner in corners):  # noqa: PLR2004 - x and y
        return polygon([(corner[0], corner[1]) for corner in corners], text.strip())
    raise ValueError("it should be X,Y,WIDTH,HEIGHT or a polygon such as '0,0 200,0 0,100', in pixels")


def _numbers(word: str) -> list[int]:
    try:
        return [int(number) for number in word.split(",")]
    except ValueError:
        return []


def blanked(pixels: Pixels, mask: Sequence[Region]) -> Pixels:
    """Return a picture with the regions of a mask in one grey.

    Parameters
    ----------
    pixels
        uint8 (height, width, 3); left as it is.

    Raises
    ------
    MaskOutside
        A region is not within the picture.
    """
    if not mask:
        return pixels
    height, width = pixels.shape[:2]
    for each in mask:
        if not each.fits(width, height):
            raise MaskOutside(f"mask {each.text}: it reaches outside the picture of {width}x{height} pixels")
    covered = Image.new("1", (width, height))
    draw = ImageDraw.Draw(covered)
    for each in mask:
        each.draw(draw)
    masked = pixels.copy()
    masked[np.asarray(covered)] = _BLANK
    return masked
