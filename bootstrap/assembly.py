"""Who is a member of the next generation: what the live one has, and what new images add to it."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bootstrap.duplicates import DuplicateFinder
from neardup.types import Descriptors, Member

_DIGEST_CHARACTERS = 12


class Assembly:
    """Members carried over, and candidates judged against them and one another, a row each.

    Carried members come first: they were published as unique. A candidate within the radius of one is a duplicate of
    it. When the radius is larger than it was, two carried members can be within it: then the one captured earlier
    stays.

    A candidate that *is* a carried member, known by its key or, for a seed that took the place of another, by its
    image id, adds nothing and is no duplicate. One that has a carried member's key and is another image (the file at
    that path has changed) gets a key of its own.

    Parameters
    ----------
    carried
        Members of the live generation.
    candidates
        New images in their order.
    descriptors
        float16 (n, d), those of the candidates; at least one row, carried ones included.
    radius
        Of the next generation.
    radius_before
        Of the live one; None when nothing is carried.

    Attributes
    ----------
    rows
        Members carried over, candidates, then members that came late.
    carried, candidates
        How many are the first, and the rows of the second.
    known
        Candidates that are carried members: the row of the member by that of the candidate.
    kept
        Carried members that stay, late ones included.
    unique
        Candidates that are members, those known among them.
    """

    def __init__(
        self,
        carried: Sequence[Member],
        candidates: Sequence[Member],
        descriptors: Descriptors,
        radius: float,
        radius_before: float | None = None,
    ) -> None:
        grown = radius_before is not None and radius > radius_before
        first = sorted(carried, key=lambda member: member.captured_at_ms) if grown else list(carried)
        self.carried = len(first)
        self.candidates = range(len(first), len(first) + len(candidates))
        self.radius = radius
        self.rows: list[Member] = first + list(candidates)
        if first:
            descriptors = np.concatenate([np.stack([member.descriptor for member in first]), descriptors])
        self.finder = DuplicateFinder(descriptors, radius, settled=len(first), judge_settled=grown)
        self.known = self._find_known()
        self._give_keys()
        # Counted along: a count over all rows would take longer than the pause that the flip waits for.
        self.kept = int(self.finder.found.is_unique[: self.carried].sum())
        self.unique = len(self.uniques)

    def _find_known(self) -> dict[int, int]:
        unique_of = self.finder.found.unique_of
        known: dict[int, int] = {}
        for row in self.candidates:
            of = int(unique_of[row])
            if of < self.carried and _same_image(self.rows[of], self.rows[row]):
                known[row] = of
        return known

    def _give_keys(self) -> None:
        taken = {member.key for member in self.rows[: self.carried]}
        for row in self.candidates:
            member = self.rows[row]
            if row not in self.known and member.key in taken:
                digest = hashlib.sha256(member.descriptor.tobytes()).hexdigest()[:_DIGEST_CHARACTERS]
                self.rows[row] = replace(member, key=f"{member.key}:{digest}")

    @property
    def left_out(self) -> int:
        """Carried members that are within the radius of another, late ones included."""
        return self.carried + len(self.rows) - self.candidates.stop - self.kept

    @property
    def uniques(self) -> NDArray[np.intp]:
        """Rows of the candidates that are members, carried ones among them, in order."""
        unique = self.finder.found.is_unique
        unique[list(self.known)] = True
        return self.carried + np.flatnonzero(unique[self.carried : self.candidates.stop])

    @property
    def members(self) -> NDArray[np.intp]:
        """Rows of the members, in order."""
        return np.flatnonzero(self.finder.found.is_unique)

    def groups(self) -> dict[int, list[int]]:
        """Return the candidates that duplicate each member; a member that is a candidate itself by that row."""
        itself = {of: row for row, of in self.known.items()}
        found: dict[int, list[int]] = {}
        for of, rows in self.finder.found.groups().items():
            duplicates = [row for row in rows if row in self.candidates and row not in self.known]
            if duplicates:
                found[itself.get(of, of)] = duplicates
        return found

    def add_late(self, late: Sequence[Member]) -> tuple[list[Member], list[Member]]:
        """Carry over what was committed meanwhile; return the members that this adds, and those that it removes."""
        if not late:
            return [], []
        first = len(self.rows)
        self.rows += late
        change = self.finder.add_settled(np.stack([member.descriptor for member in late]))
        late_rows = sum(row >= first for row in change.added)
        self.kept += late_rows
        self.unique += len(change.added) - late_rows - len(change.removed)
        return [self.rows[row] for row in change.added], [self.rows[row] for row in change.removed]


def _same_image(member: Member, candidate: Member) -> bool:
    renamed = member.image_id == candidate.image_id and member.key.startswith(f"{candidate.key}:")
    return renamed or member.key == candidate.key
