"""The nearest earlier unique image of each unique one: what moving the radius up would make it a duplicate of."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neardup.search.distance import paired_l2_distances
from neardup.types import Descriptors

_BLOCK = 2048


def nearest_before(descriptors: Descriptors, asking: Sequence[int]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the nearest row that stands before each row that asks, and the distance to it.

    Pairs are chosen in float32, which may take one of two that are equally near for the other.

    Parameters
    ----------
    descriptors
        float16 (n, d), unit norm, in the order of judging.
    asking
        Rows that ask; the others, which were members before, only answer.

    Returns
    -------
    tuple
        intp (k,), -1 for what nothing stands before; float64 (k,) L2 distances, infinite there.
    """
    floats = descriptors.astype(np.float32)
    rows = np.asarray(asking, dtype=np.intp)
    nearest, closeness = np.full(len(rows), -1, dtype=np.intp), np.full(len(rows), -np.inf, dtype=np.float32)
    for top in range(0, len(rows), _BLOCK):
        block = rows[top : top + _BLOCK]
        own = slice(top, top + len(block))
        for left in range(0, int(block.max()), _BLOCK):
            # Of unit vectors: the larger the product, the smaller the distance.
            products = floats[block] @ floats[left : left + _BLOCK].T
            columns = np.arange(left, left + products.shape[1])
            products[columns[np.newaxis] >= block[:, np.newaxis]] = -np.inf
            best = products.argmax(axis=1)
            value = products[np.arange(len(block)), best]
            nearer = value > closeness[own]
            closeness[own] = np.where(nearer, value, closeness[own])
            nearest[own] = np.where(nearer, best + left, nearest[own])
    l2 = np.full(len(rows), np.inf)
    found = np.flatnonzero(nearest >= 0)
    for start in range(0, len(found), _BLOCK):
        part = found[start : start + _BLOCK]
        l2[part] = paired_l2_distances(descriptors[rows[part]], descriptors[nearest[part]])
    return nearest, l2
