"""Records of cells in memory, the most recently used ones, under a byte budget."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from neardup.index.codec import split_record
from neardup.types import Descriptors

_RECORD_OVERHEAD_BYTES = 80
"""Of a Python bytes object and its place in a list, about."""
_FIRST_ROWS = 8


class CellBlock:
    """The records of one cell: descriptors as a matrix, the rest as it came.

    Parameters
    ----------
    dimension
        Length of a descriptor.
    """

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._matrix: Descriptors = np.empty((_FIRST_ROWS, dimension), dtype=np.float16)
        self.heads: list[bytes] = []

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.heads)

    @property
    def descriptors(self) -> Descriptors:
        """float16 (n, d); a view."""
        return self._matrix[: len(self.heads)]

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes, about."""
        return self._matrix.nbytes + sum(map(len, self.heads)) + _RECORD_OVERHEAD_BYTES * len(self.heads)

    def extend(self, records: Sequence[bytes]) -> None:
        """Append records.

        Raises
        ------
        CorruptIndex
            One is none.
        """
        needed = len(self.heads) + len(records)
        if needed > len(self._matrix):
            grown = np.empty((max(needed, 2 * len(self.heads)), self._dimension), dtype=np.float16)
            grown[: len(self.heads)] = self.descriptors
            self._matrix = grown
        for record in records:
            head, descriptor = split_record(record, self._dimension)
            self._matrix[len(self.heads)] = descriptor
            self.heads.append(head)

    def taken(self, rows: Iterable[int]) -> "CellBlock":
        """Return a block of some of the rows, in their order."""
        chosen = list(rows)
        part = CellBlock(self._dimension)
        part._matrix = self.descriptors[chosen]
        part.heads = [self.heads[row] for row in chosen]
        return part


class CellCache:
    """Cells by number, least recently used out first when they take more than the budget.

    Parameters
    ----------
    budget_bytes
        What the cells may take; the ones in hand stay, however large.
    load
        Reads a cell that is not here.
    """

    def __init__(self, budget_bytes: int, load: Callable[[Sequence[int]], Sequence[CellBlock]]) -> None:
        self._budget_bytes = budget_bytes
        self._load = load
        self._blocks: OrderedDict[int, CellBlock] = OrderedDict()
        self._sizes: dict[int, int] = {}
        self.nbytes = 0
        self.misses = 0

    def get_many(self, cells: Iterable[int]) -> dict[int, CellBlock]:
        """Return the blocks of these cells, reading those that are not here."""
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
        """Return a cell if it is here; that does not count as a use."""
        return self._blocks.get(cell)

    def put(self, cell: int, block: CellBlock) -> None:
        """Keep a cell, as the most recently used."""
        self.drop(cell)
        self._blocks[cell] = block
        self.resized(cell)

    def resized(self, cell: int) -> None:
        """Take note that a cell that is here has grown."""
        size = self._blocks[cell].nbytes
        self.nbytes += size - self._sizes.get(cell, 0)
        self._sizes[cell] = size

    def drop(self, cell: int) -> None:
        """Let go of a cell."""
        if self._blocks.pop(cell, None) is not None:
            self.nbytes -= self._sizes.pop(cell)

    def has_room(self) -> bool:
        """Return whether another cell may be kept without pushing one out."""
        return self.nbytes < self._budget_bytes

    def _evict(self) -> None:
        while self.nbytes > self._budget_bytes and self._blocks:
            self.drop(next(iter(self._blocks)))
