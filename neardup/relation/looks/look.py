"""The look of a picture: its points that stand out, and what each looks like from close by, as whole numbers.

Points that stand out in scale and place are Lowe's (IJCV 2004); a patch by its lowest cosine frequencies is what
perceptual hashes keep of a whole picture. `neardup.relation.looks.second_look` compares two looks.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neardup.relation.looks.cells import CELLS_BYTES, SQUARE_PX, Plane, cells_of, is_drawn
from neardup.relation.looks.points import POINTS, SMOOTH, level_sizes, standing_points
from neardup.relation.looks.pyramid import canvas_of
from neardup.relation.looks.waves import waves_of
from neardup.relation.symmetry import moved_box
from neardup.types import Box, Pixels

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
_BOX_AT: int = _PLANE_AT + _PLANE_BYTES
_BOX_STEPS = 65535
"""Places in an image are whole numbers from 0 to this; a box is four of them, and zeros are all of the image."""
LOOK_BYTES: int = _BOX_AT + 8
"""Size of the look of an image that arrives, or of a part of it: what is stored of it, the other points, its grey
plane, and which part it is."""
_SIDE_PX = 128
"""The working size: as many pixels as a square of this side has, whatever the shape."""
_SLENDEREST = 5.0
"""More slender pictures are squeezed to this ratio of sides."""
NEEDED_PX: int = _SIDE_PX
"""Sides that an image should keep before its look is taken."""
_PATCH = 8
_CODE_SCALE = 14.0
"""Codes have unit norm before they are rounded: a number above 0.5 is cut."""
_CB_CR = np.array([[-169, 500], [-331, -419], [500, -81]])
"""Of red, green and blue, times 1000."""
_PLAIN_TILE_PX = 8
_PLAIN_RANGE = 10
"""A tile whose grey levels differ by less is plain."""


_HIGHEST = 5
_FREQUENCIES = [(v, u) for v in range(_PATCH) for u in range(_PATCH) if 0 < v + u <= _HIGHEST]
"""Up and down, across."""
_BASIS = waves_of(_PATCH, _FREQUENCIES, 512)
_GRID = np.arange(1 - _PATCH, _PATCH + 1, 2)
"""Where a patch is sampled, in pixels of the level: every other one."""

Way = tuple[bool, int]
"""What may be done to a picture: mirrored left to right or not, then turned counter-clockwise by so many quarters."""


def look_of(pixels: Pixels, part: Box | None = None) -> NDArray[np.uint8]:
    """Return the look of an image, uint8 (LOOK_BYTES,), from uint8 (height, width, 3) RGB pixels.

    If they are a part of an image, `part` says which.
    """
    image = Image.fromarray(pixels)
    width, height = _working_size(image.width, image.height)
    grey = image.convert("L").resize((width, height), Image.Resampling.BILINEAR)
    canvas = canvas_of(level_sizes(width, height))
    found, smooth = standing_points(canvas, canvas.plane(grey))
    sides = canvas.sizes[found.levels].T
    places = ((2 * found.places + 1) * 128 // sides).T.astype(np.uint8)
    patches = canvas.patches(smooth, found, _GRID)
    count = len(found.levels)
    rows = np.zeros((POINTS, POINT_BYTES), dtype=np.uint8)
    rows[:count, PLACE] = places
    rows[:count, LEVEL] = found.levels
    rows[:count, GREY] = patches.sum(axis=1, dtype=np.int32) // (SMOOTH * _PATCH**2)
    rows[:count, COLOUR] = _colours(pixels, places)
    rows[:count, CODE] = _codes(patches)
    plane = np.asarray(grey)
    squares, cells = cells_of(plane) if is_drawn(plane) else (0, None)
    if squares:
        rows[:STORED_POINTS] = rows[_unlike_others_first(rows[:STORED_POINTS])]
    head = (width // 2, height // 2, round(255 * _plainness(plane)), count, squares)
    return _joined(np.array(head, dtype=np.uint8), rows, cells, plane, part)


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
    head: NDArray[np.uint8],
    rows: NDArray[np.uint8],
    cells: NDArray[np.uint8] | None,
    plane: Plane,
    part: Box | None,
) -> NDArray[np.uint8]:
    """Put a look together from its head, its points, its cells if it has any, its plane, and the part it is of."""
    look = np.zeros(LOOK_BYTES, dtype=np.uint8)
    look[:HEAD_BYTES] = head
    if cells is not None:
        look[STORED_LOOK_BYTES - CELLS_BYTES : STORED_LOOK_BYTES] = cells
    first, more = _point_bytes(look)
    stored = first.size // POINT_BYTES
    first[: rows[:stored].size] = rows[:stored].reshape(-1)
    more[: rows[stored:].size] = rows[stored:].reshape(-1)
    look[_PLANE_AT : _PLANE_AT + plane.size] = plane.reshape(-1)
    if part is not None:
        look[_BOX_AT:] = np.rint(np.array(part) * _BOX_STEPS).astype("<u2").view(np.uint8)
    return look


def _point_bytes(look: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return where points are in a look: those that are stored, and the others; views."""
    stored = DRAWN_POINTS if look[CELLS] else STORED_POINTS
    return look[HEAD_BYTES : HEAD_BYTES + stored * POINT_BYTES], look[STORED_LOOK_BYTES:_PLANE_AT]


def part_of(look: NDArray[np.uint8]) -> Box | None:
    """Return which part of an image a look is of; None for all of it."""
    steps = look[_BOX_AT:].view("<u2").tolist()
    if not any(steps):
        return None
    left, top, right, bottom = (step / _BOX_STEPS for step in steps)
    return left, top, right, bottom


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


def _working_size(width: int, height: int) -> tuple[int, int]:
    ratio = min(max(width / height, 1 / _SLENDEREST), _SLENDEREST) ** 0.5
    return round(_SIDE_PX * ratio / 2) * 2, round(_SIDE_PX / ratio / 2) * 2


def _codes(patches: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Return the codes of (n, 64) patches: unit vectors of 4 bits a number, two to a byte, uint8 (n, 10)."""
    # Whole numbers, and the sums of their squares stay below 2 ** 53: any processor adds them up to the same.
    features = (patches >> 3).astype(np.float64) @ _BASIS
    norms = np.sqrt(np.square(features).sum(axis=1, keepdims=True))
    numbers = np.rint(features / np.maximum(norms, 1) * _CODE_SCALE)
    levels = np.minimum(np.maximum(numbers, -7), 7).astype(np.int8) + 8
    return np.asarray(levels[:, 0::2] << 4 | levels[:, 1::2], dtype=np.uint8)


def _plainness(grey: NDArray[np.int16]) -> float:
    """Return the share of tiles with next to nothing in them, of (height, width) grey levels."""
    tile = _PLAIN_TILE_PX
    rows, columns = (side // tile for side in grey.shape)
    strips = grey[: rows * tile, : columns * tile].reshape(rows, tile, columns * tile)
    lightest, darkest = strips.max(axis=1), strips.min(axis=1)
    # By halves: numpy is slow at the extremes of only eight numbers.
    while lightest.shape[1] > columns:
        lightest = np.maximum(lightest[:, 0::2], lightest[:, 1::2])
        darkest = np.minimum(darkest[:, 0::2], darkest[:, 1::2])
    return float(np.count_nonzero(lightest - darkest < _PLAIN_RANGE) / lightest.size)


def _colours(pixels: Pixels, places: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return Cb and Cr of the pixel at each place, 4 bits each (ITU-R BT.601)."""
    columns, rows = places.T.astype(np.int64)
    shown = pixels[rows * pixels.shape[0] >> 8, columns * pixels.shape[1] >> 8]
    cb, cr = np.minimum((128 * 1000 + shown @ _CB_CR) // 16000, 15).T
    return np.asarray(cb << 4 | cr, dtype=np.uint8)


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
    part = part_of(look)
    return _joined(head, taken, None, turned, None if part is None else moved_box(part, mirror, turns))


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


_TWO_NUMBERS = np.array([(byte // 16 - 8, byte % 16 - 8) for byte in range(256)], dtype=np.int8).view(np.int16)
"""The two numbers that each byte of a code holds, as one."""


def code_numbers(rows: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return the codes of points as integers from -7 to 7, int8 (..., 20); zeros for a point that is none."""
    codes = rows[..., CODE]
    return np.asarray(_TWO_NUMBERS.take(codes).view(np.int8) * (codes[..., :1] != 0))
