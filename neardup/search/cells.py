"""Cells: the regions of the frozen k-means centroids."""

import numpy as np
from numpy.typing import NDArray

from neardup.engine import Each
from neardup.types import Descriptors

_BLOCK = 4096
_GRID = 2.0**24
_BLOCK_BYTES = 256 * 1024 * 1024
"""Size of one block of rows in float64: 4096 images of the article's 307,200 pixels would take 10 GB."""


class Cells:
    """The partition of descriptor space into the regions nearest to each centroid.

    Parameters
    ----------
    centroids
        float32 (k, d), k at least 1; frozen for the life of an index generation. Means of unit vectors, so
        their norm is at most 1.

    Notes
    -----
    Centroids are rounded to multiples of 2**-24, which changes them by less than float32 itself does. With them
    and float16 descriptors on one grid, ranks are free of rounding in float64 (see `neardup.search.distance`): an image
    midway between two centroids goes to the same one in any batch and on any machine.
    """

    def __init__(self, centroids: NDArray[np.float32]) -> None:
        snapped = np.round(np.asarray(centroids, dtype=np.float64) * _GRID) / _GRID
        self.centroids: NDArray[np.float32] = np.ascontiguousarray(snapped, dtype=np.float32)
        self._half_squared_norms = np.square(self.centroids.astype(np.float64)).sum(axis=1) / 2.0

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.centroids)

    @property
    def dimension(self) -> int:
        """Length of a descriptor."""
        return int(self.centroids.shape[1])

    def rank(self, descriptors: Descriptors) -> NDArray[np.float64]:
        """Return float64 (n, k): half the squared L2 distance to each centroid, less half the row's squared norm.

        Smaller is nearer; within one row the order is that of the distances.
        """
        products = descriptors.astype(np.float64) @ self.centroids.T.astype(np.float64)
        return np.asarray(self._half_squared_norms - products, dtype=np.float64)

    def assign(self, descriptors: Descriptors, each: Each = map) -> NDArray[np.intp]:
        """Return for each float16 (n, d) row the number of its nearest centroid; the lowest number on a tie.

        `each` does it block by block.
        """
        step = max(1, min(_BLOCK, _BLOCK_BYTES // (8 * self.dimension)))
        rows = (descriptors[start : start + step] for start in range(0, len(descriptors), step))
        blocks = list(each(self._nearest, rows))
        return np.concatenate(blocks) if blocks else np.empty(0, dtype=np.intp)

    def _nearest(self, descriptors: Descriptors) -> NDArray[np.intp]:
        return np.asarray(self.rank(descriptors).argmin(axis=1))
