"""The cells of a generation, by its stored list of splits, valid or not."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from neardup.errors import CorruptIndex
from neardup.index.stored.events import Split, decode_event


class Layout:
    """The cells that there are, those that were divided, and what is wrong with the list that says so.

    Parameters
    ----------
    roots
        Number of k-means cells.
    stored
        The list of splits.
    """

    def __init__(self, roots: int, stored: Sequence[bytes]) -> None:
        self.roots = roots
        self.stored = list(stored)
        self.splits: dict[int, Split] = {}
        self.wrong: list[str] = []
        self._parents: dict[int, tuple[Split, bool]] = {}
        cells = set(range(roots))
        for number, event in enumerate(self.stored):
            self._add(number, event, cells)
        self.leaves = sorted(cells - self.splits.keys())
        self._leaves = frozenset(self.leaves)

    def _add(self, number: int, event: bytes, cells: set[int]) -> None:
        expected = self.roots + 2 * number
        try:
            split = decode_event(event)
        except CorruptIndex as exc:
            self.wrong.append(f"split {number}: {exc}")
            return
        if not isinstance(split, Split) or split.low <= split.cell or split.high <= split.cell:
            self.wrong.append(f"split {number} is none: {event[:40]!r}")
            return
        if (split.low, split.high) != (expected, expected + 1):
            self.wrong.append(f"split {number} makes cells {split.low} and {split.high}, not {expected} and next")
        if split.cell not in cells or split.cell in self.splits:
            self.wrong.append(f"split {number} divides cell {split.cell}, which does not exist (any more)")
        elif split.root != self.root_of(split.cell):
            self.wrong.append(f"split {number} calls cell {split.cell} a part of {split.root}")
        if not set(split.sides) <= set(b"LR") or not np.isfinite(split.threshold):
            self.wrong.append(f"split {number} has sides other than L and R, or no threshold")
        self.splits[split.cell] = split
        self._parents |= {split.low: (split, False), split.high: (split, True)}
        cells |= {split.low, split.high}

    def is_leaf(self, cell: int) -> bool:
        """Return whether a cell holds members."""
        return cell in self._leaves

    def root_of(self, cell: int) -> int:
        """Return the k-means cell that a cell is a part of."""
        while cell in self._parents:
            cell = self._parents[cell][0].cell
        return cell

    def cuts(self, cell: int) -> Iterator[tuple[Split, bool]]:
        """Iterate over the splits above a cell, each with whether it lies on the high side."""
        while cell in self._parents:
            split, high = self._parents[cell]
            yield split, high
            cell = split.cell

    def leaf(self, root: int, sketch: NDArray[np.float64]) -> int:
        """Return the leaf of a k-means cell that a sketch, float64 (p + 1,), belongs to."""
        cell = root
        while split := self.splits.get(cell):
            cell = split.low if sketch[split.axis] < split.threshold else split.high
        return cell

    def leaves_under(self, *cells: int) -> list[int]:
        """Return the leaves that these cells have become, in order; a cell that was never divided is its own."""
        pending, found = list(cells), set[int]()
        while pending:
            cell = pending.pop()
            split = self.splits.get(cell)
            if split is None:
                found.add(cell)
            else:
                pending += [split.low, split.high]
        return sorted(found)
