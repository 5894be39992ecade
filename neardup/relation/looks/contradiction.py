"""Whether a drawn picture contradicts another with which it has most of its points: one form, filled in otherwise.

Once the map between the two is known, the later picture is measured where the earlier one's cells are
(`cells`). In a copy each differs by what JPEG and scaling leave. Where something else is written, a
cell differs by about as much as there is to see, and however much agrees beside it, a few such cells tell that these
are two pictures.

Photos have no cells: a logo on a photo contradicts it, too, but nobody takes that for another photo.

The map is good to a pixel, and cells have to be met better than that. So it is improved first, as pictures are aligned
by Lucas and Kanade (IJCAI 1981). All sums are of whole numbers.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from neardup.relation.looks.cells import SMOOTHINGS, Numbers, Plane, measured, places_of, read_cells, smoothed

_CONTRADICTS = 0.085
"""Square of a cell's difference, by that of its contrast; in copies it is a tenth of that."""
_CONTRADICTS_UNALIGNED = 0.15
"""The same where the map cannot be improved."""
_SAME_FRAME = 0.02
"""By how much of a side a map may be off and both frames still be one: maps are no better than that."""
_FEWEST = 2
"""So many cells contradict a picture: a single one may be a speck, or the corner of a caption."""
_LEAST_CELLS = 4
"""Fewer cells in the common part say nothing."""
_FAINT: int = (16 * 30) ** 2
"""Cells with less contrast than 30 grey levels, squared, count as if they had that: JPEG leaves more in them."""
_MOST_SMOOTHINGS = 16
_STEPS = 3
_STEP_PX = 0.5
_MOST_PX = 1.5
_STIFFNESS = 0.02
"""How much a step is held back where cells say little of it."""
_DOUBT = 0.1
"""Cells that differ by more, as above, have little say in how the map is improved."""
_CENTRE_BITS = 8
"""Centres of cells are told in 256ths of the frame."""

_Floats = NDArray[np.float64]


class LaterPlane:
    """The plane of a later picture, uint8 (height, width), smoothed as it is needed."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._smoothed: dict[int, NDArray[np.int32]] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._plane.shape[1], self._plane.shape[0]

    def fine(self, area: float) -> NDArray[np.int32]:
        """Return it as smooth as an earlier picture in which things are so much larger, by area."""
        times = min(max(round(SMOOTHINGS / area), 1), _MOST_SMOOTHINGS)
        if times not in self._smoothed:
            self._smoothed[times] = smoothed(self._plane, times)
        return self._smoothed[times]


@dataclass(frozen=True)
class _Back:
    """A map back from the earlier picture's pixels to the later one's, and the cells that are seen there."""

    turn: _Floats
    shift: _Floats

    def __call__(self, x: _Floats, y: _Floats) -> tuple[_Floats, _Floats]:
        x, y = x - self.shift[0], y - self.shift[1]
        return self.turn[0, 0] * x + self.turn[0, 1] * y, self.turn[1, 0] * x + self.turn[1, 1] * y


def contradicts(later: LaterPlane, kept: NDArray[np.uint8], size: tuple[int, int], shares: _Floats) -> bool:
    """Return whether a later picture contradicts an earlier one.

    Parameters
    ----------
    later
        The later picture's plane.
    kept
        uint8 (CELLS_BYTES,), of the earlier picture.
    size
        Width and height of its plane.
    shares
        float64 (2, 3): the map from the later to the earlier, in shares of both frames.
    """
    return bool((differences(later, kept, size, shares) > _CONTRADICTS).sum() >= _FEWEST)


def cells_contradict(
    ours: NDArray[np.uint8], theirs: NDArray[np.uint8], sizes: tuple[tuple[int, int], tuple[int, int]], shares: _Floats
) -> bool:
    """Return whether cells contradict one another, of two pictures of which only what is stored is left.

    They can be compared only where both frames show the same, and less strictly, as nothing is aligned.
    """
    if sizes[0] != sizes[1] or np.abs(shares - np.eye(2, 3)).max() > _SAME_FRAME:
        return False
    (our_squares, our_numbers), (their_squares, their_numbers) = read_cells(ours), read_cells(theirs)
    _, here, there = np.intersect1d(our_squares, their_squares, assume_unique=True, return_indices=True)
    left = np.square(our_numbers[here] - their_numbers[there]).sum(axis=1)
    most = np.maximum(np.square(our_numbers[here]).sum(axis=1), np.square(their_numbers[there]).sum(axis=1))
    return bool((left / np.maximum(most, _FAINT) > _CONTRADICTS_UNALIGNED).sum() >= _FEWEST)


def differences(later: LaterPlane, kept: NDArray[np.uint8], size: tuple[int, int], shares: _Floats) -> _Floats:
    """Return by how much each cell differs that the later picture shows, float64 (k,); the same as above."""
    turn = shares[:, :2] * np.array(size)[:, None] / np.array(later.size)
    (a, b), (c, d) = turn.tolist()
    area = a * d - b * c
    back = _Back(np.array([[d, -b], [-c, a]]) / area, shares[:, 2] * np.array(size))
    squares, theirs = read_cells(kept)
    x, y = places_of(squares, size[0])
    inside = np.ones(len(squares), dtype=np.bool_)
    for at, side in zip(back(x, y), later.size, strict=True):
        inside &= ((at > 1) & (at < side - 1)).all(axis=1)
    if inside.sum() < _LEAST_CELLS:
        return np.zeros(0)
    return _Aligned(later.fine(area), back, x[inside], y[inside], theirs[inside], size).differences()


@dataclass(frozen=True)
class _Aligned:
    """Cells of the earlier picture, and where they are looked for in the later one.

    `x` and `y` are float64 (k, 16), in the earlier picture; `theirs` int64 (k, 7).
    """

    fine: NDArray[np.int32]
    back: _Back
    x: _Floats
    y: _Floats
    theirs: Numbers
    size: tuple[int, int]

    @cached_property
    def _power(self) -> Numbers:
        return np.asarray(np.square(self.theirs).sum(axis=1))

    @cached_property
    def _centres(self) -> list[Numbers]:
        """One, x and y of each cell's centre, from the middle of the frame; in 256ths."""
        sides = zip((self.x, self.y), self.size, strict=True)
        centres = [np.rint((at.mean(axis=1) / side - 0.5) * 2**_CENTRE_BITS).astype(np.int64) for at, side in sides]
        return [np.full(len(self.x), 2**_CENTRE_BITS), *centres]

    def differences(self) -> _Floats:
        right, down = np.zeros(3), np.zeros(3)
        for _ in range(_STEPS):
            by_right, by_down = self._step(right, down)
            right, down = right + by_right, down + by_down
        return self._compared(right, down)[1]

    def _seen(self, right: _Floats, down: _Floats, by: tuple[float, float] = (0.0, 0.0)) -> Numbers:
        """Return the numbers of cells that are moved by an affine map and all by so many pixels, int64 (k, 7)."""
        one, x, y = self._centres
        dx = (right[0] * one + right[1] * x + right[2] * y) / 2**_CENTRE_BITS + by[0]
        dy = (down[0] * one + down[1] * x + down[2] * y) / 2**_CENTRE_BITS + by[1]
        return measured(self.fine, *self.back(self.x + dx[:, None], self.y + dy[:, None]))

    def _compared(self, right: _Floats, down: _Floats) -> tuple[Numbers, _Floats, float]:
        """Return what is left of each number, the difference of each cell, and the gain of contrast."""
        ours = self._seen(right, down)
        gain = float(self._power.sum() / max(np.square(ours).sum(), 1)) ** 0.5
        ours = _scaled(ours, gain)
        left = self.theirs - ours
        most = np.maximum(np.maximum(self._power, np.square(ours).sum(axis=1)), _FAINT)
        return left, np.square(left).sum(axis=1) / most, gain

    def _step(self, right: _Floats, down: _Floats) -> tuple[_Floats, _Floats]:
        """Return by how much to move cells further: right and down, each all of them, by their x and by their y."""
        left, difference, gain = self._compared(right, down)
        weights = np.rint(2**30 / ((1 + np.square(difference / _DOUBT)) * np.maximum(self._power, _FAINT)))
        here = self.theirs - left
        moved = [_scaled(self._seen(right, down, by), gain) - here for by in ((_STEP_PX, 0.0), (0.0, _STEP_PX))]
        slopes = np.stack([each * at[:, None] for each in moved for at in self._centres], axis=2) >> 6
        weighted = slopes * weights.astype(np.int64)[:, None, None]
        flat, weighted = slopes.reshape(-1, 6), weighted.reshape(-1, 6)
        normal, toward = (weighted.T @ flat).astype(np.float64), (weighted.T @ left.reshape(-1)).astype(np.float64)
        normal += np.eye(6) * (_STIFFNESS * np.trace(normal) / 6)
        # A slope is that of half a pixel, four times.
        by = np.clip(_solved(normal, toward) * (4 * _STEP_PX), -_MOST_PX, _MOST_PX)
        return by[:3], by[3:]


def _scaled(numbers: Numbers, gain: float) -> Numbers:
    return np.asarray(np.rint(numbers * gain).astype(np.int64))


def _solved(matrix: _Floats, wanted: _Floats) -> _Floats:
    """Solve a few linear equations by elimination, number by number: the same on every machine."""
    matrix, wanted = matrix.copy(), wanted.copy()
    for row in range(len(wanted)):
        factors = matrix[row + 1 :, row] / matrix[row, row]
        matrix[row + 1 :] -= factors[:, None] * matrix[row]
        wanted[row + 1 :] -= factors * wanted[row]
    for row in reversed(range(len(wanted))):
        wanted[row] /= matrix[row, row]
        wanted[:row] -= matrix[:row, row] * wanted[row]
    return wanted
