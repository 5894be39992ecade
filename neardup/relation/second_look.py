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

Sources: points that stand out in scale and place, and votes for a common map, are Lowe's (IJCV 2004); a patch by its
lowest cosine frequencies is what perceptual hashes keep of a whole picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neardup.errors import Misconfigured
from neardup.types import Pixels

VERSION = 1
"""Changes whenever the bytes of a look, or what is computed from them, would."""

POINTS = 128
"""Points kept of an image that arrives."""
STORED_POINTS = 64
"""Points kept of a member: the first of them."""
_COEFFICIENTS = 20
_PLACE, _LEVEL, _GREY, _COLOUR, _CODE = slice(0, 2), 2, 3, 4, slice(5, 15)
_POINT_BYTES = 15
"""x, y, level, grey level, colour (4 bits each of Cb and Cr), and the code: 20 numbers of 4 bits."""
_HEAD_BYTES = 4
"""Width and height in half pixels of the working size, how plain the picture is, number of points."""
_WIDTH, _HEIGHT, _PLAINNESS, _COUNT = range(_HEAD_BYTES)

LOOK_BYTES: int = _HEAD_BYTES + POINTS * _POINT_BYTES
"""Size of the look of an image that arrives."""
STORED_LOOK_BYTES: int = _HEAD_BYTES + STORED_POINTS * _POINT_BYTES
"""Size of what is stored of it."""

_SIDE_PX = 128
"""The working size: as many pixels as a square of this side has, whatever the shape."""
_SLENDEREST = 5.0
"""More slender pictures are squeezed to this ratio of sides."""
NEEDED_PX: int = _SIDE_PX
"""Sides that an image should keep before its look is taken."""

_LEVELS = 6
_STEP = 2**0.5
"""Ratio of sizes from one level to the next."""
_SHARES = (0.30, 0.25, 0.20, 0.14, 0.08, 0.03)
"""Share of the points that each level may have: coarse ones are few, but survive blur and small copies."""
_SMOOTH = 64
"""Of a smoothed plane: so many times the grey levels."""
_FAINTEST = 2
"""Grey levels by which a point must stand out from its surroundings."""
_MOST_CURVED = 5**2 / 4
"""Square of the sum of a point's two curvatures by their product: one is at most four times the other."""
_NEIGHBOURHOOD_PX = 16
"""Points nearer than this make one another less wanted: a picture's points should not all be in one corner of it."""
_PATCH = 8
_CODE_SCALE = 14.0
"""Codes have unit norm before they are rounded: a number above 0.5 is cut."""
_PLAIN_TILE_PX = 8
_PLAIN_RANGE = 10
"""A tile whose grey levels differ by less is plain."""

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
_FIRST_POINTS, _FIRST_STORED_POINTS = 64, 32
_LEAST_FIRST_PAIRS = 4
"""A first comparison is of so many of the strongest points; with fewer pairs among them there is no second."""
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


def _basis() -> NDArray[np.float32]:
    """Return the lowest cosine frequencies of a patch without its mean, float32 (64, 20)."""
    at = np.arange(_PATCH)
    waves = np.cos(np.pi * (at[None] + 0.5) * at[:, None] / _PATCH) * np.sqrt(2 / _PATCH)
    waves[0] /= np.sqrt(2)
    return np.stack([np.outer(waves[v], waves[u]).ravel() for v, u in _FREQUENCIES], axis=1).astype(np.float32)


_HIGHEST = 5
_FREQUENCIES = [(v, u) for v in range(_PATCH) for u in range(_PATCH) if 0 < v + u <= _HIGHEST]
"""Up and down, across."""
_BASIS = _basis()
_GRID = np.arange(1 - _PATCH, _PATCH + 1, 2)
"""Where a patch is sampled, in pixels of the level: every other one."""

_UP_TO = np.tri(3 * (POINTS + 1), dtype=np.bool_)

_Floats = NDArray[np.float64]
_Plane = NDArray[np.int16]


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


# -- taking a look ----------------------------------------------------------------------------------------------------


def look_of(pixels: Pixels) -> NDArray[np.uint8]:
    """Return the look of an image, uint8 (LOOK_BYTES,), from uint8 (height, width, 3) RGB pixels."""
    image = Image.fromarray(pixels)
    width, height = _working_size(image.width, image.height)
    grey = image.convert("L").resize((width, height), Image.Resampling.BILINEAR)
    found = [_points_of(grey, level) for level in range(_LEVELS)]
    order = np.argsort(np.concatenate([points.rank for points in found]), kind="stable")[:POINTS]
    places = np.concatenate([points.places for points in found])[order]
    patches = np.concatenate([points.patches for points in found])[order].astype(np.float32)
    rows = np.zeros((POINTS, _POINT_BYTES), dtype=np.uint8)
    rows[: len(order), _PLACE] = places
    rows[: len(order), _LEVEL] = np.repeat(np.arange(_LEVELS), [len(points.rank) for points in found])[order]
    rows[: len(order), _GREY] = patches.mean(axis=1) / _SMOOTH
    rows[: len(order), _COLOUR] = _colours(pixels, places)
    rows[: len(order), _CODE] = _codes(patches @ _BASIS)
    head = (width // 2, height // 2, round(255 * _plainness(grey)), len(order))
    return np.concatenate([np.array(head, dtype=np.uint8), rows.reshape(-1)])


@dataclass(frozen=True, slots=True)
class _Points:
    """Points of one level, the most wanted first: by rank, in 256ths of the frame, and what each looks like."""

    rank: _Floats
    places: NDArray[np.uint8]
    patches: _Plane


def _working_size(width: int, height: int) -> tuple[int, int]:
    ratio = min(max(width / height, 1 / _SLENDEREST), _SLENDEREST) ** 0.5
    return round(_SIDE_PX * ratio / 2) * 2, round(_SIDE_PX / ratio / 2) * 2


def _points_of(grey: Image.Image, level: int) -> _Points:
    scale = _STEP**-level
    width, height = max(12, round(grey.width * scale)), max(12, round(grey.height * scale))
    plane = np.array(grey.resize((width, height), Image.Resampling.BILINEAR) if level else grey).astype(np.int16)
    # All times 4 and then 64 times the grey levels: as fine as int16 holds, and twice as fast as floats.
    fine = _blurred(plane) >> 2
    coarse = _blurred(_blurred(fine) >> 4)
    signed = (fine << 4) - coarse
    strength = np.abs(signed)
    standing_out = (strength >= _highest_around(strength)) & (strength > _FAINTEST * _SMOOTH)
    rows, columns = _off_edges(signed, np.flatnonzero(standing_out))
    most = round(POINTS * _SHARES[level]) + 1
    strongest = np.argsort(-strength[rows, columns], kind="stable")[: 3 * most]
    rows, columns = rows[strongest], columns[strongest]
    power = np.square(strength[rows, columns].astype(np.int32))
    wanted = np.argsort(-power / _crowds(rows, columns), kind="stable")[:most]
    rows, columns = rows[wanted], columns[wanted]
    down = np.clip(rows[:, None] + _GRID, 0, height - 1)
    across = np.clip(columns[:, None] + _GRID, 0, width - 1)
    return _Points(
        rank=np.asarray((np.arange(len(rows)) + 0.5) / _SHARES[level], dtype=np.float64),
        places=np.stack([(columns * 2 + 1) * 128 // width, (rows * 2 + 1) * 128 // height], axis=1).astype(np.uint8),
        patches=coarse[down[:, :, None], across[:, None]].reshape(len(rows), _PATCH**2),
    )


def _off_edges(plane: _Plane, at: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of those points that do not lie along an edge, where a point could be anywhere.

    Along an edge the plane is curved one way much more than the other (Lowe 2004, section 4.1).
    """
    height, width = plane.shape
    rows, columns = np.divmod(at, width)
    inner = (rows > 0) & (rows < height - 1) & (columns > 0) & (columns < width - 1)
    at, rows, columns = at[inner], rows[inner], columns[inner]
    flat = plane.reshape(-1).astype(np.int32)
    here = 2 * flat[at]
    down, across = flat[at - width] + flat[at + width] - here, flat[at - 1] + flat[at + 1] - here
    both = (flat[at + width + 1] + flat[at - width - 1] - flat[at + width - 1] - flat[at - width + 1]) / 4
    pointed = np.square(down + across, dtype=np.float64) < _MOST_CURVED * (down * across - both * both)
    return rows[pointed], columns[pointed]


def _crowds(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return how many points there are in each one's neighbourhood, of those up to it."""
    down, across = rows.astype(np.int16), columns.astype(np.int16)
    near = np.abs(down[:, None] - down) < _NEIGHBOURHOOD_PX
    near &= np.abs(across[:, None] - across) < _NEIGHBOURHOOD_PX
    return np.asarray((near & _UP_TO[: len(down), : len(down)]).sum(axis=1))


def _blurred(plane: _Plane) -> _Plane:
    """Return the plane smoothed by 1-2-1 both ways, times 16; the outermost pixels are repeated outwards."""
    for _ in range(2):
        smooth = plane + plane
        smooth[1:] += plane[:-1]
        smooth[:-1] += plane[1:]
        smooth[0] += plane[0]
        smooth[-1] += plane[-1]
        plane = smooth.T
    return plane


def _highest_around(plane: _Plane) -> _Plane:
    """Return the largest of each pixel and its eight neighbours."""
    across = plane.copy()
    np.maximum(across[:, 1:], plane[:, :-1], out=across[:, 1:])
    np.maximum(across[:, :-1], plane[:, 1:], out=across[:, :-1])
    both = across.copy()
    np.maximum(both[1:], across[:-1], out=both[1:])
    np.maximum(both[:-1], across[1:], out=both[:-1])
    return both


def _codes(features: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (n, 20) features as unit vectors of 4 bits a number, two to a byte, uint8 (n, 10)."""
    norms = np.sqrt(np.square(features).sum(axis=1, keepdims=True))
    levels = np.clip(np.rint(features / np.maximum(norms, 1e-6) * _CODE_SCALE), -7, 7).astype(np.int8) + 8
    return np.asarray(levels[:, 0::2] << 4 | levels[:, 1::2], dtype=np.uint8)


def _plainness(grey: Image.Image) -> float:
    """Return the share of tiles with next to nothing in them."""
    tile, plane = _PLAIN_TILE_PX, np.asarray(grey)
    rows, columns = plane.shape[0] // tile, plane.shape[1] // tile
    strips = plane[: rows * tile, : columns * tile].reshape(rows, tile, columns * tile)
    lightest = strips.max(axis=1).reshape(rows, columns, tile).max(axis=2)
    darkest = strips.min(axis=1).reshape(rows, columns, tile).min(axis=2)
    return float((lightest - darkest < _PLAIN_RANGE).mean())


def _colours(pixels: Pixels, places: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return Cb and Cr of the pixel at each place, 4 bits each (ITU-R BT.601)."""
    x, y = places.T.astype(np.int64)
    red, green, blue = pixels[y * pixels.shape[0] >> 8, x * pixels.shape[1] >> 8].T.astype(np.int64)
    cb = 128 * 1000 - 169 * red - 331 * green + 500 * blue
    cr = 128 * 1000 + 500 * red - 419 * green - 81 * blue
    return np.asarray(np.minimum(cb // 16000, 15) << 4 | np.minimum(cr // 16000, 15), dtype=np.uint8)


def transformed_look(look: NDArray[np.uint8], *, mirror: bool, turns: int) -> NDArray[np.uint8]:
    """Return the look of the image mirrored left to right, if at all, then turned counter-clockwise by quarters."""
    head, rows = look[:_HEAD_BYTES].copy(), look[_HEAD_BYTES:].reshape(-1, _POINT_BYTES).copy()
    places, numbers = rows[:, _PLACE].astype(np.int64), _numbers(rows)
    if mirror:
        places[:, 0] = 255 - places[:, 0]
        numbers = numbers * _ODD_ACROSS
    for _ in range(turns % 4):
        places = np.stack([places[:, 1], 255 - places[:, 0]], axis=1)
        numbers = numbers[:, _EXCHANGED] * _ODD_DOWN
        head[[_WIDTH, _HEIGHT]] = head[[_HEIGHT, _WIDTH]]
    taken = np.arange(len(rows)) < head[_COUNT]
    rows[taken, _PLACE] = places[taken]
    levels = numbers.astype(np.int8) + 8
    rows[taken, _CODE] = (levels[:, 0::2] << 4 | levels[:, 1::2])[taken]
    return np.concatenate([head, rows.reshape(-1)])


_ODD_ACROSS = np.array([1 - 2 * (u % 2) for _, u in _FREQUENCIES])
_ODD_DOWN = np.array([1 - 2 * (v % 2) for v, _ in _FREQUENCIES])
_EXCHANGED = np.array([_FREQUENCIES.index((u, v)) for v, u in _FREQUENCIES])


def stored_look(look: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what is stored of a look, uint8 (STORED_LOOK_BYTES,)."""
    stored = look[:STORED_LOOK_BYTES].copy()
    stored[_COUNT] = min(stored[_COUNT], STORED_POINTS)
    return stored


def whole_look(look: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a look as uint8 (LOOK_BYTES,): what is stored of it with no more points than it has."""
    whole = np.zeros(LOOK_BYTES, dtype=np.uint8)
    whole[: len(look)] = look
    return whole


# -- comparing --------------------------------------------------------------------------------------------------------


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
    blank = np.minimum(one[_COUNT], many[:, _COUNT]) < _FEWEST_POINTS
    found.needed[:] = np.where(
        blank, np.where(l2 <= _BLANK_L2, 0.0, NEVER), needed_agreement(least, many[:, _PLAINNESS] / 255, l2)
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
    ours = one[_HEAD_BYTES:].reshape(-1, _POINT_BYTES)[: int(one[_COUNT])]
    theirs = many[:, _HEAD_BYTES:STORED_LOOK_BYTES].reshape(len(many), STORED_POINTS, _POINT_BYTES)
    if not len(ours):
        return
    # Most strangers end after a quarter of the work: the strongest points of both come first.
    first = _paired(_codes_of(ours[:_FIRST_POINTS]), _codes_of(theirs[:, :_FIRST_STORED_POINTS]))
    rows = np.flatnonzero(first.paired.sum(axis=1) >= _LEAST_FIRST_PAIRS)
    if not len(rows):
        return
    pairs = _paired(_codes_of(ours), _codes_of(theirs[rows]))
    later = _read(one[:_HEAD_BYTES], ours)
    for place in np.flatnonzero(pairs.paired.sum(axis=1) >= _LEAST_PAIRS).tolist():
        row = int(rows[place])
        earlier = _read(many[row, :_HEAD_BYTES], theirs[row, : int(many[row, _COUNT])])
        points = np.flatnonzero(pairs.paired[place])
        fitted = _fitted(later, earlier, pairs.nearest[place, points], points)
        if fitted is not None:
            _measure(later, earlier, pairs.likeness[place], fitted, found, start + row)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Points that look alike, for n pictures: which of ours is nearest to each of theirs, and which pairs are mutual.

    `likeness` is float32 (n, theirs, ours), `nearest` intp (n, theirs), `paired` bool (n, theirs).
    """

    likeness: NDArray[np.float32]
    nearest: NDArray[np.intp]
    paired: NDArray[np.bool_]


def _paired(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> _Pairs:
    # Integers, which the product holds exactly; a point that is none has a code of zeros, and is like no other.
    likeness = (theirs.reshape(-1, _COEFFICIENTS) @ ours.T).reshape(*theirs.shape[:2], len(ours))
    nearest = likeness.argmax(axis=2)
    most = np.take_along_axis(likeness, nearest[..., None], axis=2)[..., 0]
    mutual = most == np.take_along_axis(likeness.max(axis=1), nearest, axis=1)
    return _Pairs(likeness, nearest, (most >= _ALIKE) & mutual)


def _codes_of(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    return _evened(_numbers(rows))


def _numbers(rows: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return the codes of points as integers from -7 to 7, int8 (..., 20); zeros for a point that is none."""
    codes = rows[..., _CODE]
    numbers = np.empty((*codes.shape[:-1], _COEFFICIENTS), dtype=np.int8)
    numbers[..., 0::2] = codes >> 4
    numbers[..., 1::2] = codes & 15
    return np.asarray((numbers - 8) * (codes[..., :1] != 0), dtype=np.int8)


def _evened(numbers: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return the numbers scaled to one norm and rounded to integers."""
    plane = numbers.astype(np.float32)
    norms = np.sqrt(np.maximum(np.square(plane).sum(axis=-1, keepdims=True), 1))
    return np.asarray(np.rint(plane * (_NORM / norms)), dtype=np.float32)


def _read(head: NDArray[np.uint8], rows: NDArray[np.uint8]) -> _Look:
    size = 2 * head[[_WIDTH, _HEIGHT]].astype(np.float64)
    places = rows[:, _PLACE].astype(np.int64)
    return _Look((places + 0.5) * size / 256, places, rows[:, _LEVEL].astype(np.int64), size, rows)


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


_SCALES = _STEP ** np.concatenate([np.arange(_LEVELS), np.arange(1 - _LEVELS, 0)])
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
    levels = earlier.levels + int(np.searchsorted(_HALF_LEVELS, back.area)) - _LEVELS
    visible = (places > 1).all(axis=1) & (places < later.size - 1).all(axis=1) & (levels >= 0) & (levels < _LEVELS)
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
    grey, their_grey = ours[:, _GREY], theirs[:, _GREY]
    found.brightness[row] = (grey.sum() - their_grey.sum()) / count
    power, their_power = (float(count * (each * each).sum() - each.sum() ** 2 + count) for each in (grey, their_grey))
    found.contrast[row] = (power / their_power) ** 0.5
    for axis, shift in enumerate((4, 0)):
        difference = (ours[:, _COLOUR] >> shift & 15) - (theirs[:, _COLOUR] >> shift & 15)
        found.colour[row, axis] = 16 * difference.sum() / count


_HALF_LEVELS = 2.0 ** (np.arange(-_LEVELS, _LEVELS) + 0.5)
"""Areas at which a point of one image lies nearer to the next level of the other."""
