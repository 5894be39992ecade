"""Cells of a drawn picture: what the busiest squares of a grid look like, for whoever knows where to look.

Points tell that two pictures have most in common, and of pages of one form that is the form. What differs is a few
digits, which are no points, or are a few among many. So of a drawn picture, which needs fewer points, its cells are
kept as well: the lowest cosine frequencies of the busiest squares of 8 x 8 pixels. `contradiction` measures another
picture at the same places.
"""

import numpy as np
from numpy.typing import NDArray

from neardup.relation.looks.waves import waves_of

CELLS = 112
"""Cells kept of a picture, at most: the busiest."""
CELL_BYTES = 4
"""Half octaves of its contrast, and 7 numbers in units of that, 4 bits each."""
_GRID = 256
"""Squares of the grid, at most; a bit for each says which of them are kept."""
CELLS_BYTES: int = _GRID // 8 + CELLS * CELL_BYTES
SQUARE_PX = 8
_SAMPLES_PX = np.array([1.0, 3.0, 5.0, 7.0])
"""A square is measured at 4 x 4 places: planes are smoothed enough for that."""
_EDGE_PX = 4
SMOOTHINGS = 4
"""Times that a plane is smoothed by 1-2-1 both ways: by 1.4 pixels, so that small print stays and its edges do not."""
_FREQUENCIES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1))
"""Up and down, across."""
_FINE_BITS = 4
"""Planes are smoothed in 16ths of a grey level, and read in 16ths of a pixel."""
_TO_NUMBERS_BITS = 14
"""From a smoothed plane, read between pixels and multiplied by waves, to 16ths of a grey level."""
_FAINTEST = 30
"""Norm of the 7 numbers below which a square is blank: about half a grey level."""
_UNITS: NDArray[np.int64] = np.rint(8 * 2.0 ** (np.arange(16) / 2)).astype(np.int64)
"""Twice the units in which numbers are kept."""
_LEVELS = 7
_FLAT_RANGE = 14
"""Where a picture is flat, a pixel and its neighbours differ by less, in grey levels."""
_GREYS, _GREY_RANGE = 6, 7
_LEAST_OF_GREYS = 0.995
"""In a drawn picture six greys, of seven levels each, hold what is flat: it has paper and ink, but neither light nor
shade."""
_LEAST_GROUND = 0.25
"""And one of them, the paper, as much of all of it."""

Plane = NDArray[np.uint8]
Numbers = NDArray[np.int64]
_Floats = NDArray[np.float64]


_BASIS = waves_of(len(_SAMPLES_PX), _FREQUENCIES, 64)


def is_drawn(plane: Plane) -> bool:
    """Return whether a picture, uint8 (height, width), is drawn, printed or set rather than taken by a camera."""
    if _greys(np.bincount(plane.reshape(-1), minlength=256)).max() < _LEAST_GROUND * plane.size:
        return False
    flat = _around(plane, np.maximum) - _around(plane, np.minimum) < _FLAT_RANGE
    counts = np.bincount(plane[1:-1, 1:-1][flat], minlength=256)
    total, held = int(counts.sum()), 0
    for _ in range(_GREYS):
        greys = _greys(counts)
        most = int(greys.argmax())
        held += int(greys[most])
        counts[most : most + _GREY_RANGE] = 0
    return held >= _LEAST_OF_GREYS * total


def _greys(counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return how many pixels have a grey level or one of the six above it, for each level."""
    sums = np.concatenate([[0], np.cumsum(counts)])
    return np.asarray(sums[_GREY_RANGE:] - sums[:-_GREY_RANGE])


def _around(plane: Plane, most: np.ufunc) -> Plane:
    """Return the largest, or the smallest, of each inner pixel and its eight neighbours."""
    across = most(most(plane[:, :-2], plane[:, 1:-1]), plane[:, 2:])
    return np.asarray(most(most(across[:-2], across[1:-1]), across[2:]))


def smoothed(plane: Plane, times: int) -> NDArray[np.int32]:
    """Return 16 times the plane, smoothed by 1-2-1 both ways so many times; the outermost pixels repeat outwards."""
    fine = plane.astype(np.int32) << _FINE_BITS
    for _ in range(times):
        for _ in range(2):
            smooth = fine + fine
            smooth[1:] += fine[:-1]
            smooth[:-1] += fine[1:]
            smooth[0] += fine[0]
            smooth[-1] += fine[-1]
            fine = smooth.T
        fine = (fine + 8) >> 4
    return np.ascontiguousarray(fine)


def measured(fine: NDArray[np.int32], x: _Floats, y: _Floats) -> Numbers:
    """Return the 7 numbers of n cells, in 16ths of a grey level.

    Parameters
    ----------
    fine
        int32 (height, width), from `smoothed`.
    x, y
        float64 (n, 16): where each cell is sampled, in pixels of it.
    """
    height, width = fine.shape
    across = np.clip(np.floor(x * 16).astype(np.int64) - 8, 0, 16 * width - 17)
    down = np.clip(np.floor(y * 16).astype(np.int64) - 8, 0, 16 * height - 17)
    at = (down >> 4) * width + (across >> 4)
    right, below = across & 15, down & 15
    levels = fine.reshape(-1)
    upper = levels[at] * (16 - right) + levels[at + 1] * right
    lower = levels[at + width] * (16 - right) + levels[at + width + 1] * right
    values = upper * (16 - below) + lower * below
    # Whole numbers, which the product holds exactly.
    return np.asarray((values.astype(np.float64) @ _BASIS).astype(np.int64) >> _TO_NUMBERS_BITS)


def places_of(squares: NDArray[np.intp], width: int) -> tuple[_Floats, _Floats]:
    """Return where squares of the grid are sampled, x and y, float64 (n, 16), in pixels of a plane so wide."""
    down, across = np.divmod(squares, max(1, width // SQUARE_PX))
    x = across[:, None] * SQUARE_PX + np.tile(_SAMPLES_PX, 4)
    y = down[:, None] * SQUARE_PX + np.repeat(_SAMPLES_PX, 4)
    return x, y


def _is_inner(squares: NDArray[np.intp], width: int, height: int) -> NDArray[np.bool_]:
    """Return which squares of the grid keep away from the edge of the picture."""
    inner = np.ones(len(squares), dtype=np.bool_)
    for at, side in zip(np.divmod(squares, max(1, width // SQUARE_PX)), (height, width), strict=True):
        inner &= (at > 0) & (SQUARE_PX * (at + 1) <= side - _EDGE_PX)
    return inner


def cells_of(plane: Plane) -> tuple[int, NDArray[np.uint8]]:
    """Return how many cells a picture has, and what is kept of them, uint8 (CELLS_BYTES,)."""
    height, width = plane.shape
    squares = np.arange(min((height // SQUARE_PX) * (width // SQUARE_PX), _GRID))
    numbers = measured(smoothed(plane, SMOOTHINGS), *places_of(squares, width))
    # Beside the edge a plane is smoothed with what lies beyond, which is another thing after a letterbox or a turn.
    contrast = np.square(numbers).sum(axis=1) * _is_inner(squares, width, height)
    busiest = np.argsort(-contrast, kind="stable")[:CELLS]
    taken = np.sort(busiest[contrast[busiest] > _FAINTEST**2])
    which = np.zeros(_GRID, dtype=np.bool_)
    which[taken] = True
    kept = np.zeros(CELLS_BYTES, dtype=np.uint8)
    kept[: _GRID // 8] = np.packbits(which)
    kept[_GRID // 8 :].reshape(CELLS, CELL_BYTES)[: len(taken)] = _packed(numbers[taken])
    return len(taken), kept


def read_cells(kept: NDArray[np.uint8]) -> tuple[NDArray[np.intp], Numbers]:
    """Return which squares were kept, intp (n,), and their numbers, int64 (n, 7), from uint8 (CELLS_BYTES,)."""
    squares = np.flatnonzero(np.unpackbits(kept[: _GRID // 8]))[:CELLS]
    packed = kept[_GRID // 8 :].reshape(CELLS, CELL_BYTES)[: len(squares)]
    halves = np.stack([packed >> 4, packed & 15], axis=2).reshape(len(packed), -1).astype(np.int64)
    return squares, np.asarray((halves[:, 1:] - 8) * _UNITS[halves[:, :1]] // 2)


def _packed(numbers: Numbers) -> NDArray[np.uint8]:
    scales = np.minimum(np.searchsorted(_UNITS * _LEVELS, 2 * np.abs(numbers).max(axis=1)), len(_UNITS) - 1)
    units = _UNITS[scales][:, None]
    levels = np.clip((4 * numbers + units) // (2 * units), -_LEVELS, _LEVELS)
    halves = np.concatenate([scales[:, None], levels + 8], axis=1)
    return np.asarray(halves[:, 0::2] << 4 | halves[:, 1::2], dtype=np.uint8)
