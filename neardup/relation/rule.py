"""When an image is a duplicate of a member: the rule that every index in this project decides by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.errors import Misconfigured
from neardup.relation.kept import Parts, divided, narrowed
from neardup.relation.local_change import largest_change
from neardup.relation.looks.second_look import Looks, Ways, looks
from neardup.relation.symmetry import Switches, motion, symmetries
from neardup.types import Kept, Look, Symmetry

_MAP_DIGITS = 4
_BRIGHTNESS_DIGITS = 1
_CONTRAST_DIGITS = 2
"""A recorded decision is delivered again as it was, to the last digit: so the rounded numbers are the numbers."""


@dataclass(frozen=True, slots=True)
class Checks:
    """What was found for pairs of an image and an earlier one that are near each other.

    Attributes
    ----------
    allowed
        bool (n,): whether the later can be a duplicate of the earlier.
    changes
        float64 (n,): the local change of each; None where it does not count.
    looks
        What a second look found, rounded; None where none is taken. Not a number in pairs that local change ruled out.
    looked_for
        The symmetries after which it looked again.
    """

    allowed: NDArray[np.bool_]
    changes: NDArray[np.float64] | None = None
    looks: Looks | None = None
    looked_for: tuple[Symmetry, ...] = ()

    def local_change(self, pair: int) -> float | None:
        """Return the local change of a pair; None where it does not count."""
        return None if self.changes is None else float(self.changes[pair])

    def symmetry(self, pair: int, of_variant: Symmetry) -> Symmetry:
        """Return what was done to the later image of a pair, one of whose variants was compared."""
        way = 0 if self.looks is None else int(self.looks.way[pair])
        return self.looked_for[way - 1] if way else of_variant

    def look(self, pair: int) -> Look | None:
        """Return what the second look found for a pair; None where none was taken."""
        if self.looks is None or np.isnan(self.looks.agreement[pair]):
            return None
        a, b, c, d, e, f = self.looks.maps[pair].reshape(-1).tolist()
        return Look(
            float(self.looks.agreement[pair]),
            float(self.looks.needed[pair]),
            (a, b, c, d, e, f),
            float(self.looks.brightness[pair]),
            float(self.looks.contrast[pair]),
            (float(self.looks.colour[pair, 0]), float(self.looks.colour[pair, 1])),
        )


@dataclass(frozen=True, slots=True)
class Relation(Switches):
    """An image duplicates a member when one of its variants is near the member and both checks let the pair pass.

    The variants are the image as it came, the image after each symmetry, and parts of these; the member stays as it
    was stored. So the relation has a direction, from the later image to the earlier one: what counts is the order of
    commits.

    Attributes
    ----------
    radius
        Largest L2 distance between descriptors, inclusive.
    local_change
        Largest local difference between thumbnails (`neardup.relation.local_change.largest_change`), inclusive; None
        when it does not count.
    agreement
        Agreement that photos need in a second look, from which follows what each pair needs, inclusive
        (`neardup.relation.looks.second_look.needed_agreement`); None when none is taken.
    turned_by_look
        Whether the descriptor hardly tells a picture from itself mirrored or turned: there are then no variants for
        that, and the second look, if one is taken, tries each symmetry on the pairs that are near.

    The switches for symmetries and parts come on top; see `neardup.relation.symmetry.Switches`.

    Raises
    ------
    Misconfigured
        Parts are to be matched without a second look.
    """

    radius: float
    local_change: float | None = None
    agreement: float | None = None
    turned_by_look: bool = False

    def __post_init__(self) -> None:
        if self.match_parts and self.agreement is None:
            raise Misconfigured(
                "match-parts works only with a second look, and agreement is off: parts of different pictures are "
                "often near each other, and only a second look tells which show the same. Give agreement, or turn "
                "match-parts off"
            )

    @property
    def parts(self) -> Parts:
        """What is kept of every image besides its descriptor."""
        thumbnail = Parts.NOTHING if self.local_change is None else Parts.THUMBNAIL
        return thumbnail | (Parts.NOTHING if self.agreement is None else Parts.LOOK)

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """What is done to an image before it is compared again."""
        return symmetries(self)

    @property
    def described_after(self) -> tuple[Symmetry, ...]:
        """The symmetries after which an image, and each of its parts, is described: none first."""
        return (Symmetry.NONE,) if self._looks_for_turns else (Symmetry.NONE, *self.symmetries)

    def allows(self, local_change: float | None, look: Look | None = None) -> bool:
        """Return whether an image that differs this much can still be a duplicate; None means not measured."""
        changed = self.local_change is not None and local_change is not None and local_change > self.local_change
        differs = self.agreement is not None and look is not None and look.agreement < look.needed
        return not changed and not differs

    def check(
        self,
        later: Kept | None,
        rows: NDArray[np.intp],
        earlier: Kept | None,
        l2: NDArray[np.float64],
        *,
        all_looks: bool = False,
    ) -> Checks:
        """Measure what else decides between images within the radius, for n pairs; each is independent of the others.

        Local change comes first, and the second look is taken at the pairs that it leaves.

        Parameters
        ----------
        later
            uint8 (m, b), what is kept of the later images, or of parts of them; None where nothing else decides.
        rows
            intp (n,): the row of `later` that is the first of each pair.
        earlier
            uint8 (n, b): the second of each pair, the same parts, of images or of members as they are stored.
        l2
            float64 (n,): the distance of each pair.
        all_looks
            Whether a second look is taken at every pair, to tell of it.

        Raises
        ------
        Misconfigured
            What is compared was not kept, or by another version.
        """
        firsts, seconds = (divided(narrowed(kept, self.parts)) for kept in (later, earlier))
        allowed = np.ones(len(rows), dtype=np.bool_)
        changes = found = None
        if self.local_change is not None:
            changes = local_changes(firsts[Parts.THUMBNAIL], rows, seconds[Parts.THUMBNAIL])
            allowed = changes <= self.local_change
        if self.agreement is not None:
            left = np.arange(len(rows)) if all_looks else np.flatnonzero(allowed)
            found = self._looks_at(firsts[Parts.LOOK], rows, seconds[Parts.LOOK], l2, left)
            # Where nobody looked it is not a number, which is not at least anything.
            allowed &= found.agreement >= found.needed
        return Checks(allowed, changes, found, self.symmetries if self._looks_for_turns else ())

    def check_one(self, later: Kept | None, earlier: Kept | None, l2_distance: float) -> Checks:
        """Return `check` of the one pair of two images, both uint8 (b,)."""
        first, second = (None if kept is None else kept[np.newaxis] for kept in (later, earlier))
        return self.check(first, np.zeros(1, dtype=np.intp), second, np.array([l2_distance]))

    def allow_both_ways(
        self, ones: Kept | None, rows: NDArray[np.intp], others: Kept | None, l2: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Return, bool (n,), which pairs pass `check` whichever of the two is the later one, when nobody knows that."""
        allowed = self.check(ones, rows, others, l2).allowed
        # Local change is the same either way.
        if self.agreement is not None and ones is not None and others is not None:
            left = np.flatnonzero(allowed)
            allowed[left] = self.check(others[left], np.arange(len(left)), ones[rows[left]], l2[left]).allowed
        return allowed

    def _looks_at(
        self,
        ours: Kept,
        rows: NDArray[np.intp],
        theirs: Kept,
        l2: NDArray[np.float64],
        wanted: NDArray[np.intp],
    ) -> Looks:
        """Take a second look at the wanted ones of n pairs; the others are not a number."""
        found, ways = Looks.of_nothing(len(rows)), self._ways
        for row in np.unique(rows[wanted]).tolist():
            pairs = wanted[rows[wanted] == row]
            seen = looks(ours[row], theirs[pairs], l2[pairs], self.agreement or 0.0, ways)
            # Adding 0.0 turns -0.0 into 0.0.
            found.agreement[pairs], found.needed[pairs] = seen.agreement, seen.needed
            found.maps[pairs] = np.round(seen.maps, _MAP_DIGITS) + 0.0
            found.brightness[pairs] = np.round(seen.brightness, _BRIGHTNESS_DIGITS) + 0.0
            found.contrast[pairs] = np.round(seen.contrast, _CONTRAST_DIGITS)
            found.colour[pairs] = np.round(seen.colour, _BRIGHTNESS_DIGITS) + 0.0
            found.way[pairs] = seen.way
        return found

    @property
    def _looks_for_turns(self) -> bool:
        return self.turned_by_look and self.agreement is not None

    @property
    def _ways(self) -> Ways:
        asked = (Symmetry.NONE, *self.symmetries)
        forbidden = tuple(motion(symmetry) for symmetry in Symmetry if symmetry not in asked)
        return Ways(tuple(map(motion, self.symmetries)) if self._looks_for_turns else (), forbidden)

    def is_wider_than(self, other: "Relation") -> bool:
        """Return whether two members, as stored, can be alike under this relation but not under the other."""
        may_change_more = other.local_change is not None and (
            self.local_change is None or self.local_change > other.local_change
        )
        may_agree_less = other.agreement is not None and (self.agreement is None or self.agreement < other.agreement)
        return self.radius > other.radius or may_change_more or may_agree_less


def local_changes(thumbnails: Kept, rows: NDArray[np.intp], others: Kept) -> NDArray[np.float64]:
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
