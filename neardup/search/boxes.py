"""Bounding boxes of consecutive rows: boxes outside a query's radius are skipped."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree


@dataclass(frozen=True, slots=True)
class Boxes:
    """Runs of rows, each within a box.

    Attributes
    ----------
    starts
        intp (n + 1,): box i holds the rows from ``starts[i]`` to before ``starts[i + 1]``.
    low, high
        float32 (k, n): corners, one column per box.
    """

    starts: NDArray[np.intp]
    low: NDArray[np.float32]
    high: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self.starts.nbytes + self.low.nbytes + self.high.nbytes

    def squared_distances(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (n, m): of each box and each of float32 (k, m) queries; 0 where it is inside."""
        squared = np.zeros((len(self), queries.shape[1]), dtype=np.float32)
        for low, high, values in zip(self.low, self.high, queries, strict=True):
            gap = np.maximum(low[:, np.newaxis] - values, values - high[:, np.newaxis])
            np.maximum(gap, 0.0, out=gap)
            squared += np.square(gap, out=gap)
        return squared

    def reached(self, queries: NDArray[np.float32], reach: float) -> NDArray[np.bool_]:
        """Return bool (n, m): whether a box comes within reach of each of float32 (k, m) queries."""
        return np.asarray(self.squared_distances(queries) <= np.float32(reach * reach))

    def grouped(self, firsts: NDArray[np.intp]) -> "Boxes":
        """Return larger boxes, around the boxes from each of the `firsts` to before the next."""
        starts = np.append(self.starts[firsts], self.starts[-1])
        low = np.minimum.reduceat(self.low, firsts, axis=1)
        return Boxes(starts, low, np.maximum.reduceat(self.high, firsts, axis=1))

    def followed_by(self, others: "Boxes") -> "Boxes":
        """Return these boxes up to the others' first row, followed by the others."""
        kept = int(np.searchsorted(self.starts, others.starts[0]))
        return Boxes(
            np.concatenate([self.starts[:kept], others.starts]),
            np.concatenate([self.low[:, :kept], others.low], axis=1),
            np.concatenate([self.high[:, :kept], others.high], axis=1),
        )


def boxes_around(points: NDArray[np.float32], starts: NDArray[np.intp], first: int) -> Boxes:
    """Return boxes around runs of points, float32 (k, n), each from one start to the next; row `first` is the first."""
    low, high = (ends.reduceat(points, starts, axis=1) for ends in (np.minimum, np.maximum))
    return Boxes(np.append(starts, points.shape[1]) + first, low, high)


def neighbours(
    points: NDArray[np.float32], leaf_rows: int, branch_rows: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return an order in which neighbours stand side by side, that of a k-d tree.

    Parameters
    ----------
    points
        float32 (k, n).
    leaf_rows, branch_rows
        Most rows of a leaf, and of a branch that is looked at as one.

    Returns
    -------
    ndarray
        intp (n,): the order.
    ndarray
        intp: where in it each leaf starts.
    ndarray
        intp: where each branch, or leaf that is in none, starts.
    """
    tree = cKDTree(points.T.astype(np.float64, order="C"), leafsize=leaf_rows, balanced_tree=False)
    leaves, branches = _starts(tree.tree, branch_rows)
    return tree.indices, np.array(leaves, dtype=np.intp), np.array(branches, dtype=np.intp)


def _starts(node: Any, branch_rows: int) -> tuple[list[int], list[int]]:  # noqa: ANN401 - a scipy node, untyped
    leaves, branches, waiting = [], [], [(node, False)]
    while waiting:
        node, is_inside = waiting.pop()
        first, is_leaf = int(node.start_idx), node.lesser is None
        is_branch = is_inside or is_leaf or node.end_idx - first <= branch_rows
        if is_branch and not is_inside:
            branches.append(first)
        if is_leaf:
            leaves.append(first)
        else:
            waiting += [(node.greater, is_branch), (node.lesser, is_branch)]
    return leaves, branches
