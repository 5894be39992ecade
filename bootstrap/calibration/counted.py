"""A bound on how rare pairs are of which a set has few or none: by counting, where there is no tail to fit.

The number of pairs would be Poisson's if each were alone. But one image may be in many of them: pairs come in clumps.
So what counts is the number of clumps, as if each were as large as the mean, weighted by size, that an image's share
of the variance tells (the jackknife over images of `tail`). That takes a pair for two even where all are alone, which
errs on the side of caution.

Source: Garwood, Fiducial limits for the Poisson distribution (1936).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from bootstrap.calibration.tail import NearPairs

_SMALLEST_CLUMP = 2.0
_GRID = 1e4
"""Radii are told with four digits."""


@dataclass(frozen=True, slots=True)
class CountedBound:
    """How far one may go with what was counted.

    Attributes
    ----------
    radius
        The largest radius, at most the one asked for.
    shown
        The share of all pairs that lie within it, at most, with the confidence asked for.
    """

    radius: float
    shown: float


def counted_bound(near: NearPairs, most: float, rate: float, confidence: float) -> CountedBound:
    """Return the largest radius that keeps a rate, or where so few images can show none, what they can show at best.

    Parameters
    ----------
    near
        All pairs up to the radius `most`, nearest first.
    most
        The largest radius.
    rate
        Share of all pairs, in (0, 1).
    confidence
        In (0.5, 1).
    """
    shares = most_pairs(near.rows, near.images, confidence) / max(1, near.pairs)
    # With each pair the bound grows, but by no more than the clumps do: so the last that keeps the rate, not the first.
    within = int(np.flatnonzero(shares <= max(rate, shares[0]))[-1])
    if within == len(near.l2_distance):
        return CountedBound(most, float(shares[within]))
    radius = max(0.0, float(np.ceil(near.l2_distance[within] * _GRID) - 1.0) / _GRID)
    return CountedBound(radius, float(shares[np.searchsorted(near.l2_distance, radius, side="right")]))


def most_pairs(rows: NDArray[np.intp], images: int, confidence: float) -> NDArray[np.float64]:
    """Return how many pairs are to be expected at most, given that none, the first, the first two, ... were found.

    Parameters
    ----------
    rows
        intp (k, 2): the images of each pair.
    images
        Images in the set.
    confidence
        One-sided, of each bound.

    Returns
    -------
    ndarray
        float64 (k + 1,).
    """
    counts, squares = np.arange(len(rows) + 1), np.zeros(len(rows) + 1)
    pairs_of = np.zeros(images, dtype=np.int64)
    for place, pair in enumerate(rows.tolist(), 1):
        squares[place] = squares[place - 1] + 2.0 * (1.0 + pairs_of[pair].sum())
        pairs_of[pair] += 1
    clump = np.maximum(_SMALLEST_CLUMP, squares / np.maximum(counts, 1))
    return np.asarray(clump * chi2.ppf(confidence, 2.0 * (counts / clump + 1.0)) / 2.0, dtype=np.float64)
