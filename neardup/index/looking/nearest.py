"""The nearest members, best first: sketches tell how near each can be, and only those that may count are measured."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.index.cache import CellBlock
from neardup.index.stored.codec import decode_head
from neardup.index.stored.records import descriptors_of
from neardup.index.view import GenerationView
from neardup.search.distance import l2_distances
from neardup.search.sketch_rows import FARTHEST, Slots
from neardup.types import Descriptors, Member

MOST_MEASURED = 1024
"""Members measured beyond the radius for one image, at most: more would keep the images behind it waiting."""
_HOPELESS = 512
"""So many are measured where more than `MOST_MEASURED` would have to be: these nearly always have the nearest."""
MOST_READ = 8
"""Cells read from Redis for one step beyond the radius, at most; those in memory cost nothing to look at."""
_FIRST, _STEPS = 64, 8
"""Members measured to know how far to look, and in the first step; each takes so many times as many."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Members with their distances.

    Attributes
    ----------
    l2
        float64 (n,): from the image's nearest variant.
    cells, places
        int32 (n,): where each stands.
    blocks
        The records of these cells.
    """

    l2: NDArray[np.float64]
    cells: NDArray[np.int32]
    places: NDArray[np.int32]
    blocks: dict[int, CellBlock]

    def reach(self, limit: int) -> float:
        """Return the distance within which there are `limit` of them; the largest there is where there are fewer."""
        return float(np.partition(self.l2, limit - 1)[limit - 1]) if len(self.l2) >= limit else FARTHEST

    def nearest(self, limit: int) -> "Measured":
        """Return those that can be among the nearest `limit`, by distance alone."""
        rows = np.flatnonzero(self.l2 <= self.reach(limit))
        cells = self.cells[rows]
        return Measured(self.l2[rows], cells, self.places[rows], {cell: self.blocks[cell] for cell in cells.tolist()})

    def beside(self, others: "Measured") -> "Measured":
        """Return these and others."""
        return Measured(
            np.concatenate([self.l2, others.l2]),
            np.concatenate([self.cells, others.cells]),
            np.concatenate([self.places, others.places]),
            self.blocks | others.blocks,
        )

    def told(self, limit: int) -> list[tuple[Member, tuple[float, int]]]:
        """Return the nearest, each with its distance and its cell; equally near ones in the order of their keys."""
        near = self.nearest(limit)
        members = [
            (near.member(row), (l2_distance, cell))
            for row, (l2_distance, cell) in enumerate(zip(near.l2.tolist(), near.cells.tolist(), strict=True))
        ]
        return sorted(members, key=lambda each: (each[1][0], each[0].key))[:limit]

    def member(self, row: int) -> Member:
        """Return one of them."""
        block, place = self.blocks[int(self.cells[row])], self.places[row : row + 1]
        key, image_id, captured_at_ms = decode_head(block.head(int(place[0])))
        kept = block.kept(place)[0]
        return Member(key, image_id, block.descriptors(place)[0], captured_at_ms, kept if len(kept) else None)


def nearest(view: GenerationView, descriptors: Descriptors, limit: int, radius: float) -> tuple[Measured, bool]:
    """Return members, those that can be among the nearest, and whether no other is nearer.

    Parameters
    ----------
    view
        Up to date.
    descriptors
        float16 (n, d), of the image's variants.
    limit
        How many are wanted.
    radius
        Within it none is left out that is among the nearest.
    """
    sketches = view.sketch(descriptors)
    some, at_least = _there(view, *view.filter.some_near(sketches, MOST_MEASURED + 1))
    found, _ = measure(view, descriptors, some[: max(_FIRST, limit)])
    bound = found.reach(limit)
    if _count(at_least, bound) > MOST_MEASURED:
        bound = at_least[_HOPELESS]  # the nearest so many of all are within that of so many
    bound = max(radius, bound)
    slots, at_least = _there(view, *view.filter.at_least(sketches, bound), some[: max(_FIRST, limit)])
    within, left_out = _count(at_least, radius), bound
    first, step, most = 0, _FIRST, len(slots)
    while (end := min(first + step, most, _count(at_least, found.reach(limit)))) > first:
        more, all_read = measure(view, descriptors, slots[first:end], None if at_least[first] <= radius else MOST_READ)
        left_out = left_out if all_read else min(left_out, at_least[first])
        found = found.beside(more).nearest(limit)
        first, step = end, _STEPS * step
        if _count(at_least, found.reach(limit)) > within + MOST_MEASURED:
            most = min(most, within + _HOPELESS)
    if most < len(slots):
        left_out = min(left_out, at_least[most])
    return found, bool(left_out >= found.reach(limit))


def _count(at_least: NDArray[np.float64], reach: float) -> int:
    """Return how many of them can be within reach."""
    return int(np.searchsorted(at_least, reach, "right"))


def _there(
    view: GenerationView, slots: Slots, at_least: NDArray[np.float64], but: Slots | None = None
) -> tuple[Slots, NDArray[np.float64]]:
    """Return the slots that hold members, but for some, those that can be the nearest first."""
    there = view.holds(slots)
    if but is not None:
        there &= ~np.isin(slots, but)
    order = np.flatnonzero(there)
    order = order[at_least[order].argsort()]
    return slots[order], at_least[order]


def measure(
    view: GenerationView, descriptors: Descriptors, slots: Slots, most_read: int | None = None
) -> tuple[Measured, bool]:
    """Measure the members in these slots, and return whether all of their cells were in memory or might be read."""
    cells, places, blocks = view.located(slots, most_read)
    read = np.flatnonzero(np.isin(cells, list(blocks)))
    here, at = cells[read], places[read]
    stored = [blocks[cell].descriptor_bytes(place) for cell, place in zip(here.tolist(), at.tolist(), strict=True)]
    l2 = l2_distances(descriptors, descriptors_of(stored, descriptors.shape[1])).min(axis=0)
    return Measured(l2, here, at, blocks), len(read) == len(cells)
