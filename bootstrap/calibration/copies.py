"""Tells copies from different images among the seeds, so that a pair of copies is not taken for a false pair."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bootstrap.calibration.isolation import MOST_COPIES, originals_of
from bootstrap.calibration.looking import LookedPairs
from neardup.types import Descriptors

Rows = NDArray[np.intp]


def originals_by_look(pairs: LookedPairs, reach: float = 0.0) -> Rows:
    """Return the row that each image is a copy of, its own if it is none, by what second looks found, intp (n,).

    Images that agree nearly everywhere are copies of one, and so are those that such pairs join; but more than
    `MOST_COPIES` and one are a kind of image, such as the frames of a camera, and stay. Beside that, images within
    `reach`, which light edits go as far as, are copies where the two agree at all.
    """
    originals = _grouped(pairs.near.rows[pairs.copies], pairs.near.images)
    light = (pairs.near.l2_distance <= reach) & (pairs.passes_up_to >= 0.0)
    rows = pairs.near.rows[light]
    for one, two in rows[np.lexsort((rows[:, 1], rows[:, 0]))].tolist():
        # The first stays, and whatever is near it goes with it; what is only near a copy does not.
        if originals[one] == one and originals[two] == two:
            originals[two] = one
    return np.asarray(originals[originals], dtype=np.intp)


def originals_by_isolation(descriptors: Descriptors, pairs: LookedPairs) -> Rows:
    """Return the same by `isolation.originals_of`, but only where two of those that lie together also agree."""
    originals = originals_of(descriptors)
    together = (originals[pairs.near.rows[:, 0]] == originals[pairs.near.rows[:, 1]]) & (pairs.passes_up_to >= 0.0)
    return _grouped(pairs.near.rows[together], pairs.near.images)


def _grouped(links: Rows, count: int) -> Rows:
    """Return the first row of the group that links join each row to; too large groups fall apart."""
    first, sizes = _first_of_groups(links, count)
    return np.where(sizes > MOST_COPIES + 1, np.arange(count), first)


def _first_of_groups(links: Rows, count: int) -> tuple[Rows, Rows]:
    """Return the first row of each row's group, and how many are in it, both intp (count,)."""
    linked = coo_array((np.ones(len(links), dtype=np.bool_), (links[:, 0], links[:, 1])), shape=(count, count))
    _, group = connected_components(linked, directed=False)
    first = np.full(count, count, dtype=np.intp)
    np.minimum.at(first, group, np.arange(count))
    return first[group], np.bincount(group)[group]


def stays(originals: Rows) -> Rows:
    """Return the rows that are copies of none, ascending."""
    return np.flatnonzero(originals == np.arange(len(originals)))


def merged(first: Rows, second: Rows) -> Rows:
    """Return what each image is a copy of, given that twice: what is a copy of one by either is."""
    rows = np.arange(len(first))
    links = np.concatenate([np.stack([rows, first], axis=1), np.stack([rows, second], axis=1)])
    return _first_of_groups(links, len(rows))[0]


def joined(first: Rows, second: Rows) -> Rows:
    """Return what each image is a copy of, given that for all of them, and then for the rows that stayed."""
    left = stays(first)
    return np.asarray(left[second[np.searchsorted(left, first)]], dtype=np.intp)
