"""Where the members that a process knows stand in the index, all of them in a few arrays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.search.sketch_rows import Slots

GONE = -1
"""The cell of a member that left it, the size of a cell that holds none any more, the slot before a first one."""
FIRST_SLOTS = 1024
"""So many slots there are at least, and so many members leave before others are numbered anew."""

Cells = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Grouped:
    """Rows put together by their cell.

    Attributes
    ----------
    order
        intp (n,): the rows, cell by cell; those of one cell in the order that they had.
    cell_of, ranks
        intp (n,): of each row, in this order, the cell, and how many of the same come before it.
    cells
        intp (k,): the cells, each once, smaller ones first.
    starts
        intp (k + 1,): cell i has the rows ``order[starts[i] : starts[i + 1]]``.
    """

    order: NDArray[np.intp]
    cell_of: Cells
    ranks: NDArray[np.intp]
    cells: Cells
    starts: NDArray[np.intp]


def grouped(cells: Cells) -> Grouped:
    """Put rows together by their cells, intp (n,)."""
    order = np.argsort(cells, kind="stable")
    ordered, numbers = cells[order], np.arange(len(cells) + 1)
    is_first = np.empty(len(cells) + 1, dtype=np.bool_)
    is_first[:1] = is_first[-1:] = True
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:-1])
    starts = numbers[is_first]
    first_of = np.maximum.accumulate(np.where(is_first[:-1], numbers[:-1], 0))
    return Grouped(order, ordered, numbers[:-1] - first_of, ordered[starts[:-1]], starts)


class Places:
    """Slots of members: their numbers in the arrays of this process.

    The slots of a cell are a chain: its last one is known, and of each the one before. So what is appended, to many
    cells at once, takes a few operations on arrays, and a cell is walked through only when it is divided or goes.

    Parameters
    ----------
    cells
        How many cells there are.
    leaves
        Those that can hold members.

    Attributes
    ----------
    cell_of, place_of
        int32: of each slot the cell and the place in it; `GONE` as the cell of a member that left it.
    count, gone
        How many slots are given out, and how many of them belong to members that left their cells.
    """

    def __init__(self, cells: int, leaves: Sequence[int]) -> None:
        self.cell_of, self.place_of, self._before = (np.empty(FIRST_SLOTS, dtype=np.int32) for _ in range(3))
        self.count = self.gone = 0
        self._sizes, self._last = (np.full(cells, GONE, dtype=np.int32) for _ in range(2))
        self._sizes[leaves] = 0

    def __len__(self) -> int:
        """Return the number of members."""
        return self.count - self.gone

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        arrays = (self.cell_of, self.place_of, self._before, self._sizes, self._last)
        return sum(array.nbytes for array in arrays)

    def size_of(self, cell: int) -> int:
        """Return the number of members of a cell; 0 for one that was divided, or is not known."""
        return max(0, int(self._sizes[cell])) if 0 <= cell < len(self._sizes) else 0

    def sizes_of(self, cells: Cells) -> NDArray[np.intp]:
        """Return the number of members of each cell, intp (n,); `GONE` for one that was divided, or is not known."""
        if cells.max(initial=GONE) < len(self._sizes):
            return self._sizes[cells].astype(np.intp)
        known = cells < len(self._sizes)
        return np.where(known, self._sizes[np.where(known, cells, 0)], GONE)

    def new_slots(self, count: int) -> Slots:
        """Return so many slots, int32 (n,), in which no members are yet."""
        first, self.count = self.count, self.count + count
        self._make_room()
        self.cell_of[first : self.count] = GONE
        self.gone += count
        return np.arange(first, self.count, dtype=np.int32)

    def append(self, members: Grouped, slots: Slots) -> None:
        """Put members at the end of their cells, into new slots, int32 (n,): one for each of the rows."""
        ordered, cells, starts = slots[members.order], members.cells, members.starts
        self.cell_of[ordered] = members.cell_of
        self.place_of[ordered] = self._sizes[members.cell_of] + members.ranks
        before = np.empty(len(ordered), dtype=np.int32)
        before[1:] = ordered[:-1]
        before[starts[:-1]] = self._last[cells]
        self._before[ordered] = before
        self._last[cells] = ordered[starts[1:] - 1]
        self._sizes[cells] += (starts[1:] - starts[:-1]).astype(np.int32)
        self.gone -= len(ordered)

    def _make_room(self) -> None:
        if self.count > len(self.cell_of):
            room = np.empty(self.count, dtype=np.int32)
            self.cell_of, self.place_of, self._before = (
                np.concatenate([array, room]) for array in (self.cell_of, self.place_of, self._before)
            )

    def slots_of(self, cell: int) -> Slots:
        """Return the slots of a cell's members, int32 (n,), in their order."""
        return np.array(self.last_slots_of(cell, self.size_of(cell)), dtype=np.int32)

    def last_slots_of(self, cell: int, count: int) -> list[int]:
        """Return the slots of the last so many members of a cell, in their order."""
        slots, before = [], self._before.data
        slot = int(self._last[cell]) if count else GONE
        for _ in range(count):
            slots.append(slot)
            slot = before[slot]
        slots.reverse()
        return slots

    def by_cell(self) -> Iterator[tuple[int, Slots]]:
        """Iterate over the cells that hold members, with their slots in order."""
        alive = np.flatnonzero(self.cell_of[: self.count] != GONE).astype(np.int32)
        order = np.lexsort((self.place_of[alive], self.cell_of[alive]))
        members = grouped(self.cell_of[alive[order]].astype(np.intp))
        yield from zip(members.cells.tolist(), np.split(alive[order], members.starts[1:-1]), strict=False)

    def forget(self, cell: int) -> None:
        """Take all members out of a cell."""
        slots = self.slots_of(cell)
        self.cell_of[slots] = GONE
        self.gone += len(slots)
        if len(slots):
            self._put(cell, slots[:0])

    def divide(self, cell: int, halves: Sequence[tuple[int, NDArray[np.intp]]]) -> None:
        """Put a cell's members into new cells, each given with the places that its members had."""
        slots = self.slots_of(cell)
        self._sizes[cell] = self._last[cell] = GONE
        for half, rows in halves:
            self._put(half, slots[rows])

    def add_cells(self, cells: int) -> None:
        """Make room for cells that are new: so many there are now, and the new ones hold no members."""
        new = max(0, cells - len(self._sizes))
        self._sizes = np.concatenate([self._sizes, np.zeros(new, dtype=np.int32)])
        self._last = np.concatenate([self._last, np.full(new, GONE, dtype=np.int32)])

    def _put(self, cell: int, slots: Slots) -> None:
        before = np.empty_like(slots)
        before[:1], before[1:] = GONE, slots[:-1]
        self.cell_of[slots], self.place_of[slots], self._before[slots] = cell, np.arange(len(slots)), before
        self._sizes[cell], self._last[cell] = len(slots), slots[-1] if len(slots) else GONE

    @property
    def are_untidy(self) -> bool:
        """Whether those that left their cells are the most."""
        return self.gone > max(FIRST_SLOTS, len(self))

    def tidy(self) -> Slots:
        """Give up the slots of those that left, and return the new slot of each old one, `GONE` where it has none."""
        alive = self.cell_of[: self.count] != GONE
        # One more at the end, for the slot before a first one, which is numbered -1.
        renumbered = np.append(np.where(alive, np.cumsum(alive) - 1, GONE), GONE).astype(np.int32)
        self.cell_of, self.place_of = self.cell_of[: self.count][alive], self.place_of[: self.count][alive]
        self._before, self._last = renumbered[self._before[: self.count][alive]], renumbered[self._last]
        self.count, self.gone = len(self.cell_of), 0
        return renumbered[:-1]
