"""Finds duplicates in rounds, whose comparisons with all earlier images an engine does: the same ones, to the bit.

A round takes some thousand images. Where earlier uniques are held, pieces of the round are compared with them. The
images of the round are then decided one after the other, so only these are compared here; what is unique among them is
held from then on. Parts that are held are joined as they grow, so that there are few: Bentley and Saxe, Decomposable
searching problems I (1980).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from neardup.engine import Engine, Held
from neardup.relation.images import Images, joined
from neardup.relation.rule import Relation
from neardup.search.blocks import Nearest, Rows
from neardup.search.duplicates import DuplicateFinder, Duplicates

ROUND = 16_384
"""Images of a round."""
_PIECE = 512
_GROWTH = 4
"""A part is joined with the one before unless that is so many times as large."""
_FIRST_BEFORE = -2


@dataclass(frozen=True, slots=True)
class _Part:
    """Some uniques, and which rows they are, ascending."""

    rows: Rows
    finder: DuplicateFinder


class _Uniques:
    """Uniques that an engine holds."""

    def __init__(self, engine: Engine, relation: Relation) -> None:
        self._engine = engine
        self._relation = engine.hold(relation)
        self._parts: list[tuple[int, Held]] = []

    def add(self, rows: Rows, images: Images) -> None:
        """Add some, which come behind those before."""
        if not len(rows):
            return
        size, part = len(rows), self._engine.made(_part_of, *map(self._engine.hold, (rows, images)), self._relation)
        while self._parts and self._parts[-1][0] < _GROWTH * size:
            before, other = self._parts.pop()
            size, part = before + size, self._engine.made(_as_one, other, part, self._relation)
        self._parts.append((size, part))

    def nearest(self, images: Images) -> Nearest:
        """Return for each image the nearest that it duplicates, as `DuplicateFinder.nearest` does."""
        if not self._parts:
            return _nobody(len(images))
        pieces = map(images.at, _rows(0, len(images), _PIECE))
        found = list(self._engine.map(_nearest, pieces, *(part for _, part in self._parts)))
        rows, l2 = zip(*found, strict=True)
        return np.concatenate(rows), np.concatenate(l2)


def find_in_rounds(
    images: Images, relation: Relation, engine: Engine, *, settled: int = 0, judge_settled: bool = False
) -> DuplicateFinder:
    """Return what `DuplicateFinder` makes of the same, found in rounds."""
    count = len(images)
    unique_of, l2_distance = np.arange(count), np.zeros(count)
    uniques = _Uniques(engine, relation)
    for rows in chain(_rows(0, settled, ROUND), _rows(settled, count, ROUND)):
        here = _at(images, rows, settled)
        new = np.arange(len(rows))
        if rows[0] >= settled or judge_settled:
            nearest, l2 = uniques.nearest(here)
            # Those from elsewhere stand beside the rows that are here, by numbers of their own.
            found = DuplicateFinder(here, relation, before=(_FIRST_BEFORE - nearest, l2)).found
            of = found.unique_of
            unique_of[rows] = np.where(of >= 0, rows[np.maximum(of, 0)], _FIRST_BEFORE - of)
            l2_distance[rows] = found.l2_distance
            new = new[found.is_unique]
        uniques.add(rows[new], here.at(new).with_variants())
    duplicates = Duplicates(unique_of, l2_distance)
    return DuplicateFinder(images, relation, settled=settled, judge_settled=judge_settled, found=duplicates)


def _rows(first: int, end: int, step: int) -> Iterator[Rows]:
    for start in range(first, end, step):
        yield np.arange(start, min(start + step, end))


def _at(images: Images, rows: Rows, settled: int) -> Images:
    """Return some rows, either all settled or none: settled ones have no variants."""
    kept = None if images.kept is None else images.kept[rows]
    variants = images.variants if rows[0] >= settled else ()
    return Images(images.descriptors[rows], kept, tuple(variant.at(rows - settled) for variant in variants))


def _part_of(rows: Rows, images: Images, relation: Relation) -> _Part:
    return _Part(rows, DuplicateFinder(images, relation, settled=len(rows)))


def _as_one(first: _Part, then: _Part, relation: Relation) -> _Part:
    rows = np.concatenate([first.rows, then.rows])
    return _part_of(rows, joined(first.finder.images, then.finder.images), relation)


def _nearest(images: Images, *parts: _Part) -> Nearest:
    rows, l2 = _nobody(len(images))
    for part in parts:  # the earliest first, so that it wins a tie
        places, theirs = part.finder.nearest(images)
        nearer = theirs < l2
        rows, l2 = np.where(nearer, part.rows[places], rows), np.where(nearer, theirs, l2)
    return rows, l2


def _nobody(count: int) -> Nearest:
    return np.full(count, -1, dtype=np.intp), np.full(count, np.inf)
