"""Centroids of a seed set."""

import math
import warnings

import numpy as np
from numpy.typing import NDArray

from neardup.engine import Each
from neardup.search.cells import Cells
from neardup.types import Descriptors

RANDOM_STATE = 0
CLUSTER_TARGET = 200
"""Images per cluster that `auto` aims at, with room to grow to a few hundred."""
CLUSTER_LIMIT = 300
MINI_BATCH_ABOVE = 20_000
"""Images above which mini-batches replace full passes, whose cost grows with images times clusters."""
_MINI_BATCH = 4096
_FIRST_ROWS_PER_CLUSTER = 4
_FEW_CLUSTERS = 8
"""Up to this many clusters, ten starts cost little and a bad start would show: one of two scenes cut in half."""
_SPLIT_ROUNDS = 8
_TRAINING_NUMBERS = 1 << 28
"""float32 numbers that k-means looks at, 1 GiB: a larger seed set (with large descriptors, say) is sampled."""


def fit_centroids(descriptors: Descriptors, clusters: int) -> NDArray[np.float32]:
    """Return float32 (k, d) k-means centroids, k at most `clusters` and at most the number of distinct rows.

    The random state is fixed, and one thread does all: with more, the order of their additions is chance. So the same
    kind of processor gives the same centroids, however many there are.

    Parameters
    ----------
    descriptors
        float16 (n, d), n at least 1; never changed. Of a very large matrix, only a random sample is used.
    clusters
        At least 1.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans  # noqa: PLC0415 - a second to import; only bootstrap clusters
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - scikit-learn's own

    sample = _sample(descriptors)
    rows = sample.astype(np.float32)
    distinct = _count_distinct(sample, clusters)
    starts = 10 if distinct <= _FEW_CLUSTERS else 1
    if len(rows) > MINI_BATCH_ABOVE:
        # The start is chosen among a few rows per cluster: among all rows it would take longer than all that follows.
        first_rows = max(_MINI_BATCH, _FIRST_ROWS_PER_CLUSTER * distinct)
        model = MiniBatchKMeans(
            distinct, random_state=RANDOM_STATE, batch_size=_MINI_BATCH, n_init=starts, init_size=first_rows
        )
    else:
        model = KMeans(distinct, random_state=RANDOM_STATE, n_init=starts, copy_x=False)  # the rows are a copy already
    with warnings.catch_warnings(), threadpool_limits(1):
        # Rows that differ only in their last bit may fall together: fewer clusters than asked for are fine.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows)
    return np.asarray(model.cluster_centers_, dtype=np.float32)


def fit_bounded_centroids(descriptors: Descriptors, each: Each = map) -> NDArray[np.float32]:
    """Return float32 (k, d) centroids whose cells hold a few hundred images each.

    Starts with one centroid per `CLUSTER_TARGET` images; a cell above `CLUSTER_LIMIT` gets its own k-means and its
    centroid gives way to the new ones, until none is above it. A cell of images all alike cannot be divided and
    stays: its images are duplicates of one another, which become one member.

    Parameters
    ----------
    descriptors
        float16 (n, d), n at least 1.
    each
        Does the fits of one round, and the assignments of its blocks.
    """
    (centroids,) = each(_fit, [descriptors])
    for _ in range(_SPLIT_ROUNDS):
        split = _split_large(descriptors, centroids, each)
        if len(split) == len(centroids):
            break
        centroids = split
    return centroids


def _split_large(descriptors: Descriptors, centroids: NDArray[np.float32], each: Each) -> NDArray[np.float32]:
    assigned = Cells(centroids).assign(descriptors, each)
    sizes = np.bincount(assigned, minlength=len(centroids))
    large = np.flatnonzero(sizes > CLUSTER_LIMIT).tolist()
    parts = dict(zip(large, each(_fit, (descriptors[assigned == cell] for cell in large)), strict=True))
    return np.concatenate([parts.get(cell, centroid[np.newaxis]) for cell, centroid in enumerate(centroids)])


def _fit(descriptors: Descriptors) -> NDArray[np.float32]:
    return fit_centroids(descriptors, math.ceil(len(descriptors) / CLUSTER_TARGET))


def _sample(descriptors: Descriptors) -> Descriptors:
    most = max(1, _TRAINING_NUMBERS // descriptors.shape[1])
    if len(descriptors) <= most:
        return descriptors
    chosen = np.random.default_rng(RANDOM_STATE).choice(len(descriptors), most, replace=False)
    chosen.sort()
    sample: Descriptors = descriptors[chosen]
    return sample


def _count_distinct(descriptors: Descriptors, enough: int) -> int:
    # scikit-learn warns, and returns doubled centroids, when asked for more clusters than there are distinct rows.
    seen: set[int] = set()
    for row in descriptors:
        seen.add(hash((row + np.float16(0)).tobytes()))  # -0.0 becomes 0.0
        if len(seen) >= enough:
            break
    return max(1, min(enough, len(seen)))
