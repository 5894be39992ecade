"""Copies that are edited more than lightly: pairs that are too near to have come about by chance.

Two different images that happen to be near lie among others that are nearly as near; a copy lies alone beside its
original. Around an image of local intrinsic dimension m, the nearest neighbour of which the next is r times as far has
the probability r ** -m: neighbours are uniform in volume. Times the number of images, that is how often chance alone
makes such a pair in the whole set, its number of false alarms.

Sources: Lowe, Distinctive image features from scale-invariant keypoints, section 7.1 (2004), for the ratio; Desolneux,
Moisan and Morel, From Gestalt theory to image analysis (2008), for the number of false alarms; Amsaleg et al.,
Estimating local intrinsic dimensionality (2015), for m.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bootstrap.calibration.tail import NearPairs
from neardup.types import Descriptors

FALSE_ALARMS = 0.05
"""Pairs that chance alone makes less often than this, in the whole set, are copies."""
_TESTED = 1000
_SAMPLE = 300
_NEIGHBOURS = 20
_BLOCK = 256
_TINY = 1e-6


def without_copies(descriptors: Descriptors, near: NearPairs) -> NearPairs:
    """Leave out the pairs that are copies.

    Parameters
    ----------
    descriptors
        float16 (n, d), unit norm; the set that the pairs are of, in random order.
    near
        Its nearest pairs.

    Notes
    -----
    Of three or more copies of one image none lies alone, and all are taken for different images.
    """
    rows = near.rows[:_TESTED]
    if len(descriptors) <= 2 * _NEIGHBOURS or not len(rows):
        return near
    floats = descriptors.astype(np.float32)
    images, place = np.unique(rows, return_inverse=True)
    # The second neighbour of each: the first is the other of the pair, or nearer still, and then nobody is alone.
    second = _neighbours(floats, images, 2)[:, 1][place.reshape(rows.shape)].min(axis=1)
    ratio = np.minimum(1.0, near.l2_distance[: len(rows)] / np.maximum(second, _TINY))
    alarms = len(descriptors) * ratio ** _dimension(floats)
    different = np.ones(len(near.rows), dtype=np.bool_)
    different[: len(rows)] = alarms >= FALSE_ALARMS
    return replace(near, l2_distance=near.l2_distance[different], rows=near.rows[different])


def _dimension(floats: NDArray[np.float32]) -> float:
    """Return the median of the local intrinsic dimensions of some images."""
    distances = _neighbours(floats, np.arange(min(_SAMPLE, len(floats))), _NEIGHBOURS)
    logs = np.log(np.maximum(distances[:, -1:], _TINY) / np.maximum(distances[:, :-1], _TINY))
    return float(np.median(1.0 / np.maximum(logs.mean(axis=1), _TINY)))


def _neighbours(floats: NDArray[np.float32], rows: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """Return the distances of rows to their nearest others, float64 (m, count), ascending."""
    parts = []
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        squared = 2.0 - 2.0 * (floats[block] @ floats.T)
        squared[np.arange(len(block)), block] = np.inf
        nearest = np.sort(np.partition(squared, count - 1, axis=1)[:, :count], axis=1)
        parts.append(np.sqrt(np.maximum(nearest, 0.0)).astype(np.float64))
    return np.concatenate(parts)
