"""A picture at several sizes, side by side on one canvas: what is done to all of them is done once.

To call numpy takes as long as to add up some thousand pixels, and the smaller sizes hardly have more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.int16]
"""int16 (rows * columns,): the pixels of a canvas, row by row."""


@dataclass(frozen=True, slots=True)
class Places:
    """Pixels of a canvas.

    Attributes
    ----------
    at
        intp (n,): their places among all pixels of the canvas.
    levels
        int8 (n,): which level each belongs to.
    places
        intp (2, n): their columns and rows in that level.
    """

    at: NDArray[np.intp]
    levels: NDArray[np.int8]
    places: NDArray[np.intp]

    def take(self, chosen: NDArray[np.intp]) -> "Places":
        """Return these of them, in this order."""
        return Places(self.at[chosen], self.levels[chosen], self.places[:, chosen])


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where each level of a picture lies, with a border of one pixel around it.

    Attributes
    ----------
    columns, rows
        Size of the canvas, in pixels.
    sizes
        intp (levels, 2): width and height of each level, in its pixels.
    corners
        intp (levels, 2): the column and row of its first pixel.
    levels
        int8 (rows * columns,): to which level a pixel belongs; -1 for its outermost pixels, and where none lies.
    border, beside
        intp (k,): the pixels of all borders, and the level's own pixel next to each.
    """

    columns: int
    rows: int
    sizes: NDArray[np.intp]
    corners: NDArray[np.intp]
    levels: NDArray[np.int8]
    border: NDArray[np.intp]
    beside: NDArray[np.intp]

    def plane(self, grey: Image.Image) -> Plane:
        """Return the grey levels of a picture of the first level's size, at all levels."""
        sheet = Image.new("L", (self.columns, self.rows))
        for size, corner in zip(self.sizes.tolist(), self.corners.tolist(), strict=True):
            sheet.paste(grey.resize(size, Image.Resampling.BILINEAR), corner)
        return np.frombuffer(sheet.tobytes(), dtype=np.uint8).astype(np.int16)

    def level(self, plane: Plane, level: int) -> Plane:
        """Return one level of a plane, int16 (height, width); a view."""
        (left, top), (width, height) = self.corners[level].tolist(), self.sizes[level].tolist()
        return plane.reshape(self.rows, self.columns)[top : top + height, left : left + width]

    def blurred(self, plane: Plane, shift: int) -> Plane:
        """Return the plane smoothed by 1-2-1 both ways, times 16, of which so many of the last bits are dropped.

        The outermost pixels of each level are repeated outwards, which the plane's borders are overwritten for.
        """
        plane[self.border] = plane[self.beside]
        smooth = np.zeros_like(plane)
        # Neighbours are added up twice: 1-1 of 1-1 is 1-2-1.
        np.right_shift(self._of_neighbours(np.add, plane), shift, out=smooth[self._inside])
        return smooth

    def highest(self, plane: Plane, least: int) -> NDArray[np.intp]:
        """Return the pixels above `least` and not below any of their eight neighbours, intp (n,), in order."""
        around = self._of_neighbours(np.maximum, plane)
        np.maximum(around, least + 1, out=around)
        at = np.flatnonzero(plane[self._inside] >= around) + self._inside.start
        return np.asarray(at[self.levels.take(at) >= 0])

    def places(self, at: NDArray[np.intp]) -> Places:
        """Return where these pixels lie in their levels."""
        levels = self.levels.take(at)
        places = np.array(np.divmod(at, self.columns)[::-1])
        places -= self.corners.take(levels, axis=0).T
        return Places(at, levels, places)

    def patches(self, plane: Plane, found: Places, grid: NDArray[np.intp]) -> NDArray[np.int16]:
        """Return the pixels at each column and row of a grid of k steps around each place, int16 (n, k * k).

        Where the grid leaves the level, its outermost pixels are repeated.
        """
        first = -found.places[:, :, None]
        last = (self.sizes.take(found.levels, axis=0).T - 1)[:, :, None] + first
        across, down = np.minimum(np.maximum(grid, first), last)
        rows = found.at[:, None] + down * self.columns
        return np.asarray(plane.take((rows[:, :, None] + across[:, None]).reshape(-1, len(grid) ** 2)))

    def _of_neighbours(self, combine: Callable[[Plane, Plane], Plane], plane: Plane) -> Plane:
        for step in (self.columns, self.columns, 1, 1):
            plane = combine(plane[:-step], plane[step:])
        return plane

    @property
    def _inside(self) -> slice:
        """All pixels that have eight neighbours, and then some."""
        return slice(self.columns + 1, -self.columns - 1)


@lru_cache(maxsize=32)
def canvas_of(sizes: tuple[tuple[int, int], ...]) -> Canvas:
    """Return a canvas for levels of these widths and heights, the largest first."""
    columns = sizes[0][0] + 2
    corners = _corners(sizes, columns)
    rows = max(top + height + 1 for (_, top), (_, height) in zip(corners, sizes, strict=True))
    places = np.arange(rows * columns).reshape(rows, columns)
    levels = np.full_like(places, -1, dtype=np.int8)
    beside = places.copy()
    for level, ((left, top), (width, height)) in enumerate(zip(corners, sizes, strict=True)):
        levels[top + 1 : top + height - 1, left + 1 : left + width - 1] = level
        own = places[top : top + height, left : left + width]
        beside[top - 1 : top + height + 1, left - 1 : left + width + 1] = np.pad(own, 1, mode="edge")
    border = np.flatnonzero(beside != places)
    return Canvas(
        columns, rows, np.array(sizes), np.array(corners), levels.reshape(-1), border, beside.reshape(-1)[border]
    )


def _corners(sizes: tuple[tuple[int, int], ...], columns: int) -> list[tuple[int, int]]:
    """Return the column and row of each level's first pixel: side by side where that fits, else below."""
    corners = []
    left = top = 1
    below = 0
    for width, height in sizes:
        if left + width >= columns:
            left, top = 1, below
        corners.append((left, top))
        left, below = left + width + 2, max(below, top + height + 2)
    return corners
