"""The points of a picture that stand out from what surrounds them, at several sizes (Lowe, IJCV 2004).

Whole numbers throughout, and floats only where they are exact: the same points on every machine.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neardup.relation.looks.pyramid import Canvas, Places, Plane

POINTS = 128
"""Points kept of an image that arrives."""
LEVELS = 4
STEP = 2**0.5
"""Ratio of sizes from one level to the next."""
_SHARES = (0.34, 0.28, 0.22, 0.16)
"""Share of the points that each level may have: coarse ones are few, but survive blur and small copies."""
SMOOTH = 64
"""Of a smoothed plane: so many times the grey levels."""
_FAINTEST = 2
"""Grey levels by which a point must stand out from its surroundings."""
_MOST_CURVED = 5**2 / 4
"""Square of the sum of a point's two curvatures by their product: one is at most four times the other."""
_NEIGHBOURHOOD_PX = 16
"""Points nearer than this make one another less wanted: a picture's points should not all be in one corner of it."""
_UP_TO = np.tri(3 * (POINTS + 1), dtype=np.bool_).T


def level_sizes(width: int, height: int) -> tuple[tuple[int, int], ...]:
    """Return width and height of each level of a picture of this size, the largest first."""
    scales = [STEP**-level for level in range(LEVELS)]
    return tuple((max(12, round(width * scale)), max(12, round(height * scale))) for scale in scales)


def standing_points(canvas: Canvas, plane: Plane) -> tuple[Places, Plane]:
    """Find the points of a picture that stand out.

    Parameters
    ----------
    canvas
        Where its levels lie.
    plane
        Its grey levels; the borders are overwritten.

    Returns
    -------
    found
        At most `POINTS`, the most wanted first.
    smooth
        The plane smoothed, `SMOOTH` times the grey levels.
    """
    # All times 4 and then 64 times the grey levels: as fine as int16 holds, and twice as fast as floats.
    fine = canvas.blurred(plane, 2)
    smooth = canvas.blurred(canvas.blurred(fine, 4), 0)
    signed = (fine << 4) - smooth
    strength = np.abs(signed)
    at = canvas.highest(strength, _FAINTEST * SMOOTH)
    return _most_wanted(canvas, strength, at[_pointed(canvas, signed, at)]), smooth


def _pointed(canvas: Canvas, plane: Plane, at: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which points do not lie along an edge, where a point could be anywhere.

    Along an edge the plane is curved one way much more than the other (Lowe 2004, section 4.1).
    """
    row = canvas.columns
    steps = np.array([0, -row, row, -1, 1, -row - 1, row + 1, -row + 1, row - 1])
    # Floats hold all of this exactly: whole numbers below 2 ** 40, and sixteenths of them.
    here, above, below, left, right, *corners = plane.take(at + steps[:, None]).astype(np.float64)
    down, across = above + below - 2 * here, left + right - 2 * here
    both = (corners[0] + corners[1] - corners[2] - corners[3]) / 4
    return np.asarray(np.square(down + across) < _MOST_CURVED * (down * across - both * both))


def _most_wanted(canvas: Canvas, strength: Plane, at: NDArray[np.intp]) -> Places:
    """Return the points that are kept, the most wanted first: strong ones of every level, all over the picture."""
    most = [round(POINTS * share) + 1 for share in _SHARES]
    at, counts = _first_of_levels(canvas.levels.take(at), strength.take(at), at, [3 * count for count in most])
    found = canvas.places(at)
    power = np.square(strength.take(at).astype(np.int64))
    # Times 2 ** 15, two fractions with such small divisors still differ when they are cut to whole numbers.
    wanted = (power << 15) // _crowds(found.places, counts)
    order, counts = _first_of_levels(found.levels, wanted, np.arange(len(at)), most)
    rank = np.concatenate([np.arange(0.5, count) / share for count, share in zip(counts, _SHARES, strict=True)])
    return found.take(order[np.argsort(rank, kind="stable")[:POINTS]])


def _first_of_levels(
    levels: NDArray[np.int8], wanted: NDArray[np.integer], numbers: NDArray[np.intp], most: Sequence[int]
) -> tuple[NDArray[np.intp], list[int]]:
    """Return the most wanted of each level, on a tie the smaller number first, and how many of each level they are.

    All is packed into one integer each, with numbers below 2 ** 16: that is sorted several times faster than rows are.
    """
    packed = np.sort((levels.astype(np.int64) << 60) - (wanted.astype(np.int64) << 16) + numbers)
    ends = np.bincount(levels, minlength=LEVELS).cumsum().tolist()
    parts = [packed[start:end][:count] for start, end, count in zip([0, *ends[:-1]], ends, most, strict=True)]
    return np.concatenate(parts) & 0xFFFF, [len(part) for part in parts]


def _crowds(places: NDArray[np.intp], counts: Sequence[int]) -> NDArray[np.intp]:
    """Return how many points there are in each one's neighbourhood, of those up to it; so many are of each level."""
    crowds, start = np.empty(places.shape[1], dtype=np.intp), 0
    places = places.astype(np.uint16)
    for count in counts:
        part = slice(start, start := start + count)
        own = places[:, part]
        # One comparison for either side: what is below zero is a large number here.
        near = (own + (_NEIGHBOURHOOD_PX - 1))[:, :, None] - own[:, None] < 2 * _NEIGHBOURHOOD_PX - 1
        both = near[0] & near[1] & _UP_TO[:count, :count]
        crowds[part] = np.add.reduce(both.view(np.uint8), axis=0, dtype=np.uint16)
    return crowds
