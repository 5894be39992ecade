"""The affine map that two pictures have in common, from points of both that look alike.

Most pairs of points are chance, some agree on one scale and one shift: these have the map fitted to them.

Source: votes for a common map are Lowe's (IJCV 2004).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.relation.looks.look import HEIGHT, LEVEL, PLACE, WIDTH
from neardup.relation.looks.points import LEVELS, STEP
from neardup.types import Box

_TOLERANCE_PX = 4.0
_FIRST_SLACK = 0.12
"""Of the distance between two points: how far a map that turns or squeezes moves one, seen from the other."""
FITTED_PX = 2.0
_STIFFNESS = 40.0
"""How much a map is held to the scale that its pairs tell: the more pairs, the less it matters."""
_LEAST_AGREED = 5
"""Fewer pairs that agree on a map say nothing: strangers have as many by chance."""
_MOST_SQUEEZED = 1.7

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReadLook:
    """A look, read.

    Attributes
    ----------
    places
        float64 (n, 2): x and y of each point, in working pixels.
    steps
        int64 (n, 2): the same in 256ths of the frame, as they are kept.
    levels
        int64 (n,): how coarse each is.
    size
        float64 (2,): width and height in working pixels.
    rows
        uint8 (n, b): the points as they are kept.
    is_part
        Whether it is of a part of an image.
    """

    places: _Floats
    steps: NDArray[np.int64]
    levels: NDArray[np.int64]
    size: _Floats
    rows: NDArray[np.uint8]
    is_part: bool = False


def read_look(head: NDArray[np.uint8], rows: NDArray[np.uint8], *, is_part: bool = False) -> ReadLook:
    """Read the head of a look, uint8 (4,), and its points, uint8 (n, b)."""
    size = np.array([2.0 * max(int(head[side]), 1) for side in (WIDTH, HEIGHT)])
    places = rows[:, PLACE].astype(np.int64)
    # A wrong byte in a record costs agreement, and nothing else.
    levels = np.minimum(rows[:, LEVEL], LEVELS - 1).astype(np.int64)
    return ReadLook((places + 0.5) * size / 256, places, levels, size, rows, is_part)


@dataclass(frozen=True, slots=True)
class CommonMap:
    """An affine map of working pixels, from the later image to the earlier: x, y -> (x, y) @ turn + shift.

    `turn` is float64 (2, 2), `shift` float64 (2,).
    """

    turn: _Floats
    shift: _Floats

    def __call__(self, places: _Floats) -> _Floats:
        """Return where float64 (n, 2) places of the later image are in the earlier one."""
        x, y = places[:, :1], places[:, 1:]
        return np.asarray(x * self.turn[0] + y * self.turn[1] + self.shift)

    @property
    def area(self) -> float:
        """How much larger things are in the earlier image."""
        (a, b), (c, d) = self.turn.tolist()
        return float(a * d - b * c)

    def inverse(self) -> "CommonMap":
        """Return the map back."""
        (a, b), (c, d) = self.turn.tolist()
        turn = np.array([[d, -b], [-c, a]]) / self.area
        x, y = self.shift
        return CommonMap(turn, -(x * turn[0] + y * turn[1]))


def fitted_map(
    later: ReadLook, earlier: ReadLook, ours: NDArray[np.intp], theirs: NDArray[np.intp]
) -> CommonMap | None:
    """Return the map that most pairs of points agree on; None where too few do, or it is none that an edit makes.

    Parameters
    ----------
    later, earlier
        The two looks.
    ours, theirs
        intp (k,): the points of each that are paired.
    """
    places, to_places = later.places[ours], earlier.places[theirs]
    steps = earlier.levels[theirs] - later.levels[ours]
    scales = _SCALES[steps]
    moves = _differences(places) * -scales[:, None]
    errors = _longest(moves + _differences(to_places))
    slack = (_TOLERANCE_PX + _FIRST_SLACK * _longest(moves)) * np.maximum(scales, 1)[:, None]
    votes = (errors < slack) & (np.abs(np.subtract.outer(steps, steps)) <= 1)
    agreed = votes[votes.sum(axis=1).argmax()]
    fitted = None
    scale = float(scales[agreed].sum() / np.count_nonzero(agreed))
    both = np.concatenate([later.steps[ours], earlier.steps[theirs]], axis=1)
    for _ in range(3):
        if np.count_nonzero(agreed) < _LEAST_AGREED:
            return None
        fitted = _least_squares(both[agreed], later.size, earlier.size, scale)
        if fitted is None:
            return None
        agreed = _longest(np.transpose(fitted(places) - to_places)) < FITTED_PX * max(scale, 1)
    enough = np.count_nonzero(agreed) >= _LEAST_AGREED
    return fitted if fitted is not None and enough and _is_an_edit(fitted) else None


def _differences(places: _Floats) -> _Floats:
    """Return how far it is from each of (n, 2) places to each, (2, n, n)."""
    lines = np.ascontiguousarray(places.T)
    return np.asarray(lines[:, :, None] - lines[:, None])


def _longest(moves: _Floats) -> _Floats:
    """Return the larger of right and down, whichever way, of (2, ...) moves."""
    right, down = np.abs(moves)
    return np.asarray(np.maximum(right, down))


_SCALES = STEP ** np.concatenate([np.arange(LEVELS), np.arange(1 - LEVELS, 0)])
"""By how many levels the earlier image's point lies above the later one's; a negative number counts from the end."""


def _least_squares(both: NDArray[np.int64], size: _Floats, to_size: _Floats, scale: float) -> CommonMap | None:
    """Return the affine map nearest to these pairs and, by a little, to the scale.

    `both` is (n, 4): x and y in the later image, of that size, and in the earlier one, in steps. What follows is done
    with Python's own numbers, of which there are few: the same as numpy's, and several times faster.
    """
    count = len(both)
    sums, products = both.sum(axis=0).tolist(), (both.T @ both).tolist()
    # Integers, times the count so that means need no division: the same in whatever order they are added.
    spread = [
        [(count * product - one * other) / count for product, other in zip(row, sums, strict=True)]
        for row, one in zip(products[:2], sums[:2], strict=True)
    ]
    sides: list[float] = [*size.tolist(), *to_size.tolist()]
    width, height, to_width, to_height = (side / 256 for side in sides)
    xx = spread[0][0] * width * width + _STIFFNESS
    yy = spread[1][1] * height * height + _STIFFNESS
    xy = spread[0][1] * width * height
    determinant = xx * yy - xy * xy
    centre = [(total / count + 0.5) * side / 256 for total, side in zip(sums, sides, strict=True)]
    columns, shift = [], []
    for axis, to_side in enumerate((to_width, to_height)):
        along_x = spread[0][2 + axis] * width * to_side + _STIFFNESS * scale * (axis == 0)
        along_y = spread[1][2 + axis] * height * to_side + _STIFFNESS * scale * (axis == 1)
        by_x, by_y = (yy * along_x - xy * along_y) / determinant, (xx * along_y - xy * along_x) / determinant
        columns.append((by_x, by_y))
        shift.append(centre[2 + axis] - (centre[0] * by_x + centre[1] * by_y))
    fitted = CommonMap(np.array(columns).T, np.array(shift))
    return fitted if fitted.area > 0.05 * scale * scale else None


def _is_an_edit(fitted: CommonMap) -> bool:
    """Return whether the map is no mirror image, no turn by more than 45 degrees, and squeezes little."""
    (a, b), (c, d) = fitted.turn.tolist()
    # Of the two singular values: their product is the area, the sum of their squares that of all four numbers.
    squares, area = a * a + b * b + c * c + d * d, fitted.area
    return bool(a > 0 and d > 0 and squares <= area * (_MOST_SQUEEZED + 1 / _MOST_SQUEEZED))


def from_whole(maps: NDArray[np.float64], part: Box) -> NDArray[np.float64]:
    """Return the maps from an image, float64 (n, 2, 3), of those from a part of it; all in shares of their frames."""
    left, top, right, bottom = part
    linear = maps[:, :, :2] / (right - left, bottom - top)
    return np.concatenate([linear, maps[:, :, 2:] - linear @ np.array([[left], [top]])], axis=2)
