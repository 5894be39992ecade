"""The members of the next generation: those of the live one, and new unique images."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from neardup.capture_time import known_ms, now_ms
from neardup.engine import Engine
from neardup.index.carry import Predecessor
from neardup.relation.images import Images, images_of, joined
from neardup.relation.kept import narrowed, parts_of
from neardup.relation.rule import Relation
from neardup.search.duplicates import Change, DuplicateFinder
from neardup.search.rounds import find_in_rounds
from neardup.types import Member

_LOG = logging.getLogger(__name__)
_DIGEST_CHARACTERS = 12


class Assembly:
    """Members carried over, and candidates judged against them and one another; a row each.

    Carried members come first: they were published as unique. A candidate that is alike is a duplicate of one. When
    the relation is wider than it was, two carried members can be alike: then the one captured earlier stays. They are
    compared as they are stored; that one is a mirrored copy of another cannot be seen any more.

    A candidate that *is* a carried member, known by its key or, for a seed that took the place of another, by its
    image id, adds nothing and is no duplicate. One that has a carried member's key and is another image (the file at
    that path has changed) gets a key of its own.

    Parameters
    ----------
    carried
        Members of the live generation.
    candidates
        New images in their order.
    images
        What the candidates are compared by; at least one row, carried members included.
    relation
        Of the next generation.
    relation_before
        Of the live one; None when nothing is carried.
    engine
        Compares them; None does it here.

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
    withdrawn
        Rows of carried members that were removed meanwhile.
    """

    def __init__(
        self,
        carried: Sequence[Member],
        candidates: Sequence[Member],
        images: Images,
        relation: Relation,
        relation_before: Relation | None = None,
        *,
        engine: Engine | None = None,
    ) -> None:
        grown = relation_before is not None and relation.is_wider_than(relation_before)
        carried = _as_stored(carried, relation)
        first = _by_capture_time(carried) if grown else carried
        self.carried = len(first)
        self.candidates = range(len(first), len(first) + len(candidates))
        self.relation = relation
        self.rows: list[Member] = first + list(candidates)
        if first:
            before = images_of(first, relation.parts)
            images = joined(before, images).with_variants(images.variants)
        find = partial(find_in_rounds, engine=engine) if engine else DuplicateFinder
        self.finder = find(images, relation, settled=len(first), judge_settled=grown)
        self.known = self._find_known()
        self._give_keys()
        # Counted along: a count over all rows would take longer than the pause that the flip waits for.
        self.withdrawn: set[int] = set()
        self._count()

    def _count(self) -> None:
        unique = self.finder.found.is_unique
        self.kept = int(unique.sum() - unique[self.candidates.start : self.candidates.stop].sum())
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
        """Carried members that duplicate another, late ones included."""
        return self.carried + len(self.rows) - self.candidates.stop - self.kept - len(self.withdrawn)

    @property
    def added(self) -> int:
        """Candidates that are members and were none before."""
        return self.unique - len(self.known)

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
        """Carry over what was committed in the meantime; return the members added and removed."""
        if not late:
            return [], []
        first = len(self.rows)
        late = _as_stored(late, self.relation)
        self.rows += late
        change = self.finder.add_settled(images_of(late, self.relation.parts))
        late_rows = sum(row >= first for row in change.added)
        self.kept += late_rows
        self.unique += len(change.added) - late_rows - len(change.removed)
        return self._members_of(change)

    def withdraw(self, keys: Sequence[str]) -> tuple[list[Member], list[Member]]:
        """Leave out what was removed in the meantime; return the members added, which duplicated it, and removed."""
        if not keys:
            return [], []
        gone = set(keys)
        settled = (row for row in range(len(self.rows)) if row not in self.candidates and row not in self.withdrawn)
        rows = [row for row in settled if self.rows[row].key in gone]
        self.withdrawn.update(rows)
        self.known = {row: of for row, of in self.known.items() if of not in self.withdrawn}
        change = self.finder.withdraw(np.array(rows, dtype=np.intp))
        self._count()
        return self._members_of(change)

    def _members_of(self, change: Change) -> tuple[list[Member], list[Member]]:
        return [self.rows[row] for row in change.added], [self.rows[row] for row in change.removed]


def assemble(
    predecessor: Predecessor | None,
    candidates: Sequence[Member],
    images: Images,
    relation: Relation,
    engine: Engine | None = None,
) -> Assembly:
    """Judge candidates against the members of the generation before, if any, and against one another."""
    if predecessor is None or predecessor.meta is None:
        return Assembly([], candidates, images, relation, engine=engine)
    carried = predecessor.news().added
    _LOG.info("%d members of generation %d are carried over", len(carried), predecessor.generation)
    return Assembly(carried, candidates, images, relation, predecessor.meta.relation, engine=engine)


def _by_capture_time(members: Sequence[Member]) -> list[Member]:
    """Return the earliest first, and before them those of unknown time, as seeds are."""
    clock_ms = now_ms()
    return sorted(members, key=lambda member: known_ms(member.captured_at_ms, clock_ms))


def _as_stored(members: Sequence[Member], relation: Relation) -> list[Member]:
    """Return members as the next generation stores them: with nothing kept that it does not compare."""
    parts = relation.parts
    return [
        member if parts_of(member.kept) == parts else replace(member, kept=narrowed(member.kept, parts))
        for member in members
    ]


def _same_image(member: Member, candidate: Member) -> bool:
    renamed = member.image_id == candidate.image_id and member.key.startswith(f"{candidate.key}:")
    return renamed or member.key == candidate.key
