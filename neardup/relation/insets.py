"""Insets: where in an image other pictures lie, by the long straight edges that bound them.

A screenshot with its bars, a page with a photo, a collage: a descriptor sees each as a whole, which lies far from the
picture inside. The inset itself lies near it. A photo mostly has no such edges, and then nothing else is described.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neardup.types import Box, Pixels

MOST_INSETS = 8
"""A collage of four has its four tiles, and the four halves that two of these make."""
SMALLEST_SHARE = 0.25
"""Share of the image's side that each side of an inset has at least: of a smaller one too few pixels are left."""
_SIDE_PX = 128
"""The working size: as many pixels as a square of this side has, whatever the shape."""
_SLENDEREST = 3.5
"""More slender images are squeezed to this ratio of sides, so that a side can be counted in eight bits."""
_STEP_GREY_LEVELS = 6
"""Least step across an edge: a picture before its own blur has little more, noise and JPEG mostly less."""
_TIMES_CALMER = 3
"""What lies beside an edge is calm where steps are so many times smaller: paper, a dark screen, a blur."""
_LINE_SHARE = 0.25
"""Share of a side's length over which a line is looked for before rectangles are made of lines."""
_EDGE_SHARE = 0.55
"""Least share of each side of an inset that is an edge. In photos chance makes lines of a third."""
_MEAN_EDGE_SHARE = 0.65
"""Least share of all sides together, but for those at the image's own."""
_CHANCE_SHARE = 0.5
"""Edges beyond this share of a side speak for it."""
_MOST_LINES = 6
"""Lines each way that rectangles are made of, beside the image's own sides."""
_APART_PX = 3
"""The two sides of a thin line count as one."""
_LARGEST_OVERLAP = 0.6
"""Of two insets that have more than this of their union in common, the better is taken: the descriptor trims bars, and
knows a picture in a thin frame."""
_SMALLEST_AREA, _LARGEST_AREA = 0.1, 0.85
"""Shares of the image: what is nearly all of it lies near it."""

_STEPS = tuple(1 << bit for bit in range(8))
"""No side of the working size has more pixels than these add up to."""

_Plane = NDArray[np.uint8]
_Counts = NDArray[np.uint8]
_Ints = NDArray[np.intp]


class _Lines(NamedTuple):
    """Lines across an image, and the image's own two sides.

    `at` is intp (k,), ascending: before which pixel each lies. `edges` is uint8 (length + 1, k): how many of the pixels
    before each place along it are an edge. `whole` is the number of pixels across.
    """

    at: _Ints
    edges: _Counts
    whole: int


class _Rectangles(NamedTuple):
    """Rectangles as intp (n,) sides, in pixels, and float64 (n,) how much speaks for each."""

    left: _Ints
    top: _Ints
    right: _Ints
    bottom: _Ints
    worth: NDArray[np.float64]


def insets(pixels: Pixels) -> tuple[Box, ...]:
    """Return where other pictures lie in an image, the likeliest first: up to `MOST_INSETS`, in most photos none.

    Each is a rectangle whose sides are edges over most of their length, or the image's own: so a line across the whole
    image makes two. Nothing but the pixels decides, in whole numbers and their ratios.

    Parameters
    ----------
    pixels
        uint8 (height, width, 3), RGB.
    """
    plane = _sampled(pixels)
    down, across = _lines(np.ascontiguousarray(plane.T)), _lines(plane)
    if not len(down.at) + len(across.at):
        return ()
    found = _likely(_with_sides(down), _with_sides(across))
    height, width = plane.shape
    boxes: list[tuple[int, int, int, int]] = []
    for number in np.lexsort((found.top, found.left, -found.worth)).tolist():
        box = (int(found.left[number]), int(found.top[number]), int(found.right[number]), int(found.bottom[number]))
        if all(_overlap(box, other) < _LARGEST_OVERLAP for other in boxes):
            boxes.append(box)
            if len(boxes) == MOST_INSETS:
                break
    return tuple((left / width, top / height, right / width, bottom / height) for left, top, right, bottom in boxes)


def cropped(pixels: Pixels, part: Box) -> Pixels:
    """Return the part of uint8 (height, width, 3) pixels, at least one pixel; a view."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = part
    rows = slice(min(math.floor(top * height), height - 1), math.ceil(bottom * height))
    columns = slice(min(math.floor(left * width), width - 1), math.ceil(right * width))
    return pixels[rows, columns]


def _sampled(pixels: Pixels) -> _Plane:
    """Return the green of single pixels at the working size: their means would take longer than all the rest."""
    height, width = pixels.shape[:2]
    ratio = min(max(width / height, 1 / _SLENDEREST), _SLENDEREST) ** 0.5
    rows, columns = (
        (2 * np.arange(count) + 1) * length // (2 * count)
        for count, length in ((round(_SIDE_PX / ratio), height), (round(_SIDE_PX * ratio), width))
    )
    return np.asarray(pixels[rows, :, 1].take(columns, axis=1))


# -- lines ------------------------------------------------------------------------------------------------------------


def _lines(plane: _Plane) -> _Lines:
    """Return the lines between rows of a plane that look most like edges of a picture."""
    count, length = plane.shape
    # Of each line, along it; transposed, since sums down the columns are fast.
    edges = np.zeros((length + 1, count), dtype=np.uint8)
    edges[1:, 1 : count - 1] = _edges(plane).T
    # Added up by doubling, all lines at once: numpy's own sums take twice as long, pixel after pixel.
    for step in _STEPS:
        edges[step:] += edges[:-step]
    window = math.ceil(_LINE_SHARE * length)
    most = (edges[window:] - edges[:-window]).max(axis=0)
    taken: list[int] = []
    # A sharp edge between two rows is a step across either, and begins at the second.
    candidates = np.flatnonzero(most >= _EDGE_SHARE * window)[::-1]
    strength = most[candidates] * np.intp(length + 1) + edges[-1, candidates]
    for place in candidates[np.argsort(-strength, kind="stable")].tolist():
        if all(abs(place - other) >= _APART_PX for other in taken):
            taken.append(place)
            if len(taken) == _MOST_LINES:
                break
    at = np.array(sorted(taken), dtype=np.intp)
    return _Lines(at, edges[:, at], count)


def _edges(plane: _Plane) -> NDArray[np.bool_]:
    """Return where the plane steps from one row to the next but one, bool (n - 2, m): more than it does nearby.

    Steps next to it do not count, since a step is smeared over two. It has to be the largest of those two and three
    rows away, or, where one side is calm, at least half of the largest on the other: a weak edge between paper and a
    picture full of detail is one, too.
    """
    step = np.maximum(plane[2:], plane[:-2]) - np.minimum(plane[2:], plane[:-2])
    before, after = np.zeros_like(step), np.zeros_like(step)
    larger = np.maximum(step[1:], step[:-1])
    before[3:], after[:-3] = larger[:-2], larger[2:]
    stronger, calmer = np.maximum(before, after), np.minimum(before, after)
    found = step >= stronger
    found |= (step // _TIMES_CALMER >= calmer) & (step >= stronger >> 1)
    found &= step > _STEP_GREY_LEVELS
    found[:_APART_PX] = found[-_APART_PX:] = False  # nothing beyond them is known
    return np.asarray(found)


def _with_sides(lines: _Lines) -> _Lines:
    """Return the lines and the image's own two sides, which are edges all along."""
    full = np.arange(len(lines.edges), dtype=np.uint8)[:, np.newaxis]
    at = np.concatenate([[0], lines.at, [lines.whole]])
    return _Lines(at, np.concatenate([full, lines.edges, full], axis=1), lines.whole)


# -- rectangles -------------------------------------------------------------------------------------------------------


def _likely(down: _Lines, across: _Lines) -> _Rectangles:
    """Return the rectangles between lines down and lines across whose sides are edges."""
    left, right = _pairs(down)
    top, bottom = _pairs(across)
    wide = (down.at[right] - down.at[left]).astype(np.float64)[:, np.newaxis]
    high = (across.at[bottom] - across.at[top]).astype(np.float64)
    upright = [_along(down, which, across.at[top], across.at[bottom]) for which in (left, right)]
    level = [_along(across, which, down.at[left], down.at[right]).T for which in (top, bottom)]
    least = np.minimum(np.minimum(*upright) / high, np.minimum(*level) / wide)
    # The image's own sides are edges all along, but speak for nothing.
    own_down = [(which == end)[:, np.newaxis] for which, end in ((left, 0), (right, len(down.at) - 1))]
    own_across = [which == end for which, end in ((top, 0), (bottom, len(across.at) - 1))]
    edges, length = np.zeros(least.shape), np.zeros(least.shape)
    for counts, own, side in zip(upright + level, own_down + own_across, (high, high, wide, wide), strict=True):
        edges += np.where(own, 0.0, counts)
        length += np.where(own, 0.0, side)
    area = wide * high / (down.whole * across.whole)
    fits = (least >= _EDGE_SHARE) & (edges >= _MEAN_EDGE_SHARE * length) & (length > 0)
    fits &= (area >= _SMALLEST_AREA) & (area <= _LARGEST_AREA)
    i, j = np.nonzero(fits)
    worth = (edges - _CHANCE_SHARE * length)[i, j] / np.sqrt(area[i, j])
    return _Rectangles(down.at[left[i]], across.at[top[j]], down.at[right[i]], across.at[bottom[j]], worth)


def _pairs(lines: _Lines) -> tuple[_Ints, _Ints]:
    """Return the pairs of lines, first and second, that lie far enough apart."""
    first, second = np.triu_indices(len(lines.at), 1)
    far = lines.at[second] - lines.at[first] >= SMALLEST_SHARE * lines.whole
    return first[far], second[far]


def _along(lines: _Lines, which: _Ints, start: _Ints, end: _Ints) -> NDArray[np.float64]:
    """Return how many pixels of each of p lines are edges between each of q starts and ends, float64 (p, q)."""
    return (lines.edges[end][:, which] - lines.edges[start][:, which]).T.astype(np.float64)


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Return how much of their union two rectangles have in common."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    both = max(wide, 0) * max(high, 0)
    return both / (_area(one) + _area(other) - both)


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
