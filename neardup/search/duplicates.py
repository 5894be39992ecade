"""Finds duplicates among many images and of existing members: exact, and independent of cells."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.relation.images import Images
from neardup.relation.rule import Relation
from neardup.search.blocks import Nearest, Pairs, Rows, as_one, parts_of, rows_within, with_rows
from neardup.search.distance import l2_distances, paired_l2_distances
from neardup.search.sketch_rows import Sketches
from neardup.search.sketch_trees import SketchTrees
from neardup.search.sketches import fit_sketcher
from neardup.types import Descriptors

_BLOCK_BYTES = 64 * 1024 * 1024
"""Size of one block of descriptors in float64; only a few blocks are in memory at a time."""
_BLOCK_ROWS = 256
_PAIRS = 16_384
_SLACK_ROWS = 4096
_NOTHING = -1
"""In `unique_of`, of a row that was withdrawn: it is no longer an image."""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What each image duplicates.

    Attributes
    ----------
    unique_of
        intp (n,): row of the unique image that a row duplicates; its own number for a unique image, -1 for a row that
        was withdrawn.
    l2_distance
        float64 (n,): distance of the nearest variant to that image, in [0, 2]; 0 for a unique image.
    """

    unique_of: Rows
    l2_distance: NDArray[np.float64]

    @property
    def is_unique(self) -> NDArray[np.bool_]:
        """Whether each row is unique, bool (n,)."""
        return np.asarray(self.unique_of == np.arange(len(self.unique_of)))

    def groups(self) -> dict[int, list[int]]:
        """Return the rows that duplicate each unique row, in order; uniques without duplicates are left out."""
        found: dict[int, list[int]] = {}
        for row in np.flatnonzero(~self.is_unique & (self.unique_of != _NOTHING)).tolist():
            found.setdefault(int(self.unique_of[row]), []).append(row)
        return dict(sorted(found.items()))


def find_duplicates(images: Images, relation: Relation) -> Duplicates:
    """Compare images with one another, in their order.

    An image is a duplicate when it duplicates an *earlier unique* image (`neardup.relation.rule.Relation`); it then
    names the nearest of these, the earliest on a tie. Nothing is a duplicate of a duplicate, so there are no chains:
    every duplicate has a unique image, and no unique image duplicates an earlier unique one.

    Parameters
    ----------
    images
        In order of precedence, earliest first.
    relation
        When one image is a duplicate of another.

    Notes
    -----
    The result is the same as comparing every image with every earlier unique one. Distances are those of
    `neardup.search.distance`, exact until the square root is taken, so the order of blocks makes no difference. The
    images that can be within the radius are found by their sketches (`neardup.search.sketch_trees`); time and memory
    grow with the images, not with their pairs, however many are copies of one. Where local changes count, or a second
    look is taken, time grows with the number of pairs of an image and a unique one within the radius.
    """
    return DuplicateFinder(images, relation).found


@dataclass(frozen=True, slots=True)
class Change:
    """Rows that became unique, and rows that no longer are."""

    added: list[int]
    removed: list[int]


class DuplicateFinder:
    """Decides which rows are unique; members can be added later.

    Parameters
    ----------
    images
        In order of precedence, earliest first. Their variants cover only the rows that are not settled.
    relation
        When one image is a duplicate of another.
    settled
        Number of leading rows that are members already published as unique: no row that is not settled makes them
        duplicates, wherever it stands. A member is known only as it was stored, without variants.
    judge_settled
        Whether a settled row can become a duplicate of an earlier settled one; otherwise it stays unique.
    found
        What each row duplicates, where that is known; None finds it out.
    before
        For each row, its nearest among uniques that are not here and earlier than all that are, by numbers below -1.
    """

    def __init__(
        self,
        images: Images,
        relation: Relation,
        *,
        settled: int = 0,
        judge_settled: bool = False,
        found: Duplicates | None = None,
        before: Nearest | None = None,
    ) -> None:
        count, descriptors = len(images), images.descriptors
        self.sketcher = fit_sketcher(descriptors)
        self._relation = relation
        self._variants = images.variants
        self._variant_rows = range(settled, count)
        self._judge_settled = judge_settled
        self._count = count
        self._descriptors = descriptors
        self._kept = images.kept
        self._unique_of = np.arange(count)
        self._l2_distance = np.zeros(count)
        self._settled = np.arange(count) < settled
        self._filter = SketchTrees(self.sketcher.size, relation.radius)
        self._variant_filter = SketchTrees(self.sketcher.size, relation.radius)
        self._before = before
        first, others = np.arange(settled), np.arange(settled, count)
        if found is not None:
            self._unique_of, self._l2_distance = found.unique_of.copy(), found.l2_distance.copy()
            for rows in (first[found.is_unique[:settled]], others[found.is_unique[settled:]]):
                self._accept(rows, self._sketch(rows))
            return
        if judge_settled:
            self._judge(first)
        elif settled:
            self._accept(first, self._sketch(first))
        self._judge(others)

    @property
    def descriptors(self) -> Descriptors:
        """float16 (n, d), including those added later; a view."""
        return self._descriptors[: self._count]

    @property
    def images(self) -> Images:
        """What the rows are compared by; the variants are of those that were not settled at first, in their order."""
        kept = None if self._kept is None else self._kept[: self._count]
        return Images(self.descriptors, kept, self._variants)

    @property
    def found(self) -> Duplicates:
        """What each row duplicates as of now."""
        return Duplicates(self._unique_of[: self._count].copy(), self._l2_distance[: self._count].copy())

    def nearest(self, images: Images) -> Nearest:
        """Return the nearest of these rows that each of some later images duplicates."""
        step = rows_within(_BLOCK_BYTES, self._descriptors.shape[1], _BLOCK_ROWS)
        parts = [images.at(np.arange(len(images))[part]) for part in parts_of(len(images), step)]
        found = [self._nearest_of(part, self.sketcher.sketch(part.descriptors), settled=False) for part in parts]
        rows, l2 = zip(*found, strict=True)
        return np.concatenate(rows), np.concatenate(l2)

    def add_settled(self, images: Images) -> Change:
        """Add members published as unique in the meantime; rows that are not settled give way to them.

        Duplicates of a row that gave way are judged again, in order: each becomes unique unless a unique row is near.

        Parameters
        ----------
        images
            As they are stored; they become the last rows.
        """
        return self._admit(self._extend(images))

    def withdraw(self, rows: Rows) -> Change:
        """Withdraw members, even if rows duplicate them; those rows are judged again, as in `add_settled`."""
        members = rows[self._unique_of[rows] == rows]
        self._unique_of[rows] = _NOTHING
        again = np.flatnonzero(np.isin(self._unique_of[: self._count], members))
        settled, candidates = again[self._settled[again]], again[~self._settled[again]]
        self._unique_of[settled], self._l2_distance[settled] = settled, 0.0
        change = self._admit(settled)
        return Change(change.added + self._judge(candidates), members.tolist() + change.removed)

    def _admit(self, rows: Rows) -> Change:
        step = 1 if self._judge_settled else rows_within(_BLOCK_BYTES, self._descriptors.shape[1], _BLOCK_ROWS)
        added: list[int] = []
        removed: list[int] = []
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            sketches = self._sketch(block)
            places, others, l2 = self._within(self._compared(block), sketches, settled=self._is_settled(block))
            settled = self._settled[others]
            if self._judge_settled and settled.any():
                self._set_nearest(block[0], others[settled], l2[settled])
                continue
            if self._variants:
                places, others, l2 = as_one([(places, others, l2), self._variants_within(block, sketches)])
            removed += self._make_way(block[places], others, l2)
            self._accept(block, sketches)
            added += block.tolist()
        return Change(added + self._judge_again(removed), removed)

    def _extend(self, images: Images) -> Rows:
        rows = np.arange(self._count, self._count + len(images))
        self._count += len(images)
        if self._count > len(self._descriptors):
            room = self._count + self._count // 8 + _SLACK_ROWS
            self._descriptors = with_rows(self._descriptors, room)
            self._kept = None if self._kept is None else with_rows(self._kept, room)
            self._unique_of = with_rows(self._unique_of, room)
            self._l2_distance = with_rows(self._l2_distance, room)
            self._settled = with_rows(self._settled, room)
        self._descriptors[rows] = images.descriptors
        if self._kept is not None and images.kept is not None:
            self._kept[rows] = images.kept
        self._unique_of[rows] = rows
        self._settled[rows] = True
        return rows

    def _set_nearest(self, row: int, others: Rows, l2: NDArray[np.float64]) -> None:
        best = int(np.lexsort((others, l2))[0])
        self._unique_of[row], self._l2_distance[row] = others[best], l2[best]

    def _make_way(self, late: Rows, others: Rows, l2: NDArray[np.float64]) -> list[int]:
        """Make the other row of each pair, unless settled, a duplicate of the nearest late one; return those rows."""
        gone: dict[int, float] = {}
        for row, other, l2_distance in zip(late.tolist(), others.tolist(), l2.tolist(), strict=True):
            if not self._settled[other] and l2_distance < gone.get(other, np.inf):
                gone[other] = l2_distance
                self._unique_of[other], self._l2_distance[other] = row, l2_distance
        return list(gone)

    def _judge_again(self, removed: list[int]) -> list[int]:
        """Judge again the duplicates of rows that are no longer unique; return those that are unique now."""
        if not removed:
            return []
        return self._judge(np.flatnonzero(np.isin(self._unique_of[: self._count], removed)))

    # -- judging ------------------------------------------------------------------------------------------------------

    def _judge(self, rows: Rows) -> list[int]:
        """Decide rows in order, and return those that are unique."""
        uniques: list[int] = []
        step = rows_within(_BLOCK_BYTES, self._descriptors.shape[1], _BLOCK_ROWS)
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            sketches = self._sketch(block)
            self._settle(block, *self._nearest(block, sketches))
            unique = self._unique_of[block] == block
            self._accept(block[unique], sketches[unique])
            uniques += block[unique].tolist()
        return uniques

    def _nearest(self, block: Rows, sketches: Sketches) -> Nearest:
        nearest, nearest_l2 = self._nearest_of(self._compared(block), sketches, settled=self._is_settled(block))
        if self._before is not None:
            rows, l2 = (each[block] for each in self._before)
            earlier = l2 <= nearest_l2
            nearest, nearest_l2 = np.where(earlier, rows, nearest), np.where(earlier, l2, nearest_l2)
        return nearest, nearest_l2

    def _nearest_of(self, images: Images, sketches: Sketches, *, settled: bool) -> Nearest:
        nearest = np.full(len(images), -1, dtype=np.intp)
        nearest_l2 = np.full(len(images), np.inf)
        places, others, l2 = self._within(images, sketches, settled=settled)
        order = np.lexsort((others, l2, places))
        first = order[np.flatnonzero(np.diff(places[order], prepend=-1))]
        nearest[places[first]], nearest_l2[places[first]] = others[first], l2[first]
        return nearest, nearest_l2

    def _within(self, images: Images, sketches: Sketches, *, settled: bool) -> Pairs:
        """Return each place among the images paired with each unique row that it duplicates, and their distance."""
        found = [self._alike(images, sketches, settled=settled)]
        for variant in images.variants:
            rows, others, l2 = self._alike(variant, self.sketcher.sketch(variant.descriptors), settled=settled)
            found.append((variant.images[rows], others, l2))
        return as_one(found)

    def _alike(self, images: Images, sketches: Sketches, *, settled: bool) -> Pairs:
        places, slots = self._filter.within(sketches, self._relation.radius)
        others = slots.astype(np.intp)
        unique = self._unique_of[others] == others
        places, others = places[unique], others[unique]
        found = [
            self._alike_of(images, places[part], self._images(others[part]), others[part], settled=settled)
            for part in parts_of(len(places), rows_within(_BLOCK_BYTES, self._descriptors.shape[1], _PAIRS))
        ]
        return as_one(found)

    def _alike_of(self, images: Images, places: Rows, paired: Images, others: Rows, *, settled: bool) -> Pairs:
        """Return the pairs (image at a place, paired image) that are alike; `others` gives the rows of the latter.

        An image is later than what it is paired with, except that rows which are not settled are later than settled
        ones: whether both show the same may depend on that.
        """
        l2 = paired_l2_distances(images.descriptors[places], paired.descriptors)
        near = np.flatnonzero(l2 <= self._relation.radius)
        earlier = settled & ~self._settled[others[near]]
        allowed = np.empty(len(near), dtype=np.bool_)
        pairs, swapped = near[~earlier], near[earlier]
        allowed[~earlier] = self._allowed(images, places[pairs], paired, pairs, l2[pairs])
        allowed[earlier] = self._allowed(paired, swapped, images, places[swapped], l2[swapped])
        near = near[allowed]
        return places[near], others[near], l2[near]

    def _variants_within(self, block: Rows, sketches: Sketches) -> Pairs:
        """Return each place in a block of late members with each unique candidate that duplicates it when mirrored."""
        places, slots = self._variant_filter.within(sketches, self._relation.radius)
        rows, numbers = np.divmod(slots.astype(np.intp), len(self._variants))
        others = rows + self._variant_rows.start
        late = self._images(block)
        found = [as_one([])]
        for number, variant in enumerate(self._variants):
            pairs = np.flatnonzero((numbers == number) & (self._unique_of[others] == others))
            for part in parts_of(len(pairs), rows_within(_BLOCK_BYTES, self._descriptors.shape[1], _PAIRS)):
                pair = pairs[part]
                found.append(self._alike_of(late, places[pair], variant.at(rows[pair]), others[pair], settled=True))
        return as_one(found)

    def _images(self, rows: Rows) -> Images:
        kept = None if self._kept is None else self._kept[rows]
        return Images(self._descriptors[rows], kept)

    def _compared(self, block: Rows) -> Images:
        return self._images(block).with_variants(tuple(self._variants_of(block)))

    def _is_settled(self, block: Rows) -> bool:
        return bool(self._settled[block[:1]].any())

    def _variants_of(self, block: Rows) -> list[Images]:
        """Return the variants of a block whose rows are either all settled or all not."""
        if not len(block) or int(block[0]) not in self._variant_rows:
            return []
        return [variant.at(block - self._variant_rows.start) for variant in self._variants]

    def _settle(self, block: Rows, nearest: Rows, nearest_l2: NDArray[np.float64]) -> None:
        """Decide the rows of a block one after the other."""
        open_rows = block[nearest_l2 > self._relation.radius]
        if not len(open_rows):
            self._unique_of[block], self._l2_distance[block] = nearest, nearest_l2
            return
        within = self._apart(block, open_rows)
        column_of = {int(row): column for column, row in enumerate(open_rows)}
        new: list[int] = []
        for place, (row, unique, l2) in enumerate(zip(block.tolist(), nearest, nearest_l2, strict=True)):
            if new:
                best = new[int(within[place, new].argmin())]
                if within[place, best] < l2:
                    unique, l2 = open_rows[best], within[place, best]  # noqa: PLW2901 - the nearer of the two
            duplicate = l2 <= self._relation.radius
            self._unique_of[row], self._l2_distance[row] = (unique, l2) if duplicate else (row, 0.0)
            if not duplicate:
                new.append(column_of[row])

    def _apart(self, block: Rows, others: Rows) -> NDArray[np.float64]:
        """Return float64 (b, o): distance of each row to each other; infinite where what else decides forbids it."""
        paired = self._images(others)
        apart = self._unless_changed(self._images(block), paired)
        for variant in self._variants_of(block):
            places = variant.images
            apart[places] = np.minimum(apart[places], self._unless_changed(variant, paired))
        return apart

    def _unless_changed(self, images: Images, others: Images) -> NDArray[np.float64]:
        l2 = l2_distances(images.descriptors, others.descriptors)
        if self._relation.parts:
            rows, columns = np.nonzero(l2 <= self._relation.radius)
            changed = ~self._allowed(images, rows, others, columns, l2[rows, columns])
            l2[rows[changed], columns[changed]] = np.inf
        return l2

    def _allowed(
        self, images: Images, rows: Rows, others: Images, columns: Rows, l2: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Return whether each pair (row of the images, row of the earlier others) passes what else decides."""
        kept = None if others.kept is None else others.kept[columns]
        return self._relation.check(images.kept, rows, kept, l2).allowed

    def _accept(self, rows: Rows, sketches: Sketches) -> None:
        if not len(rows):
            return
        self._filter.add(sketches, rows.astype(np.int32))
        for number, variant in enumerate(self._variants_of(rows)):
            slots = (rows[variant.images] - self._variant_rows.start) * len(self._variants) + number
            self._variant_filter.add(self.sketcher.sketch(variant.descriptors), slots.astype(np.int32))

    def _sketch(self, rows: Rows) -> Sketches:
        return self.sketcher.sketch(self._descriptors[rows])
