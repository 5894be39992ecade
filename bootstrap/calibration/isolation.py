"""Finds copies with more than light edits: images too close to one another for it to be chance.

Two different images that happen to be near lie among others that are nearly as near; copies of one image lie in
isolation together. Around an image of local intrinsic dimension m, the j nearest others lie within r times the
distance of the next with probability r ** (m j): neighbours are uniform in volume. So each image has a probability
that chance alone isolates it with its nearest; the cutoff is set so that few images taken for copies are not.

Sources: Lowe, Distinctive image features from scale-invariant keypoints, section 7.1 (2004), for the ratio; Rényi, On
the theory of order statistics (1953), for its distribution; Benjamini and Hochberg, Controlling the false discovery
rate (1995); Levina and Bickel, Maximum likelihood estimation of intrinsic dimension (2004), and Amsaleg et al.,
Estimating local intrinsic dimensionality (2015), for m.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from neardup.types import Descriptors

Distances = NDArray[np.float64]
Rows = NDArray[np.intp]

FALSE_DISCOVERIES = 0.02
"""Expected fraction of the images taken for copies that are in fact different; in a set without copies, the probability
that any image is taken for one."""
MOST_COPIES = 16
"""At most this many copies of one image, besides itself. A larger group is a kind of image, such as garments on one
background: these are where the false pairs come from."""
_FEWEST_IMAGES = 41
_NEIGHBOURS = 3 * MOST_COPIES
_NEAR = 20
"""Neighbours that the dimension is estimated from, where no copies are among them."""
_ROUNDS = 8
_BLOCK = 256
_TINY = 1e-6


def originals_of(descriptors: Descriptors) -> Rows:
    """Return the row that each image is a copy of; its own row if it is not a copy.

    Parameters
    ----------
    descriptors
        float16 (n, d), unit norm. The order matters: the first of several copies stands for them all.

    Returns
    -------
    ndarray
        intp (n,): no larger than the row itself; the same for all copies of one image.

    Notes
    -----
    Two images are copies of one when each is among those that the other is isolated with. Copies of one image
    hide those of others, so all but the first of those found are taken out, and the rest are looked at again.
    """
    count = len(descriptors)
    every = np.arange(count)
    originals = every
    if count < _FEWEST_IMAGES:
        return originals
    l2, others = _neighbours(descriptors.astype(np.float32), min(_NEIGHBOURS, count - 1))
    links = csr_array((count, count), dtype=np.bool_)
    for _ in range(_ROUNDS):
        rows = np.flatnonzero(originals == every)
        found = _links(rows, *_among(rows, l2[rows], others[rows], count), count)
        if not found.nnz:
            break
        links = links + found
        _, group = connected_components(links, directed=False)
        first = np.full(count, count, dtype=np.intp)
        np.minimum.at(first, group, every)
        originals = first[group]
    return originals


def _among(rows: Rows, l2: Distances, others: Rows, count: int) -> tuple[Distances, Rows]:
    """Return the neighbours that are among the rows, nearest first; the rest of each row of distances is infinite."""
    there = np.zeros(count, dtype=np.bool_)
    there[rows] = True
    order = np.argsort(~there[others], axis=1, kind="stable")
    kept = np.where(there[others], np.maximum(l2, _TINY), np.inf)
    return np.take_along_axis(kept, order, 1), np.take_along_axis(others, order, 1)


def _links(rows: Rows, l2: Distances, others: Rows, count: int) -> csr_array:
    """Return which images are isolated together, bool (count, count), symmetric."""
    sizes = _isolated_with(l2)
    near = np.arange(l2.shape[1]) < sizes[:, None]
    ones, twos = np.repeat(rows, sizes), others[near]
    links = csr_array((np.ones(len(ones), dtype=np.bool_), (ones, twos)), shape=(count, count))
    return links.multiply(links.T).tocsr()


def _isolated_with(l2: Distances) -> NDArray[np.intp]:
    """Return how many of its nearest each image is isolated with, intp (n,), given ascending distances (n, k)."""
    j = np.arange(1, min(MOST_COPIES, l2.shape[1] - 1) + 1)
    known = np.isfinite(l2[:, 1 : len(j) + 1])
    ratio = np.divide(l2[:, : len(j)], l2[:, 1 : len(j) + 1], out=np.ones(known.shape), where=known)
    # Group sizes are tried one by one: they share the error probability as 1/2, 1/4, 1/8, ... (Boole's inequality).
    chance = 2.0**j * ratio ** (_dimensions(l2)[:, None] * j)
    isolated = chance <= _limit(chance.min(axis=1))
    largest = len(j) - np.argmax(isolated[:, ::-1], axis=1)
    return np.where(isolated.any(axis=1), largest, 0)


def _limit(chances: Distances) -> float:
    """Return the largest probability that is small enough, by Benjamini and Hochberg; -1 when none is."""
    ascending = np.sort(chances)
    allowed = FALSE_DISCOVERIES * np.arange(1, len(ascending) + 1) / len(ascending)
    within = np.flatnonzero(ascending <= allowed)
    return float(ascending[within[-1]]) if len(within) else -1.0


def _dimensions(l2: Distances) -> Distances:
    """Return the local intrinsic dimension of each image, float64 (n,).

    Copies among the nearest make it too small, and then nothing looks isolated: so the median of the set is estimated
    from further neighbours as well, and the larger counts. Where an image's own, from further neighbours, is below the
    median, the geometric mean of the two is taken: flat images vary in fewer directions than most, but an estimate
    from so few neighbours is rough.
    """
    near, far = _dimensions_by(l2, 0, _NEAR), _dimensions_by(l2, MOST_COPIES, l2.shape[1])
    median = max(_median(near), _median(far))
    return np.asarray(np.sqrt(median * np.minimum(median, far)), dtype=np.float64)


def _median(dimensions: Distances) -> float:
    known = dimensions[np.isfinite(dimensions)]
    return float(np.median(known)) if len(known) >= _FEWEST_IMAGES else 0.0


def _dimensions_by(l2: Distances, first: int, end: int) -> Distances:
    """Return the dimensions from neighbours `first` to `end` - 1, counted from 0; infinity where some are missing."""
    part = l2[:, first:end]
    known = np.isfinite(part).all(axis=1)
    found = np.full(len(l2), np.inf)
    # The log of the volume ratio of neighbours i and k is 1 / i + ... + 1 / (k - 1) on average (Rényi).
    steps = 1.0 / np.arange(first + 1, end)
    expected = float((steps * np.arange(1, len(steps) + 1)).sum())
    found[known] = expected / np.maximum(np.log(part[known, -1:] / part[known, :-1]).sum(axis=1), _TINY)
    return found


def _neighbours(floats: NDArray[np.float32], count: int) -> tuple[Distances, Rows]:
    """Return distances and rows of the nearest others of each row, (n, count), ascending."""
    l2, others = np.empty((len(floats), count)), np.empty((len(floats), count), dtype=np.intp)
    for start in range(0, len(floats), _BLOCK):
        block = floats[start : start + _BLOCK]
        squared = 2.0 - 2.0 * (block @ floats.T)
        squared[np.arange(len(block)), start + np.arange(len(block))] = np.inf
        nearest = np.argpartition(squared, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(squared, nearest, 1)
        order = np.argsort(values, axis=1, kind="stable")
        l2[start : start + _BLOCK] = np.sqrt(np.maximum(np.take_along_axis(values, order, 1), 0.0))
        others[start : start + _BLOCK] = np.take_along_axis(nearest, order, 1)
    return l2, others
