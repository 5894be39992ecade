"""A cache of cells' records: the most recently used ones, within a byte budget."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neardup.index.stored.records import ALL, Records, Rows, joined
from neardup.relation.kept import Parts
from neardup.types import Descriptors, Kept

_MOST_PIECES = 8
_FEW_ROWS = 4
"""So many are found in their pieces; for more these are put together."""


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
    """

    def __init__(self, records: Records, parts: Parts = Parts.NOTHING) -> None:
        self._parts = parts
        self._pieces = [records]

    def __len__(self) -> int:
        """Return the number of records."""
        return sum(map(len, self._pieces))

    @property
    def records(self) -> Records:
        """All of them."""
        if len(self._pieces) > 1:
            self._pieces = [joined(self._pieces)]
        return self._pieces[0]

    def descriptors(self, rows: NDArray[np.integer] | None = None) -> Descriptors:
        """Return the descriptors of some of the records, or of all, float16 (n, d)."""
        return np.concatenate([piece.descriptors(some) for piece, some in self._places(rows)])

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
        """Memory held, in bytes, about."""
        return sum(piece.nbytes for piece in self._pieces)

    def extend(self, records: Records) -> None:
        """Append records, which hold the same."""
        if len(self._pieces) == _MOST_PIECES:
            self._pieces = [self.records]
        self._pieces.append(records)

    def taken(self, rows: NDArray[np.intp]) -> "CellBlock":
        """Return a block of some of the rows, in their order."""
        return CellBlock(self.records.taken(rows), self._parts)


class CellCache:
    """Cells by number; evicts the least recently used when they exceed the budget.

    Parameters
    ----------
    budget_bytes
        Size limit of the cache; cells in use stay, however large.
    load
        Reads cells that are not cached.
    """

    def __init__(self, budget_bytes: int, load: Callable[[Sequence[int]], Sequence[CellBlock]]) -> None:
        self._budget_bytes = budget_bytes
        self._load = load
        self._blocks: OrderedDict[int, CellBlock] = OrderedDict()
        self._sizes: dict[int, int] = {}
        self.nbytes = 0
        self.misses = 0

    def get_many(self, cells: Iterable[int]) -> dict[int, CellBlock]:
        """Return the blocks of these cells, reading those that are not cached."""
        wanted = list(dict.fromkeys(cells))
        missing = [cell for cell in wanted if cell not in self._blocks]
        if missing:
            self.misses += len(missing)
            for cell, block in zip(missing, self._load(missing), strict=True):
                self.put(cell, block)
        blocks = {cell: self._blocks[cell] for cell in wanted}
        for cell in wanted:
            self._blocks.move_to_end(cell)
        self._evict()
        return blocks

    def peek(self, cell: int) -> CellBlock | None:
        """Return a cell if it is cached; does not count as a use."""
        return self._blocks.get(cell)

    def put(self, cell: int, block: CellBlock) -> None:
        """Keep a cell, as the most recently used."""
        self.drop(cell)
        self._blocks[cell] = block
        self.resized(cell)

    def resized(self, cell: int) -> None:
        """Note that a cached cell has grown."""
        size = self._blocks[cell].nbytes
        self.nbytes += size - self._sizes.get(cell, 0)
        self._sizes[cell] = size

    def drop(self, cell: int) -> None:
        """Remove a cell."""
        if self._blocks.pop(cell, None) is not None:
            self.nbytes -= self._sizes.pop(cell)

    def has_room(self) -> bool:
        """Return whether another cell fits without evicting one."""
        return self.nbytes < self._budget_bytes

    def _evict(self) -> None:
        while self.nbytes > self._budget_bytes and self._blocks:
            self.drop(next(iter(self._blocks)))
