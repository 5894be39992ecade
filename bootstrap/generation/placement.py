"""Places members in cells: k-means cells, split until each holds a few hundred."""

import numpy as np
from numpy.typing import NDArray

from neardup.index.stored.events import Split
from neardup.index.tree import CellTree, choose_split
from neardup.search.cells import Cells
from neardup.search.kmeans import CLUSTER_LIMIT
from neardup.search.sketches import Sketcher
from neardup.types import Descriptors


class Placement:
    """The cells of a generation that is being built.

    Parameters
    ----------
    cells
        The k-means cells.
    sketcher
        Whose coordinates cells are divided at.
    descriptors
        float16 (n, d), those of the members.
    clusters
        intp (n,): the k-means cell of each.
    limit
        Members above which a cell is divided; one whose members cannot be told apart stays.
    """

    def __init__(
        self,
        cells: Cells,
        sketcher: Sketcher,
        descriptors: Descriptors,
        clusters: NDArray[np.intp],
        limit: int = CLUSTER_LIMIT,
    ) -> None:
        self._sketcher = sketcher
        self._tree = CellTree(cells)
        self.splits: list[Split] = []
        self.rows: dict[int, NDArray[np.intp]] = {}
        pending = _rows_by_cell(clusters)
        while pending:
            cell, rows = pending.popitem()
            split = self._split(cell, descriptors[rows]) if len(rows) > limit else None
            if split is None:
                self.rows[cell] = rows
                continue
            self._tree.apply(split)
            self.splits.append(split)
            low = np.frombuffer(split.sides, dtype=np.uint8) == ord("L")
            pending |= {split.low: rows[low], split.high: rows[~low]}

    def _split(self, cell: int, descriptors: Descriptors) -> Split | None:
        return choose_split(cell, self._tree, self._sketcher.sketch(descriptors))

    def home(self, descriptor: Descriptors) -> int:
        """Return the cell of another member, float16 (d,)."""
        row = descriptor[np.newaxis]
        return self._tree.homes(row, self._sketcher.sketch(row))[0]


def _rows_by_cell(cells: NDArray[np.intp]) -> dict[int, NDArray[np.intp]]:
    """Return the rows of each cell that has any; rows in order."""
    order = np.argsort(cells, kind="stable")
    starts = np.flatnonzero(np.diff(cells[order], prepend=-1))
    parts = np.split(order, starts[1:]) if len(order) else []
    return {int(cells[rows[0]]): rows for rows in parts}
