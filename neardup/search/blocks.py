"""Rows taken block by block, and pairs of rows put together again."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)
Rows = NDArray[np.intp]
Pairs = tuple[Rows, Rows, NDArray[np.float64]]
"""Rows, the others they are paired with, and their distances."""
Nearest = tuple[Rows, NDArray[np.float64]]
"""For each of some images: the nearest unique row that it duplicates, the earliest on a tie, and its distance.

Where there is none the row is -1 and the distance infinite.
"""


def parts_of(count: int, step: int) -> list[slice]:
    """Return slices of up to `step` rows that cover so many."""
    return [slice(start, start + step) for start in range(0, count, step)]


def as_one(pairs: list[Pairs]) -> Pairs:
    """Return all pairs, those of the first first; there may be none."""
    if not pairs:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp), np.empty(0)
    places, others, l2 = zip(*pairs, strict=True)
    return np.concatenate(places), np.concatenate(others), np.concatenate(l2)


def rows_within(limit_bytes: int, dimension: int, most: int) -> int:
    """Return how many descriptors, as float64, fit into so many bytes: at least one, and at most `most`."""
    return max(1, min(most, limit_bytes // (8 * dimension)))


def with_rows(array: NDArray[Scalar], rows: int) -> NDArray[Scalar]:
    """Return a copy of an array with more rows, of zeros."""
    grown = np.zeros((rows, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown
