"""Finds the nearest pairs of different images in a set, exactly."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from bootstrap.calibration.tail import NearPairs
from neardup.search.distance import paired_l2_distances
from neardup.types import Descriptors

Rows = NDArray[np.intp]

_MULTIPLICATIONS = 10**11
"""In the product of all descriptors with one another: 20,000 images of 256 numbers take a few seconds."""
_FEWEST = 2000
_BLOCK = 2048
_FLOAT32_SLACK = 1e-5
_PAIRS_AT_ONCE_NUMBERS = 1 << 23


def in_order_of_digest(descriptors: Descriptors) -> Rows:
    """Return the rows of float16 (n, d) descriptors in an order that is as good as random, each descriptor once.

    It depends on the descriptors alone: the same images give the same result, whatever their names and order.
    """
    digests = np.array([hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in descriptors], dtype="S16")
    _, first = np.unique(digests, return_index=True)
    return first.astype(np.intp)


def most_images(dimension: int) -> int:
    """Return how many images can all be multiplied with one another within seconds."""
    return max(_FEWEST, int(np.sqrt(_MULTIPLICATIONS / dimension)))


def apart(descriptors: Descriptors, reach: float) -> Rows:
    """Return rows, in order: no two lie within `reach` of each other, and every row is within it of a returned one.

    Parameters
    ----------
    descriptors
        float16 (n, d), unit norm.
    reach
        L2 distance, inclusive.
    """
    kept: list[int] = []
    floats = descriptors.astype(np.float32)
    limit = reach * reach + _FLOAT32_SLACK
    alive = np.ones(len(floats), dtype=np.bool_)
    for start in range(0, len(floats), _BLOCK):
        rows = start + np.flatnonzero(alive[start : start + _BLOCK])
        block = _apart_in_block(descriptors, floats, rows, reach)
        kept += block.tolist()
        for later in range(start + _BLOCK, len(floats), _BLOCK):
            part = slice(later, later + _BLOCK)
            ones, twos = np.nonzero(_squared(floats[block], floats[part]) <= limit)
            exact = _exact(descriptors, block[ones], later + twos)
            alive[later + twos[exact <= reach]] = False
    return np.array(kept, dtype=np.intp)


def _apart_in_block(descriptors: Descriptors, floats: NDArray[np.float32], rows: Rows, reach: float) -> Rows:
    near = _squared(floats[rows], floats[rows]) <= reach * reach + _FLOAT32_SLACK
    ones, twos = np.nonzero(np.triu(near, 1))
    exact = _exact(descriptors, rows[ones], rows[twos])
    copies: dict[int, list[int]] = {}
    for one, two in zip(ones[exact <= reach].tolist(), twos[exact <= reach].tolist(), strict=True):
        copies.setdefault(one, []).append(two)
    gone: set[int] = set()
    for one in range(len(rows)):
        if one not in gone:
            gone.update(copies.get(one, ()))
    return np.array([row for place, row in enumerate(rows.tolist()) if place not in gone], dtype=np.intp)


def nearest_pairs(descriptors: Descriptors, count: int, floor: float = 0.0) -> NearPairs:
    """Return the `count` nearest pairs of float16 (n, d) descriptors above a floor, or all when there are fewer."""
    floats = descriptors.astype(np.float32)
    held = np.empty((0, 3))
    limit = np.inf
    for top in range(0, len(floats), _BLOCK):
        for left in range(top, len(floats), _BLOCK):
            squared = _squared(floats[top : top + _BLOCK], floats[left : left + _BLOCK])
            if left == top:
                squared[np.tril_indices(len(squared), 0, squared.shape[1])] = np.inf
            ones, twos = np.nonzero(squared < limit)  # not the infinite ones
            found = squared[ones, twos]
            above = found > floor * floor - _FLOAT32_SLACK
            fresh = np.column_stack([found[above], ones[above] + top, twos[above] + left])
            held = _nearest(np.concatenate([held, fresh]), 2 * count)
            # Twice as many as wanted: rounding may put some in the wrong order, and some may be at the floor.
            limit = float(held[:, 0].max()) if len(held) >= 2 * count else np.inf
    return _exactly(descriptors, held[:, 1:].astype(np.intp), count, floor)


def _nearest(pairs: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    if len(pairs) <= count:
        return pairs
    return pairs[np.argpartition(pairs[:, 0], count - 1)[:count]]


def _exactly(descriptors: Descriptors, rows: Rows, count: int, floor: float) -> NearPairs:
    distances = _exact(descriptors, rows[:, 0], rows[:, 1])
    above = distances > floor
    rows, distances = rows[above], distances[above]
    order = np.lexsort((rows[:, 1], rows[:, 0], distances))[:count]
    return NearPairs(distances[order], rows[order], len(descriptors), floor)


def _exact(descriptors: Descriptors, ones: Rows, twos: Rows) -> NDArray[np.float64]:
    step = max(1, _PAIRS_AT_ONCE_NUMBERS // descriptors.shape[1])
    parts = [
        paired_l2_distances(descriptors[ones[start : start + step]], descriptors[twos[start : start + step]])
        for start in range(0, len(ones), step)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _squared(ones: NDArray[np.float32], twos: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 (m, n) squared L2 distances, accurate to within `_FLOAT32_SLACK`."""
    norms = np.add.outer(np.square(ones).sum(axis=1), np.square(twos).sum(axis=1))
    return np.asarray(norms - 2.0 * (ones @ twos.T), dtype=np.float32)
