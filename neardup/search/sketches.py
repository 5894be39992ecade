"""Sketches: a few numbers per descriptor, whose distance never exceeds that of the descriptors.

Rotate descriptors onto their principal components; keep the first p coordinates and the length of what is left.
For descriptors x and y with prefixes Px, Py and residual lengths a, b

    |x - y|^2  =  |Px - Py|^2 + |(x - Px) - (y - Py)|^2  >=  |Px - Py|^2 + (a - b)^2

by the reverse triangle inequality. The right side is the squared Euclidean distance of the *sketches* (Px, a) and
(Py, b): whatever lies within the radius of a descriptor lies within the radius of its sketch, so a range search over
sketches loses nothing. That holds for any orthonormal basis; principal components only make it exclude the most.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from neardup.search.distance import widened
from neardup.types import Descriptors

SLACK = 1e-5
"""How much rounding may enlarge a sketch distance: the basis is orthonormal up to float32."""
COMPONENTS = 32
"""Number kept with an index: a search uses the first (`neardup.search.sketch_trees.LONG`), a split may use any."""
_BLOCK_NUMBERS = 1 << 16
"""Of so many at a time: half a megabyte, which stays in the processor's cache."""
_SAMPLE_NUMBERS = 1 << 24
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True)
class Sketcher:
    """Makes sketches: an orthonormal basis of a few rows, and the mean that is subtracted first.

    Attributes
    ----------
    mean
        float32 (d,).
    basis
        float32 (p, d), rows orthonormal up to rounding.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]

    @property
    def size(self) -> int:
        """Numbers in a sketch, p + 1."""
        return len(self.basis) + 1

    @property
    def kept(self) -> int:
        """Components, p."""
        return len(self.basis)

    @cached_property
    def _exact(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Basis and mean in float64, and what the square of a prefix counts twice (`sketch`)."""
        basis, mean = self.basis.astype(np.float64), self.mean.astype(np.float64)
        return basis, mean, 2.0 * np.eye(len(basis)) - basis @ basis.T

    def cut(self, components: int) -> "Sketcher":
        """Return a sketcher that makes do with the first components."""
        return Sketcher(self.mean, self.basis[:components])

    def sketch(self, descriptors: Descriptors) -> NDArray[np.float64]:
        """Return float64 (n, p + 1) sketches of float16 (n, d) descriptors."""
        sketches = np.empty((len(descriptors), self.size))
        # |c - p B|^2 = |c|^2 - p (2 - B B') p' where p = c B', even for a B that is orthonormal up to float32.
        # The difference loses half its digits near zero: what is left of float64 is a hundredth of the slack.
        basis, mean, beyond = self._exact
        step = max(1, _BLOCK_NUMBERS // self.mean.size)
        centred = np.empty((min(step, len(descriptors)), self.mean.size))
        for start in range(0, len(descriptors), step):
            rows = descriptors[start : start + step]
            # One piece of memory for all blocks: fresh memory costs as much as what is computed in it.
            block = centred[: len(rows)]
            block[:] = widened(rows)
            block -= mean
            prefix = np.matmul(block, basis.T)
            squared = np.einsum("ij,ij->i", block, block) - np.einsum("ij,ij->i", prefix @ beyond, prefix)
            sketches[start : start + step, :-1] = prefix
            sketches[start : start + step, -1] = np.sqrt(np.maximum(squared, 0.0))
        return sketches


def fit_sketcher(descriptors: Descriptors, size: int = COMPONENTS) -> Sketcher:
    """Return a sketcher for the first principal components of float16 (n, d) descriptors, n at least 1.

    Fitted on an evenly spaced sample of at most `_SAMPLE_NUMBERS` numbers. There are `size` components, or as many
    as the sample has dimensions.
    """
    step = max(1, -(-descriptors.size // _SAMPLE_NUMBERS))
    rows = descriptors[::step].astype(np.float64)
    mean = rows.mean(axis=0)
    rows -= mean
    count, dimension = rows.shape
    if dimension <= count:
        _, vectors = np.linalg.eigh(rows.T @ rows)
        basis = vectors.T[::-1][:size]
    else:
        # The dual: few images of many numbers each (pixels:320 has 307,200).
        _, singular, basis = np.linalg.svd(rows, full_matrices=False)
        basis = basis[: min(size, max(1, int((singular > _NEGLIGIBLE).sum())))]
    return Sketcher(mean.astype(np.float32), np.ascontiguousarray(basis, dtype=np.float32))
