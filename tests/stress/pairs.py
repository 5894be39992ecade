"""Which message duplicates which, if that comes before it, by comparing all with all."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.search.distance import l2_distances
from tests.stress.audit import pairs_within
from tests.stress.looks import RADIUS, duplicates
from tests.stress.material import DIMENSION, Material


@dataclass(frozen=True)
class NearPairs:
    """Pairs within the radius, in either order, a row each.

    Attributes
    ----------
    later, earlier
        intp (n,), numbers of messages.
    l2
        float64 (n,), of the view of the later one that is near.
    of_part
        bool (n,): whether that is a part.
    duplicates
        bool (n,): whether the later is then a duplicate.
    """

    later: NDArray[np.intp]
    earlier: NDArray[np.intp]
    l2: NDArray[np.float64]
    of_part: NDArray[np.bool_]
    duplicates: NDArray[np.bool_]

    def found(self) -> Iterator[tuple[int, int, float]]:
        """Iterate over the duplicates: the later, the earlier, and their distance."""
        rows = (each[self.duplicates].tolist() for each in (self.later, self.earlier, self.l2))
        return zip(*rows, strict=True)


def near_pairs(material: Material) -> NearPairs:
    """Return all pairs of which a view of one is near the whole of the other."""
    views = material.partitions.reshape(-1, material.partitions.shape[2], DIMENSION)
    wholes = views[:, 0]
    either = [(*pair, far, 0) for one, two, far in pairs_within(wholes, RADIUS) for pair in ((one, two), (two, one))]
    pairs = np.array(either + list(_by_parts(views)), dtype=np.float64).reshape(-1, 4).T
    later, earlier, view = (pairs[place].astype(np.intp) for place in (0, 1, 3))
    shown = material.shown.reshape(-1)
    allowed = duplicates(material.rule, material.looks, (shown[later], view), shown[earlier], pairs[2])
    return NearPairs(later, earlier, pairs[2], view > 0, allowed)


def _by_parts(views: NDArray[np.float16]) -> Iterator[tuple[int, int, float, int]]:
    # Most parts are opposite their whole, far from all there is.
    for row, view in np.argwhere((views[:, 1:] != -views[:, :1]).any(axis=2)).tolist():
        distances = l2_distances(views[row, 1 + view][np.newaxis], views[:, 0])[0]
        for other in np.flatnonzero(distances <= RADIUS).tolist():
            if other != row:
                yield row, other, float(distances[other]), 1 + view
