"""A finer measure for images with little in them: fog, nights, covered lenses, plain colours, forms, empty pages.

Low frequencies of the middle, scaled to one length, tell photos apart. They cannot tell two covered lenses
apart, nor two forms filled in differently. Such images get a part that photos do not have: it says "the same" or
"another" where the rest says "alike". docs/descriptors.md has the figures.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

FAINT_GREY_LEVELS = (8.0, 12.0)
"""Coarse contrast up to which an image is fully faint, and from which not at all (3 in 1,000 photos are below that).

Forms have up to 8; dark rooms, fog and covered lenses up to 5. Between the two values the part grows gradually, so that
a copy with a fifth less contrast is still within the radius of its original.
"""
FREQUENCIES = 12
"""Along each side: with so many, the words and ticks on a form begin to show."""
_BLOCKS = 8
_COARSE_PX = 8
_SOFT_GREY_LEVELS = 4.0
"""Contrast well below this counts as it is; well above it, only its direction counts."""
_NOISE_GREY_LEVELS = 0.1
"""Coefficients well below this are noise and are left out: a sensor's noise of 6 levels makes them 0.01."""
_FINENESS = 10.0
"""Moving a tenth of the contrast makes another picture; a shift by 1 pixel in 320 moves a third of that."""
_LOOK_RADIANS = np.array([4.0, 3.0, 3.0])
"""How much the root of the brightness, Cb and Cr count, per unit of each."""


def faintness(prepared: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return how faint images are, float64 (n,): 0 for photos, 1 for images with hardly any coarse contrast.

    Coarse contrast is the standard deviation of an image's 8 x 8 blocks, over all channels: without colour, red cloth
    on blue of the same brightness would be faint. It is computed in integers, so it does not depend on the batch.

    Parameters
    ----------
    prepared
        uint8 (n, 64, 64, 3), RGB.
    """
    # Rows first, contiguous in memory and in two bytes: several times as fast as both axes at once.
    strips = prepared.reshape(len(prepared), _BLOCKS, _COARSE_PX, -1).sum(axis=2, dtype=np.uint16)
    sums = strips.reshape(len(prepared), _BLOCKS, _BLOCKS, _COARSE_PX, 3).sum(axis=3, dtype=np.int64)
    sums = sums.reshape(len(prepared), -1, 3)
    count = sums.shape[1]
    spread = (count * np.square(sums).sum(axis=1) - np.square(sums.sum(axis=1))).sum(axis=1)
    contrast = np.sqrt(spread / 3) / (count * _COARSE_PX**2)
    full, none = FAINT_GREY_LEVELS
    return np.asarray(np.clip(np.log(none / np.maximum(contrast, full / 2)) / np.log(none / full), 0.0, 1.0))


class FinePart:
    """Turns images of (side, side) pixels into unit vectors; only nearly the same picture gives vectors that are near.

    The whole image counts, right to its border, and so do brightness and colour: a change in any of them turns the
    vector, and soon by a right angle.

    Source: Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", NIPS 2007, algorithm 1: the squared
    distance of the vectors is about 2 - 2 exp(-d**2 / 2), where d is the distance of what they are made from.

    Parameters
    ----------
    plain_basis
        float64 (12, side): the first rows of a DCT without a window, the first of which sums to 1.
    ycbcr_of_rgb
        float64 (3, 3).
    numbers
        Length of the vectors, an even number.
    largest_angle
        Largest angle that the part turns a faint image's vector by, in radians. Two whose parts have nothing in common
        lie sqrt(2) * sin of it apart; the parts of a copy differ by up to 0.9 and must leave room within the radius.
    """

    def __init__(
        self, plain_basis: NDArray[np.float64], ycbcr_of_rgb: NDArray[np.float64], numbers: int, largest_angle: float
    ) -> None:
        self._largest_angle = largest_angle
        self._basis = plain_basis
        self._ycbcr_of_rgb = ycbcr_of_rgb
        rows, columns = np.divmod(np.arange(FREQUENCIES**2), FREQUENCIES)
        low = np.hypot(rows, columns)
        self._chosen = np.flatnonzero((low > 0) & (low < FREQUENCIES - 0.5))
        self._directions = _normal_numbers(len(self._chosen) + len(_LOOK_RADIANS), numbers // 2)

    def __call__(self, prepared: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return float64 (n, numbers) for uint8 (n, side, side, 3): unit length, the same in every batch."""
        planes = np.ascontiguousarray(prepared.transpose(0, 3, 1, 2), dtype=np.float64)
        low = np.matmul(np.matmul(self._basis, planes), self._basis.T).reshape(len(prepared), 3, -1)
        colours = np.matmul(self._ycbcr_of_rgb, low)
        shape = _FINENESS * _direction(np.ascontiguousarray(colours[:, 0, self._chosen]))
        brightness = np.sqrt(np.clip(colours[:, 0, 0], 0.0, 255.0) / 255.0)
        look = _LOOK_RADIANS * np.stack([brightness, *(colours[:, 1:, 0].T / 127.5)], axis=1)
        # One product per image, of contiguous rows: the rounding of one over the batch would depend on its size.
        made_from = np.ascontiguousarray(np.concatenate([shape, look], axis=1))
        angles = np.matmul(made_from[:, np.newaxis], self._directions)[:, 0]
        return np.asarray(np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.sqrt(angles.shape[1]))

    def turn(self, vectors: NDArray[np.float64], prepared: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return float64 (n, numbers) with the rows of faint images turned towards their part; others as they are.

        Parameters
        ----------
        vectors
            float64 (n, numbers), of any norm; changed in place.
        prepared
            uint8 (n, side, side, 3), of the same images.
        """
        angles = self._largest_angle * faintness(prepared)
        faint = np.flatnonzero(angles)
        if len(faint):
            lengths = np.array([[np.sqrt(row @ row)] for row in vectors[faint]])
            turned = angles[faint, np.newaxis]
            vectors[faint] = np.cos(turned) * vectors[faint] / lengths + np.sin(turned) * self(prepared[faint])
        return vectors


def _direction(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return coefficients (n, m) less their noise, of at most unit length; weak ones stay short."""
    squares = np.square(coefficients)
    kept = coefficients * squares / (squares + _NOISE_GREY_LEVELS**2)
    # Row by row: a sum over the whole array may add up in another order.
    lengths = np.array([float(row @ row) for row in kept])
    return np.asarray(kept / np.sqrt(lengths + _SOFT_GREY_LEVELS**2)[:, np.newaxis])


def _normal_numbers(rows: int, columns: int) -> NDArray[np.float64]:
    """Return standard normal numbers, float64 (rows, columns), always the same ones.

    NumPy keeps the raw stream of a bit generator stable, but not what its distributions make of it (NEP 19).
    """
    raw = np.random.PCG64(0).random_raw(rows * columns)
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53
    return np.asarray(ndtri(uniform).reshape(rows, columns), dtype=np.float64)
