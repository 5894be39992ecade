"""Tells copies from different images among the seeds, so that a pair of copies is not taken for a false pair."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bootstrap.calibration.isolation import MOST_COPIES, originals_of
from bootstrap.calibration.looking import MOST_LOOKED, LookedPairs, looked_at, pairs_within
from bootstrap.calibration.radius import FEWEST_IMAGES
from neardup.relation.images import Images
from neardup.relation.rule import Relation
from neardup.types import Descriptors

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Sifted:
    """Images as far as they were compared, of which each shows something else, or is known to be a copy.

    Attributes
    ----------
    rows
        intp (m,): the rows compared; a sample where too many pairs are near.
    originals
        intp (m,): for each of these the place of the one it is a copy of, its own if it is none.
    pairs
        The pairs of those that are copies of none, in their order.
    """

    rows: Rows
    originals: Rows
    pairs: LookedPairs

    @property
    def different(self) -> Rows:
        """The rows of those that are copies of none."""
        return self.rows[stays(self.originals)]


def sifted(images: Images, rows: Rows, relation: Relation, *, floor: float = 0.0, reach: float = 0.0) -> Sifted:
    """Take a second look at all pairs of images within a relation's radius, and leave out the copies.

    Parameters
    ----------
    images
        With what is kept of them for the second look.
    rows
        Which of them, in an order that is as good as random: of too many the first are taken.
    relation
        As in `looked_at`.
    floor
        Nothing is known of pairs as near as that.
    reach
        As in `originals_by_look`.
    """
    while len(near := pairs_within(images.descriptors[rows], relation.radius, floor)) > MOST_LOOKED:
        rows = rows[: max(FEWEST_IMAGES, len(rows) // 2)]
    pairs = looked_at(near, images.at(rows), relation)
    first = originals_by_look(pairs, reach)
    pairs = pairs.among(stays(first))
    second = originals_by_isolation(images.descriptors[rows[stays(first)]], pairs)
    return Sifted(rows, joined(first, second), pairs.among(stays(second)))


def originals_by_look(pairs: LookedPairs, reach: float = 0.0) -> Rows:
    """Return the row that each image is a copy of, its own if it is none, by what second looks found, intp (n,).

    Images that agree nearly everywhere are copies of one, and so are those that such pairs join; but more than
    `MOST_COPIES` and one are a kind of image, such as the frames of a camera, and stay. Only what is also within
    `reach`, as far as light edits go, is a copy however many there are; of blank pictures that alone tells.
    """
    originals = _grouped(pairs.near.rows[pairs.copies], pairs.near.images)
    light = (pairs.near.l2_distance <= reach) & (pairs.copies | np.isposinf(pairs.passes_up_to))
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
