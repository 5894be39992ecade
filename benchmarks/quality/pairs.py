"""False pairs among images that are all different: how many lie within a distance, and where one in a million is."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 2048


@dataclass(frozen=True)
class Point:
    """A threshold chosen for a rate of false pairs.

    Attributes
    ----------
    threshold
        Largest distance, inclusive, within which at most the allowed pairs lie; None if even 0 lets too many through.
    within
        Pairs that lie within it: fewer than allowed where distances tie.
    """

    threshold: float | None
    within: int
    allowed: int
    pairs: int

    @property
    def rate(self) -> float:
        """Share of pairs that really lie within the threshold."""
        return self.within / self.pairs if self.pairs else 0.0


def point_at_rate(smallest: Sequence[float] | NDArray[np.float64], pairs: int, rate: float, *, whole: bool) -> Point:
    """Return the largest inclusive threshold with at most ``rate * pairs`` false pairs.

    Parameters
    ----------
    smallest
        The smallest distances in rising order: more than are allowed, or all.
    pairs
        Pairs that were compared.
    rate
        Share of them that may lie within.
    whole
        Distances are whole numbers (bits), else any numbers.

    Raises
    ------
    ValueError
        Too few distances to tell.
    """
    allowed = math.floor(pairs * rate * (1 + 1e-12))
    if len(smallest) <= allowed:
        raise ValueError(f"{len(smallest)} smallest distances cannot tell where {allowed} false pairs end")
    first_too_many = float(smallest[allowed])
    within = int(np.searchsorted(smallest, first_too_many, side="left"))
    if first_too_many <= 0.0:
        return Point(None, 0, allowed, pairs)
    below = first_too_many - 1 if whole else float(np.nextafter(first_too_many, 0.0))
    return Point(below, within, allowed, pairs)


@dataclass(frozen=True)
class NearPairs:
    """The nearest pairs among `pairs`, and how many lie within a given distance.

    `squared` float64 (k,) rises; `left` and `right` are row numbers.
    """

    pairs: int
    within: int
    squared: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]


def near_pairs(rows: NDArray[np.float16], keep: int, squared_limit: float) -> NearPairs:
    """Compare all rows (n, d) with one another, keep the nearest pairs, count those within a squared distance."""
    count = len(rows)
    kept: list[NDArray[np.float64]] = [np.empty((0, 3))]
    bound, within = np.inf, 0
    for top, left, squared in _blocks(rows):
        within += int(np.count_nonzero(squared <= squared_limit))
        above, beside = np.nonzero(squared < bound)
        found = np.column_stack([squared[above, beside], above + top, beside + left])
        table = np.concatenate([kept[0], found])
        table = table[np.argsort(table[:, 0], kind="stable")[:keep]]
        bound = float(table[-1, 0]) if len(table) == keep else np.inf
        kept = [table]
    exact = _exact_squared(rows, kept[0][:, 1].astype(np.int64), kept[0][:, 2].astype(np.int64))
    order = np.argsort(exact, kind="stable")
    numbers = kept[0][order, 1:].astype(np.int64)
    return NearPairs(count * (count - 1) // 2, within, exact[order], numbers[:, 0], numbers[:, 1])


def _blocks(rows: NDArray[np.float16]) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Yield squared distances in float32, infinite where a pair is not above the diagonal."""
    norms = np.einsum("ij,ij->i", rows, rows, dtype=np.float64).astype(np.float32)
    for top in range(0, len(rows), BLOCK_ROWS):
        upper = rows[top : top + BLOCK_ROWS].astype(np.float32)
        for left in range(top, len(rows), BLOCK_ROWS):
            right = rows[left : left + BLOCK_ROWS].astype(np.float32)
            squared = upper @ right.T
            squared *= -2
            squared += norms[top : top + BLOCK_ROWS, None]
            squared += norms[left : left + BLOCK_ROWS]
            if left == top:
                squared[np.tril_indices(len(upper))] = np.inf
            yield top, left, squared


def _exact_squared(rows: NDArray[np.float16], left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
    differences = rows[left].astype(np.float64) - rows[right].astype(np.float64)
    return np.asarray(np.einsum("ij,ij->i", differences, differences), dtype=np.float64)


def nearest_other(rows: NDArray[np.float16]) -> NDArray[np.float64]:
    """Return for each row (n, d) the squared distance to the nearest other one."""
    nearest = np.full(len(rows), np.inf)
    for top, left, squared in _blocks(rows):
        upper, right = nearest[top : top + BLOCK_ROWS], nearest[left : left + BLOCK_ROWS]
        np.minimum(upper, squared.min(axis=1), out=upper)
        np.minimum(right, squared.min(axis=0), out=right)
    return np.asarray(np.maximum(nearest, 0.0))


def precision_recall(
    positive: NDArray[np.float64], negative: NDArray[np.float64], steps: int = 60
) -> list[tuple[float, float, float]]:
    """Return (threshold, precision, recall) over thresholds, inclusive.

    `positive` holds the distances of copies to their originals, `negative` those of images to the nearest image that
    is not theirs: each weighs as one trial a copy, so precision is ``recall / (recall + share of negatives within)``.
    """
    finite = np.concatenate([positive[np.isfinite(positive)], negative[np.isfinite(negative)]])
    if not len(finite):
        return []
    curve = []
    for threshold in np.unique(np.quantile(finite, np.linspace(0, 1, steps), method="inverted_cdf")):
        recall, wrong = float((positive <= threshold).mean()), float((negative <= threshold).mean())
        if recall + wrong > 0:
            curve.append((float(threshold), recall / (recall + wrong), recall))
    return curve
