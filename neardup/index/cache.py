"""A cache of cells' records: the most recently used ones, within a byte budget."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from neardup.index.stored.codec import required_kept, split_record
from neardup.relation.kept import Parts
from neardup.types import Descriptors, Kept

Scalar = TypeVar("Scalar", bound=np.generic)

_RECORD_OVERHEAD_BYTES = 80
"""For a Python bytes object and its place in a list, approximately."""
_FIRST_ROWS = 8


class CellBlock:
    """The records of one cell: descriptors as a matrix, the rest as it came.

    Parameters
    ----------
    dimension
        Length of a descriptor.
    parts
        What of the records is held besides.
    """

    def __init__(self, dimension: int, parts: Parts = Parts.NOTHING) -> None:
        self._dimension = dimension
        self._parts = parts
        self._matrix: Descriptors = np.empty((_FIRST_ROWS, dimension), dtype=np.float16)
        self._kept: Kept = np.empty((_FIRST_ROWS, parts.stored_nbytes), dtype=np.uint8)
        self.heads: list[bytes] = []

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.heads)

    @property
    def descriptors(self) -> Descriptors:
        """float16 (n, d); a view."""
        return self._matrix[: len(self.heads)]

    @property
    def kept(self) -> Kept:
        """uint8 (n, b); (n, 0) where nothing but descriptors is compared; a view."""
        return self._kept[: len(self.heads)]

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes, about."""
        matrices = self._matrix.nbytes + self._kept.nbytes
        return matrices + sum(map(len, self.heads)) + _RECORD_OVERHEAD_BYTES * len(self.heads)

    def extend(self, records: Sequence[bytes]) -> None:
        """Append records.

        Raises
        ------
        CorruptIndex
            A record is invalid, or lacks what is held.
        """
        needed = len(self.heads) + len(records)
        if needed > len(self._matrix):
            rows = max(needed, 2 * len(self.heads))
            self._matrix, self._kept = _grown(self.descriptors, rows), _grown(self.kept, rows)
        for record in records:
            head, descriptor = split_record(record, self._dimension)
            if self._parts and (kept := required_kept(record, self._parts)) is not None:
                self._kept[len(self.heads)] = kept
            self._matrix[len(self.heads)] = descriptor
            self.heads.append(head)

    def taken(self, rows: Iterable[int]) -> "CellBlock":
        """Return a block of some of the rows, in their order."""
        chosen = list(rows)
        part = CellBlock(self._dimension, self._parts)
        part._matrix, part._kept = self.descriptors[chosen], self.kept[chosen]
        part.heads = [self.heads[row] for row in chosen]
        return part


def _grown(matrix: NDArray[Scalar], rows: int) -> NDArray[Scalar]:
    grown = np.empty((rows, matrix.shape[1]), dtype=matrix.dtype)
    grown[: len(matrix)] = matrix
    return grown


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
