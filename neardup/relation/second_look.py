"""The second look: whether two images that are near each other show the same, point by point.

A descriptor sees a picture as a whole, so pages of one layout, cards of one kind and garments on white lie near one
another. What tells them apart is small: a name, a digit, a seam. So the points of a picture that stand out are kept,
with what each looks like from close by, and two pictures are compared in three steps:

1. Points that look alike are paired, and the pairs that agree on one scale and one shift are found. Strangers end here.
2. An affine map is fitted to these: it says how the later picture was cropped, scaled, squeezed or turned a little.
3. The agreement is the share of the earlier picture's points, of those that the later one shows, that are found again
   where the map puts them. What is stuck on, cut away or covered costs its points; another text costs nearly all.

How much agreement is needed is another matter (`needed_agreement`): half of the points of a photo are plenty, but half
of those of a drawn page are its lines and headings. A mirrored or turned picture does not agree with its original; what
is asked for that way is compared by a look of its own (`transformed_look`).

The numbers kept are integers, all sums are of integers, and the rest is done number by number: the same on every
machine, whatever else is in the batch. docs/second-look.md says how it was chosen, and what it misses.

Source: votes for a common map are Lowe's (IJCV 2004). What is kept of each picture is in `neardup.relation.look`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.errors import Misconfigured
from neardup.relation.look import (
    COEFFICIENTS,
    COLOUR,
    COUNT,
    GREY,
    HEAD_BYTES,
    HEIGHT,
    LEVEL,
    LEVELS,
    LOOK_BYTES,
    PLACE,
    PLAINNESS,
    POINT_BYTES,
    STEP,
    STORED_LOOK_BYTES,
    STORED_POINTS,
    WIDTH,
    code_numbers,
    transformed_look,
)

VERSION = 1
"""Changes whenever the bytes of a look, or what is computed from them, would."""
_NORM = 100
"""Of a code, when it is compared: its numbers are rounded to integers."""
_ALIKE = 0.8 * _NORM**2
"""Least product of the codes of two points that are paired: a cosine of 0.8."""
_FOUND = 0.75 * _NORM**2
"""The same, where the map says that the two belong together."""
_TOLERANCE_PX = 4.0
_FIRST_SLACK = 0.12
"""Of the distance between two points: how far a map that turns or squeezes moves one, seen from the other."""
_FITTED_PX = 2.0
_STIFFNESS = 40.0
"""How much a map is held to the scale that its pairs tell: the more pairs, the less it matters."""
_LEAST_PAIRS = 6
"""Fewer pairs of points say nothing: strangers have as many by chance."""
_LEAST_AGREED = 5
"""Likewise of those that agree on a map."""
_LEAST_FOUND = 7
"""Likewise of the earlier image's points that are found where the map puts them."""
_MOST_SQUEEZED = 1.7
_FEWEST_POINTS = 8
"""With fewer than that, a picture is blank: there is nothing to compare."""
_BLANK_L2 = 0.5
"""Blank pictures within that are the same."""
_PLAIN_ENOUGH = 0.5
_MORE_IF_PLAIN = 4 / 3
"""A picture of which half or more is plain needs 7/3 of the agreement."""
_AS_FAR_AS_L2 = 0.4
_LESS_IF_NEAR = 0.3
"""From that distance on all of the agreement is needed, and with descriptors that are equal so much less."""
_SURE = 0.8
"""With that much agreement, nobody asks whether a mirrored or turned picture would agree better."""
NEVER = 2.0
"""A needed agreement that no pair has."""
DEFAULT_AGREEMENT = 0.3
"""What ``--agreement auto`` stands for."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Looks:
    """What a second look at pairs of images finds, a row for each pair.

    Attributes
    ----------
    agreement
        float64 (n,), in [0, 1]: the share of the earlier image's points within the common part that the later one shows
        in their place; 0 where no common part is found, or nothing can be compared.
    needed
        float64 (n,): how much of it the pair needs to be a duplicate; `NEVER` where none is enough.
    maps
        float64 (n, 2, 3): the affine map from the later image to the earlier one, x and y from 0 to 1 in both, from the
        top left; zeros where no common part is found.
    brightness
        float64 (n,), in grey levels: by how much the common part is brighter in the later image.
    contrast
        float64 (n,): the ratio of the later image's contrast to the earlier one's.
    colour
        float64 (n, 2): by how much the common part is bluer (Cb) and redder (Cr) in the later image, in levels of 256.
    """

    agreement: _Floats
    needed: _Floats
    maps: _Floats
    brightness: _Floats
    contrast: _Floats
    colour: _Floats

    @classmethod
    def of_nothing(cls, count: int) -> "Looks":
        """Return rows of what is not a number, to be filled in."""
        shapes = ((), (), (2, 3), (), (), (2,))
        return cls(*(np.full((count, *shape), np.nan) for shape in shapes))


@dataclass(frozen=True, slots=True)
class _Look:
    """A look, read: places in working pixels."""

    places: _Floats
    steps: NDArray[np.int64]
    levels: NDArray[np.int64]
    size: _Floats
    rows: NDArray[np.uint8]


def looks(
    one: NDArray[np.uint8],
    many: NDArray[np.uint8],
    l2: _Floats,
    least: float,
    not_asked_for: Sequence[tuple[bool, int]] = (),
) -> Looks:
    """Compare the look of a later image with those of many earlier ones.

    Parameters
    ----------
    one
        uint8 (LOOK_BYTES,) or (STORED_LOOK_BYTES,), of the later image.
    many
        uint8 (n, LOOK_BYTES) or (n, STORED_LOOK_BYTES), of the earlier ones: what is stored of them counts.
    l2
        float64 (n,): the distance of each pair's descriptors.
    least
        Agreement that photos need; see `needed_agreement`.
    not_asked_for
        What a duplicate may not have been done to it: (mirrored, counter-clockwise quarter turns). A pair that agrees
        better after one of these is none, however near it is.

    Raises
    ------
    Misconfigured
        The looks have another size or type: they were made by another version.
    """
    _check(one, 1, "a look")
    _check(many, 2, "looks")
    found = _agreements(one, many)
    blank = np.minimum(one[COUNT], many[:, COUNT]) < _FEWEST_POINTS
    found.needed[:] = np.where(
        blank, np.where(l2 <= _BLANK_L2, 0.0, NEVER), needed_agreement(least, many[:, PLAINNESS] / 255, l2)
    )
    for pair in np.flatnonzero((found.agreement >= found.needed) & (found.agreement < _SURE) & ~blank).tolist():
        others = (transformed_look(one, mirror=mirror, turns=turns) for mirror, turns in not_asked_for)
        if any(_agreements(each, many[pair : pair + 1]).agreement[0] > found.agreement[pair] for each in others):
            found.needed[pair] = NEVER
    return found


def needed_agreement(least: float, plainness: _Floats, l2: _Floats) -> _Floats:
    """Return how much agreement pairs need to be duplicates.

    What two plain pictures have in common is often their layout, so they need more, and pictures whose descriptors are
    next to equal need less: hardly anything but a copy is as near as that.

    Parameters
    ----------
    least
        Of a picture without plain parts.
    plainness
        float64 (n,), in [0, 1]: how much of the earlier picture is plain.
    l2
        float64 (n,): distances of descriptors.
    """
    plain = np.minimum(plainness / _PLAIN_ENOUGH, 1.0)
    near = np.maximum(1 - l2 / _AS_FAR_AS_L2, 0.0)
    return np.asarray(least * (1 + _MORE_IF_PLAIN * plain) * (1 - _LESS_IF_NEAR * near))


def _agreements(one: NDArray[np.uint8], many: NDArray[np.uint8]) -> Looks:
    found = Looks.of_nothing(len(many))
    found.contrast[:] = 1.0
    for numbers in (found.agreement, found.maps, found.brightness, found.colour):
        numbers[:] = 0.0
    for start in range(0, len(many), _TOGETHER):
        _compare(one, many[start : start + _TOGETHER], found, start)
    return found


_TOGETHER = 16
"""Pairs compared at a time: what is made of them stays in the processor's cache."""


def _check(looked: NDArray[np.uint8], dimensions: int, what: str) -> None:
    if looked.ndim != dimensions or looked.dtype != np.uint8 or looked.shape[-1] not in {LOOK_BYTES, STORED_LOOK_BYTES}:
        raise Misconfigured(
            f"{what} of {looked.dtype} {looked.shape}, {STORED_LOOK_BYTES} or {LOOK_BYTES} bytes each are needed: the "
            "index was filled by another version; bootstrap it again"
        )


def _compare(one: NDArray[np.uint8], many: NDArray[np.uint8], found: Looks, start: int) -> None:
    ours = one[HEAD_BYTES:].reshape(-1, POINT_BYTES)[: int(one[COUNT])]
    theirs = many[:, HEAD_BYTES:STORED_LOOK_BYTES].reshape(len(many), STORED_POINTS, POINT_BYTES)
    if not len(ours):
        return
    # Integers, which the product holds exactly; a point that is none has a code of zeros, and is like no other.
    codes, their_codes = _evened(code_numbers(ours)), _evened(code_numbers(theirs))
    likeness = (their_codes.reshape(-1, COEFFICIENTS) @ codes.T).reshape(len(many), STORED_POINTS, len(ours))
    nearest = likeness.argmax(axis=2)
    most = np.take_along_axis(likeness, nearest[..., None], axis=2)[..., 0]
    alike = most >= _ALIKE
    mutual = most == np.take_along_axis(likeness.max(axis=1), nearest, axis=1)
    paired = alike & mutual
    later = _read(one[:HEAD_BYTES], ours)
    for row in np.flatnonzero(paired.sum(axis=1) >= _LEAST_PAIRS).tolist():
        earlier = _read(many[row, :HEAD_BYTES], theirs[row, : int(many[row, COUNT])])
        pairs = np.flatnonzero(paired[row])
        fitted = _fitted(later, earlier, nearest[row, pairs], pairs)
        if fitted is not None:
            _measure(later, earlier, likeness[row], fitted, found, start + row)


def _evened(numbers: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return the numbers scaled to one norm and rounded to integers."""
    plane = numbers.astype(np.float32)
    norms = np.sqrt(np.maximum(np.square(plane).sum(axis=-1, keepdims=True), 1))
    return np.asarray(np.rint(plane * (_NORM / norms)), dtype=np.float32)


def _read(head: NDArray[np.uint8], rows: NDArray[np.uint8]) -> _Look:
    size = 2 * head[[WIDTH, HEIGHT]].astype(np.float64)
    places = rows[:, PLACE].astype(np.int64)
    return _Look((places + 0.5) * size / 256, places, rows[:, LEVEL].astype(np.int64), size, rows)


@dataclass(frozen=True, slots=True)
class _Map:
    """An affine map of working pixels, from the later image to the earlier: x, y -> (x, y) @ turn + shift."""

    turn: _Floats
    shift: _Floats

    def __call__(self, places: _Floats) -> _Floats:
        x, y = places[:, :1], places[:, 1:]
        return np.asarray(x * self.turn[0] + y * self.turn[1] + self.shift)

    @property
    def area(self) -> float:
        """How much larger things are in the earlier image."""
        return float(self.turn[0, 0] * self.turn[1, 1] - self.turn[0, 1] * self.turn[1, 0])

    def inverse(self) -> "_Map":
        """Return the map back."""
        (a, b), (c, d) = self.turn
        turn = np.array([[d, -b], [-c, a]]) / self.area
        x, y = self.shift
        return _Map(turn, -(x * turn[0] + y * turn[1]))


def _fitted(later: _Look, earlier: _Look, ours: NDArray[np.intp], theirs: NDArray[np.intp]) -> _Map | None:
    """Return the map that most pairs of points agree on; None where too few do, or it is none that an edit makes."""
    (x, y), (to_x, to_y) = later.places[ours].T, earlier.places[theirs].T
    steps = earlier.levels[theirs] - later.levels[ours]
    scales = _SCALES[steps]
    right, down = (np.subtract.outer(at, at) * -scales[:, None] for at in (x, y))
    errors = np.maximum(np.abs(right + np.subtract.outer(to_x, to_x)), np.abs(down + np.subtract.outer(to_y, to_y)))
    slack = (_TOLERANCE_PX + _FIRST_SLACK * np.maximum(np.abs(right), np.abs(down))) * np.maximum(scales, 1)[:, None]
    votes = (errors < slack) & (np.abs(np.subtract.outer(steps, steps)) <= 1)
    agreed = votes[votes.sum(axis=1).argmax()]
    fitted = None
    scale = float(_SCALES[steps[agreed]].sum() / agreed.sum())
    for _ in range(3):
        if agreed.sum() < _LEAST_AGREED:
            return None
        fitted = _least_squares(later, earlier, ours[agreed], theirs[agreed], scale)
        if fitted is None:
            return None
        away = np.abs(fitted(later.places[ours]) - earlier.places[theirs])
        agreed = np.maximum(away[:, 0], away[:, 1]) < _FITTED_PX * max(scale, 1)
    return fitted if fitted is not None and agreed.sum() >= _LEAST_AGREED and _is_an_edit(fitted) else None


_SCALES = STEP ** np.concatenate([np.arange(LEVELS), np.arange(1 - LEVELS, 0)])
"""By how many levels the earlier image's point lies above the later one's; a negative number counts from the end."""


def _least_squares(
    later: _Look, earlier: _Look, ours: NDArray[np.intp], theirs: NDArray[np.intp], scale: float
) -> _Map | None:
    """Return the affine map nearest to these pairs and, by a little, to the scale."""
    count = len(ours)
    both = np.concatenate([later.steps[ours], earlier.steps[theirs]], axis=1)
    sums = both.sum(axis=0)
    # Integers, times the count so that means need no division: the same in whatever order they are added.
    spread = (count * (both.T @ both) - np.outer(sums, sums)) / count
    (width, height), (to_width, to_height) = later.size / 256, earlier.size / 256
    xx = spread[0, 0] * width * width + _STIFFNESS
    yy = spread[1, 1] * height * height + _STIFFNESS
    xy = spread[0, 1] * width * height
    determinant = xx * yy - xy * xy
    turn = np.empty((2, 2))
    for axis, to_side in enumerate((to_width, to_height)):
        along_x = spread[0, 2 + axis] * width * to_side + _STIFFNESS * scale * (axis == 0)
        along_y = spread[1, 2 + axis] * height * to_side + _STIFFNESS * scale * (axis == 1)
        turn[0, axis] = (yy * along_x - xy * along_y) / determinant
        turn[1, axis] = (xx * along_y - xy * along_x) / determinant
    centre, to_centre = (sums[:2] / count + 0.5) * later.size / 256, (sums[2:] / count + 0.5) * earlier.size / 256
    fitted = _Map(turn, to_centre - (centre[0] * turn[0] + centre[1] * turn[1]))
    return fitted if fitted.area > 0.05 * scale * scale else None


def _is_an_edit(fitted: _Map) -> bool:
    """Return whether the map is no mirror image, no turn by more than 45 degrees, and squeezes little."""
    (a, b), (c, d) = fitted.turn
    # Of the two singular values: their product is the area, the sum of their squares that of all four numbers.
    squares, area = a * a + b * b + c * c + d * d, fitted.area
    return bool(a > 0 and d > 0 and squares <= area * (_MOST_SQUEEZED + 1 / _MOST_SQUEEZED))


def _measure(  # noqa: PLR0917 - two looks, what is known of the pair, and where it is written down
    later: _Look, earlier: _Look, likeness: NDArray[np.float32], fitted: _Map, found: Looks, row: int
) -> None:
    """Write down how far two looks agree under a map."""
    back = fitted.inverse()
    places = back(earlier.places)
    # A point's level in the later image; half a level is a factor of 2 ** 0.5 in area, which needs no logarithm.
    levels = earlier.levels + int(np.searchsorted(_HALF_LEVELS, back.area)) - LEVELS
    visible = (places > 1).all(axis=1) & (places < later.size - 1).all(axis=1) & (levels >= 0) & (levels < LEVELS)
    if not visible.any():
        return
    away = np.maximum(*(np.abs(np.subtract.outer(places[:, axis], later.places[:, axis])) for axis in (0, 1)))
    reach = _FITTED_PX * max(back.area, 1.0) ** 0.5
    in_place = (away < reach) & (np.abs(np.subtract.outer(levels, later.levels)) <= 1)
    likeness = np.where(in_place, likeness[: len(places)], -1)
    best = likeness.argmax(axis=1)
    hits = np.flatnonzero(visible & (likeness[np.arange(len(best)), best] > _FOUND))
    if len(hits) < _LEAST_FOUND:
        return
    found.agreement[row] = len(hits) / visible.sum()
    shares = fitted.turn * later.size[:, None] / earlier.size
    found.maps[row] = np.column_stack([shares.T, fitted.shift / earlier.size])
    ours, theirs = later.rows[best[hits]].astype(np.int64), earlier.rows[hits].astype(np.int64)
    count = len(hits)
    grey, their_grey = ours[:, GREY], theirs[:, GREY]
    found.brightness[row] = (grey.sum() - their_grey.sum()) / count
    power, their_power = (float(count * (each * each).sum() - each.sum() ** 2 + count) for each in (grey, their_grey))
    found.contrast[row] = (power / their_power) ** 0.5
    for axis, shift in enumerate((4, 0)):
        difference = (ours[:, COLOUR] >> shift & 15) - (theirs[:, COLOUR] >> shift & 15)
        found.colour[row, axis] = 16 * difference.sum() / count


_HALF_LEVELS = 2.0 ** (np.arange(-LEVELS, LEVELS) + 0.5)
"""Areas at which a point of one image lies nearer to the next level of the other."""
