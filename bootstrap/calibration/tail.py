"""How rarely two different images lie near each other: the lower tail of their distances, and a cautious bound on it.

The nearest of n (n - 1) / 2 distances follow a power law, F(r) ~ r^m, where m is the local intrinsic dimension. Its
exponent is estimated from the k nearest pairs, and the radius at a rate smaller than any seen is extrapolated. Pairs
are not independent: one image that resembles many makes many near pairs. So the variance is taken over *images*.

Sources: Hill, A simple general approach to inference about the tail of a distribution (1975); Weissman, Estimation of
parameters and large quantiles based on the k largest observations (1978); Aban, Meerschaert and Panorska, Parameter
estimation for the truncated Pareto distribution (2006); Amsaleg et al., Estimating local intrinsic dimensionality
(2015); for the variance Arvesen, Jackknifing U-statistics (1969), and Efron and Stein, The jackknife estimate of
variance (1981); for its degrees of freedom Satterthwaite, An approximate distribution of estimates of variance
components (1946).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import t as student

Distances = NDArray[np.float64]
Rows = NDArray[np.intp]

FEWEST_PAIRS, MOST_PAIRS = 50, 400
"""The tail is fitted on 50, 100, 200 and 400 pairs. A tail that is not a power law has a different exponent at each;
the lowest bound counts."""
_HALVES = 8
"""Up to 50 * 2 ** 7 = 6400 pairs where a floor hides most of the nearer ones."""
_MOST_HIDDEN = 0.5
"""A fit that saw less than half of its tail says next to nothing about the rest."""
_TAIL = 0.05
"""Beyond this fraction of all pairs, it is no longer the tail."""
_SMALLEST_EXPONENT, _LARGEST_EXPONENT = 1e-3, 1e3
_FEWEST_FREEDOMS = 2.0
_SPENT = 0.5
"""Share of the error probability that is left to chance; the rest is kept for tails that are not a power law and
estimates that are not normal: without it, 92 instead of 95 of 100 sets of 500 photos held (docs/calibration.md)."""


@dataclass(frozen=True, slots=True)
class NearPairs:
    """The nearest pairs of a set of images that are all different.

    Attributes
    ----------
    l2_distance
        float64 (k,), ascending, above `floor`.
    rows
        intp (k, 2): the two images of each pair, as rows of the set.
    images
        Images in the set, n: there are n (n - 1) / 2 pairs.
    floor
        Pairs at or below this distance were taken for copies and left out. 0 when all pairs were admitted.
    """

    l2_distance: Distances
    rows: Rows
    images: int
    floor: float = 0.0

    @property
    def pairs(self) -> int:
        """How many pairs the set has, near or far."""
        return self.images * (self.images - 1) // 2

    def __len__(self) -> int:
        """Return how many there are, k."""
        return len(self.l2_distance)

    def at(self, which: NDArray[np.bool_]) -> "NearPairs":
        """Return some of the pairs of the same set."""
        return NearPairs(self.l2_distance[which], self.rows[which], self.images, self.floor)


@dataclass(frozen=True, slots=True)
class TailFit:
    """A power law below a threshold: F(r) = rate * (r / threshold) ** exponent, a fraction of all pairs.

    Attributes
    ----------
    threshold
        L2 distance up to which it was fitted.
    exponent
        The local intrinsic dimension.
    rate
        F at the threshold, including the unseen part below the floor.
    pairs
        Number of pairs it was fitted on.
    """

    threshold: float
    exponent: float
    rate: float
    pairs: int

    def radius_at(self, rate: float) -> float:
        """Return the estimated distance below which this fraction of all pairs lies."""
        return float(self.threshold * (rate / self.rate) ** (1.0 / self.exponent))

    def rate_at(self, radius: float) -> float:
        """Return the estimated fraction of all pairs within a distance, at most 1."""
        if radius <= 0.0:
            return 0.0
        log_rate = np.log(self.rate) + self.exponent * np.log(radius / self.threshold)
        return float(np.exp(min(0.0, log_rate)))


@dataclass(frozen=True, slots=True)
class TailBound:
    """A radius that keeps a rate with some confidence.

    Attributes
    ----------
    radius
        The lowest bound over all thresholds.
    fit
        The fit that it comes from.
    """

    radius: float
    fit: TailFit


def enough_pairs(images: int, rate: float) -> int:
    """Return how many of a set's nearest pairs `tail_bound` uses at most."""
    pairs = images * (images - 1) / 2
    return 1 + int(min(_TAIL * pairs, max(FEWEST_PAIRS << (_HALVES - 1), pairs * rate)))


def tail_bound(near: NearPairs, rate: float, confidence: float) -> TailBound | None:
    """Return a radius that at most `rate` of all pairs of different images lie within, with one-sided confidence.

    Parameters
    ----------
    near
        The nearest pairs, `enough_pairs` of them or all there are.
    rate
        In (0, 1).
    confidence
        In (0.5, 1), of the bound at each threshold.

    Returns
    -------
    TailBound or None
        None where there are too few pairs for any fit.

    Notes
    -----
    Where pairs are plentiful (400 or more within the rate) there is one threshold and nothing to extrapolate: the bound
    is that of the empirical quantile.
    """
    bounds = [_bounded(near, fit, rate, confidence) for fit in _fits(near, rate)]
    return min(bounds, key=lambda bound: bound.radius, default=None)


def _fits(near: NearPairs, rate: float) -> list[TailFit]:
    """Return the fits that count; where the floor hides too much of the smallest, the first that sees enough."""
    most = min(len(near.l2_distance) - 1, int(_TAIL * near.pairs))
    expected = int(near.pairs * rate)
    counts = sorted({max(FEWEST_PAIRS << half, expected) for half in range(_HALVES)})
    fits = [_fit(near, count) for count in counts if count <= most]
    seen = [fit for fit in fits if fit.pairs >= (1.0 - _MOST_HIDDEN) * fit.rate * near.pairs]
    return [fit for fit in seen if fit.pairs <= max(MOST_PAIRS, expected)] or seen[:1] or fits[-1:]


def _fit(near: NearPairs, count: int) -> TailFit:
    threshold = float(near.l2_distance[count])
    logs, depth = _logs(near, threshold, count)
    exponent = _exponent(float(logs.mean()), depth)
    hidden = np.exp(-exponent * depth)  # the part of the law below the floor
    return TailFit(threshold, exponent, float(min(1.0, count / near.pairs / (1.0 - hidden))), count)


def _logs(near: NearPairs, threshold: float, count: int) -> tuple[Distances, float]:
    """Return log(threshold / distance) of the nearest pairs, and of the floor."""
    depth = float(np.log(threshold / near.floor)) if near.floor > 0.0 else np.inf
    return np.log(threshold / near.l2_distance[:count]), depth


def _bounded(near: NearPairs, fit: TailFit, rate: float, confidence: float) -> TailBound:
    logs, depth = _logs(near, fit.threshold, fit.pairs)
    deviation, freedoms = _deviation(near, logs, fit, depth, rate)
    margin = student.ppf(1.0 - _SPENT * (1.0 - confidence), freedoms) * deviation
    return TailBound(float(fit.radius_at(rate) * np.exp(-margin)), fit)


def _exponent(mean_log: float, depth: float) -> float:
    """Return the maximum-likelihood exponent of a power law between the floor and the threshold.

    `mean_log` is the mean of log(threshold / distance), `depth` the log of threshold / floor. Without a floor this is
    Hill's estimator.
    """

    def score(exponent: float) -> float:
        return 1.0 / exponent - mean_log - _beyond(exponent, depth)

    if score(_LARGEST_EXPONENT) >= 0.0:
        return _LARGEST_EXPONENT
    if score(_SMALLEST_EXPONENT) <= 0.0:
        return _SMALLEST_EXPONENT
    return float(brentq(score, _SMALLEST_EXPONENT, _LARGEST_EXPONENT))


def _beyond(exponent: float, depth: float) -> float:
    """Return depth / (exp(exponent * depth) - 1), which is 0 without a floor."""
    if exponent * depth > 500.0:  # noqa: PLR2004 - exp would overflow
        return 0.0
    return float(depth / np.expm1(exponent * depth))


def _deviation(near: NearPairs, logs: Distances, fit: TailFit, depth: float, rate: float) -> tuple[float, float]:
    """Return the standard deviation of the log of `radius_at`, and its degrees of freedom.

    The delta method gives each pair its influence on the estimate; an image's is the sum over its pairs. The variance
    is the sum of squares over images (the infinitesimal jackknife). For independent pairs that is twice the
    variance, so it errs on the side of caution.
    """
    lean = _beyond(fit.exponent, depth)
    information = _information(fit.exponent, depth)
    by_exponent = -np.log(rate / fit.rate) / fit.exponent**2 + lean / fit.exponent
    score = 1.0 / fit.exponent - logs - lean
    influence = (by_exponent * score / information - 1.0 / fit.exponent) / fit.pairs
    sums = np.zeros(near.images)
    for side in near.rows[: fit.pairs].T:
        sums += np.bincount(side, influence, near.images)
    squares = np.square(sums - sums.mean())
    variance = float(squares.sum())
    if variance <= 0.0:
        return 0.0, _FEWEST_FREEDOMS
    freedoms = variance**2 / float(np.square(squares).sum())
    return float(np.sqrt(variance)), max(_FEWEST_FREEDOMS, freedoms)


def _information(exponent: float, depth: float) -> float:
    """Return the Fisher information of one pair about the exponent, positive."""
    full = 1.0 / exponent**2
    if not np.isfinite(depth) or exponent * depth > 500.0:  # noqa: PLR2004 - exp would overflow
        return full
    half = exponent * depth / 2.0
    if half < 0.01:  # noqa: PLR2004 - the two terms cancel
        return depth**2 / 12.0
    return float(full * (1.0 - (half / np.sinh(half)) ** 2))
