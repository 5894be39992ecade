"""When an image is a duplicate of a member: the rule that every index in this project decides by."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.errors import Misconfigured
from neardup.relation.local_change import Thumbnails, largest_change
from neardup.relation.symmetry import Switches, symmetries
from neardup.types import Symmetry, Thumbnail


@dataclass(frozen=True, slots=True)
class Relation(Switches):
    """An image duplicates a member when one of its variants is near the member and nothing has changed between the two.

    The variants are the image as it came, and the image after each symmetry; the member stays as it was stored. So the
    relation has a direction, from the later image to the earlier one: what counts is the order of commits.

    Attributes
    ----------
    radius
        Largest L2 distance between descriptors, inclusive.
    local_change
        Largest local difference between thumbnails (`neardup.relation.local_change.largest_change`), inclusive; None
        when it does not count.

    The switches for symmetries come on top; see `neardup.relation.symmetry.Switches`.
    """

    radius: float
    local_change: float | None = None

    @property
    def has_thumbnails(self) -> bool:
        """Whether members are stored with a thumbnail."""
        return self.local_change is not None

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """What is done to an image before it is compared again, one comparison each."""
        return symmetries(self)

    def allows(self, local_change: float | None) -> bool:
        """Return whether an image that differs this much locally can still be a duplicate; None means not measured."""
        return self.local_change is None or local_change is None or local_change <= self.local_change

    def allow(self, local_changes: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return the same for each of many local changes, bool (n,)."""
        most = np.inf if self.local_change is None else self.local_change
        return np.asarray(local_changes <= most)

    def is_wider_than(self, other: "Relation") -> bool:
        """Return whether two members, as stored, can be alike under this relation but not under the other."""
        if self.radius > other.radius:
            return True
        if other.local_change is None:
            return False
        return self.local_change is None or self.local_change > other.local_change


def local_changes(thumbnails: Thumbnails, rows: NDArray[np.intp], others: Thumbnails) -> NDArray[np.float64]:
    """Return the largest local difference of each pair.

    Parameters
    ----------
    thumbnails
        uint8 (m, b).
    rows
        intp (n,): the row of `thumbnails` that is the first of each pair.
    others
        uint8 (n, b): the second of each pair.

    Returns
    -------
    ndarray
        float64 (n,).
    """
    changes = np.empty(len(rows))
    for row in np.unique(rows).tolist():
        pairs = np.flatnonzero(rows == row)
        changes[pairs] = largest_change(thumbnails[row], others[pairs])
    return changes


def stacked_thumbnails(thumbnails: Iterable[Thumbnail | None]) -> Thumbnails:
    """Return n thumbnails, at least one, as uint8 (n, b).

    Raises
    ------
    Misconfigured
        One is missing: the image was described for an index without local change.
    """
    rows = []
    for thumbnail in thumbnails:
        if thumbnail is None:
            raise Misconfigured("an image has no thumbnail, but the index needs it to compare local change")
        rows.append(thumbnail)
    return np.stack(rows)
