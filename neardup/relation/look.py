"""The look of a picture: its points that stand out, and what each looks like from close by, as whole numbers.

Points that stand out in scale and place are Lowe's (IJCV 2004); a patch by its lowest cosine frequencies is what
perceptual hashes keep of a whole picture. `neardup.relation.second_look` compares two looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neardup.relation.cells import CELLS_BYTES, SQUARE_PX, Plane, cells_of, is_drawn
from neardup.types import Pixels

POINTS = 128
"""Points kept of an image that arrives."""
STORED_POINTS = 64
"""Points kept of a member: the first of them."""
COEFFICIENTS = 20
PLACE, LEVEL, GREY, COLOUR, CODE = slice(0, 2), 2, 3, 4, slice(5, 15)
POINT_BYTES = 15
"""x, y, level, grey level, colour (4 bits each of Cb and Cr), and the code: 20 numbers of 4 bits."""
HEAD_BYTES = 5
"""Width and height in half pixels of the working size, how plain the picture is, number of points, and of cells."""
WIDTH, HEIGHT, PLAINNESS, COUNT, CELLS = range(HEAD_BYTES)
STORED_LOOK_BYTES: int = HEAD_BYTES + STORED_POINTS * POINT_BYTES
"""Size of what is stored of a look: the head, then points; of a drawn picture cells take the place of half of them."""
DRAWN_POINTS: int = STORED_POINTS - CELLS_BYTES // POINT_BYTES
"""Points stored of a drawn picture."""
_PLANE_AT: int = STORED_LOOK_BYTES + (POINTS - DRAWN_POINTS) * POINT_BYTES
_PLANE_BYTES = 131 * 128
"""No working size has more pixels."""
LOOK_BYTES: int = _PLANE_AT + _PLANE_BYTES
"""Size of the look of an image that arrives: what is stored of it, the other points, and its grey plane."""
_SIDE_PX = 128
"""The working size: as many pixels as a square of this side has, whatever the shape."""
_SLENDEREST = 5.0
"""More slender pictures are squeezed to this ratio of sides."""
NEEDED_PX: int = _SIDE_PX
"""Sides that an image should keep before its look is taken."""
LEVELS = 4
STEP = 2**0.5
"""Ratio of sizes from one level to the next."""
_SHARES = (0.34, 0.28, 0.22, 0.16)
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

Way = tuple[bool, int]
"""What may be done to a picture: mirrored left to right or not, then turned counter-clockwise by so many quarters."""

_Floats = NDArray[np.float64]
_Plane = NDArray[np.int16]


def look_of(pixels: Pixels) -> NDArray[np.uint8]:
    """Return the look of an image, uint8 (LOOK_BYTES,), from uint8 (height, width, 3) RGB pixels."""
    image = Image.fromarray(pixels)
    width, height = _working_size(image.width, image.height)
    grey = image.convert("L").resize((width, height), Image.Resampling.BILINEAR)
    found = [_points_of(grey, level) for level in range(LEVELS)]
    order = np.argsort(np.concatenate([points.rank for points in found]), kind="stable")[:POINTS]
    places = np.concatenate([points.places for points in found])[order]
    patches = np.concatenate([points.patches for points in found])[order].astype(np.float32)
    rows = np.zeros((POINTS, POINT_BYTES), dtype=np.uint8)
    rows[: len(order), PLACE] = places
    rows[: len(order), LEVEL] = np.repeat(np.arange(LEVELS), [len(points.rank) for points in found])[order]
    rows[: len(order), GREY] = patches.mean(axis=1) / _SMOOTH
    rows[: len(order), COLOUR] = _colours(pixels, places)
    rows[: len(order), CODE] = _codes(patches @ _BASIS)
    plane = np.asarray(grey)
    count, cells = cells_of(plane) if is_drawn(plane) else (0, None)
    if count:
        rows[:STORED_POINTS] = rows[_unlike_others_first(rows[:STORED_POINTS])]
    head = (width // 2, height // 2, round(255 * _plainness(grey)), len(order), count)
    return _joined(np.array(head, dtype=np.uint8), rows, cells, plane)


def _unlike_others_first(rows: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return points in the order in which they are stored: of one form's lines and letters many look alike."""
    numbers = code_numbers(rows).astype(np.float64)
    norms = np.sqrt(np.maximum(np.square(numbers).sum(axis=1), 1))
    likeness = numbers @ numbers.T / norms / norms[:, None] - 4 * np.eye(len(rows))
    # What is no point is as likely as no other, and comes last.
    most = np.where(norms > 1, likeness.max(axis=1), np.inf)
    first = np.zeros(len(rows), dtype=np.bool_)
    first[np.argsort(most, kind="stable")[:DRAWN_POINTS]] = True
    return np.argsort(~first, kind="stable")


def _joined(
    head: NDArray[np.uint8], rows: NDArray[np.uint8], cells: NDArray[np.uint8] | None, plane: Plane
) -> NDArray[np.uint8]:
    """Put a look together from its head, its points, its cells if it has any, and its plane."""
    look = np.zeros(LOOK_BYTES, dtype=np.uint8)
    look[:HEAD_BYTES] = head
    if cells is not None:
        look[STORED_LOOK_BYTES - CELLS_BYTES : STORED_LOOK_BYTES] = cells
    first, more = _point_bytes(look)
    stored = first.size // POINT_BYTES
    first[: rows[:stored].size] = rows[:stored].reshape(-1)
    more[: rows[stored:].size] = rows[stored:].reshape(-1)
    look[_PLANE_AT : _PLANE_AT + plane.size] = plane.reshape(-1)
    return look


def _point_bytes(look: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return where points are in a look: those that are stored, and the others; views."""
    stored = DRAWN_POINTS if look[CELLS] else STORED_POINTS
    return look[HEAD_BYTES : HEAD_BYTES + stored * POINT_BYTES], look[STORED_LOOK_BYTES:_PLANE_AT]


def points_of(look: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the points of a look, uint8 (k, POINT_BYTES)."""
    return np.concatenate(_point_bytes(look)).reshape(-1, POINT_BYTES)[: int(look[COUNT])]


def stored_points_of(many: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what is stored of the points of many looks, uint8 (n, STORED_POINTS, POINT_BYTES); zeros for none."""
    rows = many[:, HEAD_BYTES:STORED_LOOK_BYTES].reshape(len(many), STORED_POINTS, POINT_BYTES)
    drawn = many[:, CELLS] > 0
    if drawn.any():
        rows = rows.copy()
        rows[drawn, DRAWN_POINTS:] = 0
    return rows


def stored_cells_of(look: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the cells of the look of a drawn picture, uint8 (CELLS_BYTES,); a view."""
    return look[STORED_LOOK_BYTES - CELLS_BYTES : STORED_LOOK_BYTES]


def size_of(look: NDArray[np.uint8]) -> tuple[int, int]:
    """Return width and height of the working size."""
    return 2 * int(look[WIDTH]), 2 * int(look[HEIGHT])


def plane_of(look: NDArray[np.uint8]) -> Plane | None:
    """Return the grey plane of a look, uint8 (height, width); None of one that was stored."""
    width, height = size_of(look)
    if len(look) < LOOK_BYTES or min(width, height) < SQUARE_PX or width * height > _PLANE_BYTES:
        return None
    plane = look[_PLANE_AT : _PLANE_AT + width * height]
    return plane.reshape(height, width) if plane.any() else None


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
    scale = STEP**-level
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


def transformed_look(look: NDArray[np.uint8], mirror: bool, turns: int) -> NDArray[np.uint8]:  # noqa: FBT001 - a `Way`
    """Return the look of the image mirrored left to right, if at all, then turned counter-clockwise by quarters.

    It has no cells any more, which only count of an earlier picture, as it came.
    """
    head, taken = look[:HEAD_BYTES].copy(), points_of(look)
    numbers = transformed_codes(code_numbers(taken), [(mirror, turns)])[0] + 8
    x, y = taken[:, PLACE].T
    x = 255 - x if mirror else x
    for _ in range(turns % 4):
        x, y = y, 255 - x
        head[[WIDTH, HEIGHT]] = head[[HEIGHT, WIDTH]]
    taken[:, PLACE] = np.stack([x, y], axis=1)
    taken[:, CODE] = numbers[:, 0::2] << 4 | numbers[:, 1::2]
    head[CELLS] = 0
    plane = plane_of(look)
    turned = np.zeros((0, 0), dtype=np.uint8) if plane is None else np.rot90(plane[:, ::-1] if mirror else plane, turns)
    return _joined(head, taken, None, turned)


def transformed_codes(numbers: NDArray[np.int8], ways: Sequence[Way]) -> NDArray[np.int8]:
    """Return the numbers of n codes after each of k ways, int8 (k, n, 20)."""
    orders, signs = (np.array(each) for each in zip(*(_way_of_codes(*way) for way in ways), strict=True))
    return np.asarray(numbers[:, orders].swapaxes(0, 1) * signs[:, np.newaxis], dtype=np.int8)


@cache
def _way_of_codes(mirror: bool, turns: int) -> tuple[list[int], list[int]]:  # noqa: FBT001 - a `Way`
    """Return from where each number of a code is taken, and its sign: an odd wave changes it."""
    order = np.arange(COEFFICIENTS)
    signs = np.array([1 - 2 * (u % 2) * mirror for _, u in _FREQUENCIES])
    odd_down = np.array([1 - 2 * (v % 2) for v, _ in _FREQUENCIES])
    exchanged = np.array([_FREQUENCIES.index((u, v)) for v, u in _FREQUENCIES])
    for _ in range(turns % 4):
        order, signs = order[exchanged], signs[exchanged] * odd_down
    return order.tolist(), signs.tolist()


def stored_look(look: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what is stored of a look, uint8 (STORED_LOOK_BYTES,)."""
    stored = look[:STORED_LOOK_BYTES].copy()
    stored[COUNT] = min(stored[COUNT], DRAWN_POINTS if stored[CELLS] else STORED_POINTS)
    return stored


def whole_look(look: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a look as uint8 (LOOK_BYTES,): what is stored of it with no more points than it has."""
    whole = np.zeros(LOOK_BYTES, dtype=np.uint8)
    whole[: len(look)] = look
    return whole


def code_numbers(rows: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return the codes of points as integers from -7 to 7, int8 (..., 20); zeros for a point that is none."""
    codes = rows[..., CODE]
    numbers = np.empty((*codes.shape[:-1], COEFFICIENTS), dtype=np.int8)
    numbers[..., 0::2] = codes >> 4
    numbers[..., 1::2] = codes & 15
    return np.asarray((numbers - 8) * (codes[..., :1] != 0), dtype=np.int8)
