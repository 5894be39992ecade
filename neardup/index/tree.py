"""The tree of cells: which leaf an image belongs to, however often k-means cells were split."""

import numpy as np
from numpy.typing import NDArray

from neardup.index.stored.events import Split
from neardup.search.cells import Cells
from neardup.search.sketch_rows import Sketches
from neardup.types import Descriptors

_ROOT_SLACK = 1e-5
"""What rounding may get wrong in half a difference of squared distances to centroids."""


_APART = 1e-9
"""Coordinates closer than this count as equal; rounding in float64 sums is a millionth of it."""


class CellTree:
    """K-means cells, frozen at bootstrap, and the splits below them.

    Roots are numbered 0 to k - 1; split number s makes the cells k + 2 s and k + 2 s + 1.

    Parameters
    ----------
    roots
        The k-means cells.
    """

    def __init__(self, roots: Cells) -> None:
        self.roots = roots
        self._splits: dict[int, Split] = {}
        self._root_of: list[int] = list(range(len(roots)))
        centroids = roots.centroids.astype(np.float64)
        self._centroids = centroids
        self._apart: dict[int, NDArray[np.float64]] = {}

    @property
    def split_count(self) -> int:
        """Number of splits so far."""
        return len(self._splits)

    @property
    def cell_count(self) -> int:
        """Number of cells ever made, including those that were split and are empty."""
        return len(self._root_of)

    @property
    def leaves(self) -> list[int]:
        """Numbers of the cells that hold members."""
        return [cell for cell in range(self.cell_count) if cell not in self._splits]

    def is_leaf(self, cell: int) -> bool:
        """Return whether a cell holds members."""
        return 0 <= cell < self.cell_count and cell not in self._splits

    def next_cells(self) -> tuple[int, int]:
        """Return the numbers of the cells that the next split makes."""
        return self.cell_count, self.cell_count + 1

    def root_of(self, cell: int) -> int:
        """Return the k-means cell that a cell is a part of."""
        return self._root_of[cell]

    def apply(self, split: Split) -> None:
        """Divide a cell; a split that is known already changes nothing."""
        if split.cell in self._splits:
            return
        self._splits[split.cell] = split
        self._root_of += [split.root, split.root]

    def homes(self, descriptors: Descriptors, sketches: Sketches) -> list[int]:
        """Return the leaf that each image belongs to."""
        roots: list[int] = self.roots.assign(descriptors).tolist()
        return [self._leaf(root, sketch) for root, sketch in zip(roots, sketches, strict=True)]

    def _leaf(self, cell: int, sketch: NDArray[np.float64]) -> int:
        while cell in self._splits:
            split = self._splits[cell]
            cell = split.low if sketch[split.axis] < split.threshold else split.high
        return cell

    def reachable_roots(self, descriptors: Descriptors, radius: float) -> NDArray[np.bool_]:
        """Return bool (n, k): whether a k-means cell can hold a descriptor within the radius of each.

        A member of cell j lies on j's side of the plane that bisects its centroid and the nearest one, i; the
        distance to that plane is ``(d(x, cj)^2 - d(x, ci)^2) / (2 d(ci, cj))``. Beyond the radius the cell is out.
        """
        rank = self.roots.rank(descriptors)
        nearest = rank.argmin(axis=1)
        excess = rank - rank[np.arange(len(rank)), nearest][:, np.newaxis]
        apart = np.stack([self._apart_from(int(root)) for root in nearest]) if len(rank) else excess
        return np.asarray(excess <= radius * apart + _ROOT_SLACK)

    def _apart_from(self, root: int) -> NDArray[np.float64]:
        if root not in self._apart:
            self._apart[root] = np.linalg.norm(self._centroids - self._centroids[root], axis=1)
        return self._apart[root]


def bitmaps(reachable: NDArray[np.bool_]) -> list[bytes]:
    """Return each row as bytes, root 8 i + j in bit j (least significant first) of byte i."""
    packed = np.packbits(reachable, axis=1, bitorder="little")
    return [row.tobytes() for row in packed]


def choose_split(cell: int, tree: CellTree, sketches: Sketches) -> Split | None:
    """Return how to divide a cell: its widest coordinate near the median; None when its members are all alike.

    The cut lies midway between two members, never on one: where a descriptor belongs must not hang on how a sum of
    its sketch was rounded.

    Parameters
    ----------
    cell
        A leaf.
    tree
        Where it stands.
    sketches
        float64 (n, p + 1) of its members, in order; the residual is no coordinate to cut at.
    """
    coordinates = sketches[:, :-1]
    axis = int(np.ptp(coordinates, axis=0).argmax())
    values = coordinates[:, axis]
    ordered = np.sort(values)
    cuts = np.flatnonzero(np.diff(ordered) > _APART)
    if not len(cuts):
        return None
    below = cuts[np.abs(cuts + 1 - len(ordered) / 2.0).argmin()]
    threshold = float((ordered[below] + ordered[below + 1]) / 2.0)
    sides = np.where(values < threshold, ord("L"), ord("R")).astype(np.uint8).tobytes()
    return Split(cell, tree.root_of(cell), *tree.next_cells(), axis, threshold, sides)
