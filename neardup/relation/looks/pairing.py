"""Points of two pictures that look alike, by their codes: products of whole numbers, for many pictures at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.relation.looks.look import COEFFICIENTS, code_numbers

NORM = 100
"""Of a code, when it is compared: its numbers are rounded to integers."""
_ALIKE = 0.8 * NORM**2
"""Least product of the codes of two points that are paired: a cosine of 0.8."""
_ONES = np.ones((COEFFICIENTS, 1), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which of a later picture's points is nearest to each of an earlier one's, and which pairs are mutual.

    Attributes
    ----------
    likeness
        float32 (..., theirs, ours), from `likeness_of`.
    nearest
        intp (..., theirs): which of ours.
    paired
        bool (..., theirs): whether the two are nearest to one another, and alike.
    """

    likeness: NDArray[np.float32]
    nearest: NDArray[np.intp]
    paired: NDArray[np.bool_]


def paired(likeness: NDArray[np.float32]) -> Pairs:
    """Pair points that look alike."""
    nearest, most = likeness.argmax(axis=-1), likeness.max(axis=-1)
    most_of_ours = likeness.max(axis=-2)
    starts = np.arange(0, most_of_ours.size, likeness.shape[-1]).reshape(*nearest.shape[:-1], 1)
    mutual = most == most_of_ours.take(starts + nearest)
    return Pairs(likeness, nearest, (most >= _ALIKE) & mutual)


def likeness_of(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the products of codes, (..., theirs, ours), from (..., ours, 20) and (n, theirs, 20)."""
    # Integers, which the product holds exactly; a point that is none has a code of zeros, and is like no other.
    return np.asarray(theirs @ ours.swapaxes(-1, -2))


def codes_of(points: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the codes of points, uint8 (..., POINT_BYTES), as they are compared."""
    return evened(code_numbers(points))


def evened(numbers: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return the numbers of codes, int8 (..., 20), scaled to `NORM` and rounded to integers."""
    plane = numbers.astype(np.float32)
    norms = np.sqrt(np.maximum(np.square(plane) @ _ONES, 1))
    return np.asarray(np.rint(plane * (NORM / norms)), dtype=np.float32)
