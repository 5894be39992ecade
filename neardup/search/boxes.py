"""Bounding boxes of consecutive rows: boxes outside a query's radius are skipped."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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

    def reached(self, queries: NDArray[np.float32], reach: float) -> NDArray[np.bool_]:
        """Return bool (n, m): whether a box comes within reach of each of float32 (k, m) queries."""
        squared = np.zeros((len(self), queries.shape[1]), dtype=np.float32)
        for low, high, values in zip(self.low, self.high, queries, strict=True):
            gap = np.maximum(low[:, np.newaxis] - values, values - high[:, np.newaxis])
            np.maximum(gap, 0.0, out=gap)
            squared += np.square(gap, out=gap)
        return np.asarray(squared <= np.float32(reach * reach))

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


def run_starts(node: Any, rows: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:  # noqa: ANN401 - of scipy, untyped
    """Return the first row of each leaf below a node, in order, and of each branch of at most so many rows, or leaf."""
    leaves, branches, waiting = [], [], [(node, False)]
    while waiting:
        node, is_inside = waiting.pop()
        first, is_leaf = node.start_idx, node.lesser is None
        is_branch = is_leaf or node.end_idx - first <= rows
        if is_branch and not is_inside:
            branches.append(first)
        if is_leaf:
            leaves.append(first)
        else:
            waiting += [(node.greater, is_branch), (node.lesser, is_branch)]
    return np.array(leaves, dtype=np.intp), np.array(branches, dtype=np.intp)
