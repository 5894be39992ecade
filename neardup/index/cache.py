"""A cache of cells' records: the most recently used ones, within a byte budget."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neardup.index.stored.records import ALL, Records, Rows, joined, read_again
from neardup.relation.kept import Parts
from neardup.search.places import Places, grouped
from neardup.types import Descriptors, Kept

_MOST_PIECES = 4
_WAITING_SHARE = 8
"""Of the budget, one part in so many: when those that wait take more, all of them are put into their cells."""
_WAITING_BYTES = 150
"""Of the objects that hold one that waits, approximately."""
_FEW_ROWS = 4
"""So many are found in their pieces; for more these are put together."""


Located = tuple[NDArray[np.int32], NDArray[np.int32], "dict[int, CellBlock]"]
"""Cells, places in them, and the records of these cells."""


class CellReader(Protocol):
    """Reads cells from where they are stored."""

    def __call__(self, cells: Sequence[int]) -> list[list[bytes]]:
        """Return the records of each cell, in order."""


class CellBlock:
    """The records of one cell, in a few pieces: what is appended is put together with the others only now and then.

    Parameters
    ----------
    records
        Those that it begins with.
    parts
        What is kept of each besides, as far as it is asked for.
    rows
        Which of the records, in their order; they are copied when somebody looks at them. None for all.
    """

    def __init__(self, records: Records, parts: Parts = Parts.NOTHING, rows: NDArray[np.intp] | None = None) -> None:
        self._parts = parts
        self._held = [records]
        self._rows = rows

    def __len__(self) -> int:
        """Return the number of records."""
        held = sum(map(len, self._held))
        return held if self._rows is None else held - len(self._held[0]) + len(self._rows)

    @property
    def dimension(self) -> int:
        """Length of a descriptor."""
        return self._held[0].dimension

    @property
    def _pieces(self) -> list[Records]:
        if self._rows is not None:
            self._held[0], self._rows = self._held[0].taken(self._rows), None
        return self._held

    @property
    def records(self) -> Records:
        """All of them."""
        if len(self._pieces) > 1:
            self._held = [joined(self._pieces)]
        return self._pieces[0]

    def descriptors(self, rows: NDArray[np.integer] | None = None) -> Descriptors:
        """Return the descriptors of some of the records, or of all, float16 (n, d)."""
        return np.concatenate([piece.descriptors(some) for piece, some in self._places(rows)])

    def descriptor_bytes(self, row: int) -> NDArray[np.uint8]:
        """Return the descriptor of one record as it is stored, uint8 (2 d,): of a few here and there, the fastest."""
        piece, place = (self._pieces[0], row) if len(self._pieces) == 1 else self._place(row)
        return piece.descriptor_bytes(place)

    def since(self, place: int) -> list[Descriptors]:
        """Return the descriptors from a place on, piece by piece, each float16 (n, d)."""
        found = []
        for piece in self._pieces:
            if len(piece) > place:
                found.append(piece.descriptors(slice(place, None)))
            place = max(0, place - len(piece))
        return found

    def kept(self, rows: NDArray[np.integer] | None = None) -> Kept:
        """Return what is kept of some of them, or of all, uint8 (n, b); (n, 0) where only descriptors are compared."""
        return np.concatenate([piece.kept(self._parts, some) for piece, some in self._places(rows)])

    def head(self, row: int) -> bytes:
        """Return a record without its numbers."""
        piece, place = self._place(row)
        return piece.head(place)

    def _places(self, rows: NDArray[np.integer] | None) -> list[tuple[Records, Rows]]:
        """Return where some of the records are, in their order; of more than a few the pieces are put together."""
        if rows is None:
            return [(piece, ALL) for piece in self._pieces]
        if len(self._pieces) == 1 or len(rows) > _FEW_ROWS:
            return [(self.records, rows)]
        return [(piece, slice(row, row + 1)) for piece, row in map(self._place, rows.tolist())]

    def _place(self, row: int) -> tuple[Records, int]:
        for piece in self._pieces:
            if row < len(piece):
                return piece, row
            row -= len(piece)
        raise IndexError(row)

    @property
    def heads(self) -> list[bytes]:
        """All records without their numbers."""
        return self.records.heads()

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes, about; of what others have a part of, too, this one's part."""
        held = sum(piece.nbytes for piece in self._held)
        if self._rows is None or not len(self._held[0]):
            return held
        return held - self._held[0].nbytes * (len(self._held[0]) - len(self._rows)) // len(self._held[0])

    def extend(self, records: Records) -> None:
        """Append records, which hold the same."""
        if len(self._held) == _MOST_PIECES:
            self._held = [self.records]
        self._held.append(records)

    def taken(self, rows: NDArray[np.intp]) -> "CellBlock":
        """Return a block of some of the rows, in their order."""
        if self._rows is not None and len(self._held) == 1:
            return CellBlock(self._held[0], self._parts, self._rows[rows])
        return CellBlock(self.records, self._parts, rows)


class CellCache:
    """Cells by number; evicts the least recently used when they exceed the budget.

    Parameters
    ----------
    budget_bytes
        Size limit of the cache; cells in use stay, however large.
    load
        Reads cells that are not cached.
    places
        Where members stand: what is cached of a cell may lack the last ones, whose records wait by their slots. A
        process that follows many others appends to all cells, and looks at few.
    """

    def __init__(self, budget_bytes: int, load: Callable[[Sequence[int]], Sequence[CellBlock]], places: Places) -> None:
        self._budget_bytes = budget_bytes
        self._load = load
        self._places = places
        self._blocks: OrderedDict[int, CellBlock] = OrderedDict()
        self._sizes: dict[int, int] = {}
        self._waiting: dict[int, bytes] = {}
        self._waiting_bytes = 0
        self._cached_bytes = 0
        self.misses = 0

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes, about."""
        return self._cached_bytes + self._waiting_bytes

    def append(self, slots: Sequence[int], records: Sequence[bytes]) -> None:
        """Take in the valid records of members that have their places in these slots."""
        self._waiting.update(zip(slots, records, strict=True))
        self._waiting_bytes += sum(map(len, records)) + _WAITING_BYTES * len(records)
        if self._waiting_bytes > self._budget_bytes // _WAITING_SHARE:
            self.settle()

    def settle(self) -> None:
        """Put all records that wait into their cells, where these are cached; they wait no more."""
        slots = np.fromiter(self._waiting, dtype=np.intp, count=len(self._waiting))
        slots = slots[np.lexsort((self._places.place_of[slots], self._places.cell_of[slots]))]
        members = grouped(self._places.cell_of[slots].astype(np.intp))
        slots_of = dict(zip(members.cells.tolist(), np.split(slots, members.starts[1:-1]), strict=False))
        self._extend((cell, slots_of[cell][-lacks:].tolist()) for cell, lacks in self._lacking(slots_of))
        self._waiting.clear()
        self._waiting_bytes = 0

    def _complete(self, cells: Iterable[int]) -> None:
        """Put the records that wait for these cells into them, where these are cached."""
        self._extend((cell, self._places.last_slots_of(cell, lacks)) for cell, lacks in self._lacking(cells))

    def _lacking(self, cells: Iterable[int]) -> Iterator[tuple[int, int]]:
        for cell in cells:
            block = self._blocks.get(cell)
            if block is not None and (lacks := self._places.size_of(cell) - len(block)) > 0:
                yield cell, lacks

    def _extend(self, cells: Iterable[tuple[int, list[int]]]) -> None:
        waiting, ends = [], []
        for cell, slots in cells:
            waiting += [self._waiting.pop(slot) for slot in slots]
            ends.append((cell, len(waiting)))
        if not waiting:
            return
        records, first = read_again(waiting, self._blocks[ends[0][0]].dimension), 0
        self._waiting_bytes -= len(records.data) + _WAITING_BYTES * len(waiting)
        for cell, end in ends:
            self._blocks[cell].extend(records.part(first, end))
            self._resized(cell)
            first = end

    def get_many(self, cells: Iterable[int], most_read: int | None = None) -> dict[int, CellBlock]:
        """Return the blocks of these cells, reading those that are not cached: the first so many, the others not."""
        wanted = list(dict.fromkeys(cells))
        missing = [cell for cell in wanted if cell not in self._blocks][:most_read]
        if missing:
            self.misses += len(missing)
            for cell, block in zip(missing, self._load(missing), strict=True):
                self.put(cell, block)
        self._complete(wanted)
        blocks = {cell: self._blocks[cell] for cell in wanted if cell in self._blocks}
        for cell in blocks:
            self._blocks.move_to_end(cell)
        self._evict()
        return blocks

    def divide(self, cell: int, halves: Iterable[tuple[int, NDArray[np.intp]]]) -> None:
        """Put what is cached of a cell into new ones, each given with the places that its members had."""
        block = self._blocks.get(cell)
        if block is not None:
            for half, rows in halves:
                self.put(half, block.taken(rows[rows < len(block)]))  # others wait on, by their slots
        self.drop(cell)

    def put(self, cell: int, block: CellBlock) -> None:
        """Keep a cell, as the most recently used."""
        self.drop(cell)
        self._blocks[cell] = block
        self._resized(cell)

    def _resized(self, cell: int) -> None:
        size = self._blocks[cell].nbytes
        self._cached_bytes += size - self._sizes.get(cell, 0)
        self._sizes[cell] = size

    def drop(self, cell: int) -> None:
        """Remove a cell."""
        if self._blocks.pop(cell, None) is not None:
            self._cached_bytes -= self._sizes.pop(cell)

    def has_room(self) -> bool:
        """Return whether another cell fits without evicting one."""
        return self.nbytes < self._budget_bytes

    def _evict(self) -> None:
        while self._blocks and self.nbytes > self._budget_bytes:
            self.drop(next(iter(self._blocks)))
