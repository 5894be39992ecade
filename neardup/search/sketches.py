"""Sketches: a few numbers per descriptor, whose distance never exceeds that of the descriptors.

Rotate descriptors onto their principal components; keep the first p coordinates and the length of what is left.
For descriptors x and y with prefixes Px, Py and residual lengths a, b

    |x - y|^2  =  |Px - Py|^2 + |(x - Px) - (y - Py)|^2  >=  |Px - Py|^2 + (a - b)^2

by the reverse triangle inequality. The right side is the squared Euclidean distance of the *sketches* (Px, a) and
(Py, b): whatever lies within the radius of a descriptor lies within the radius of its sketch, so a range search over
sketches loses nothing. That holds for any orthonormal basis; principal components only make it exclude the most.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.types import Descriptors

SLACK = 1e-5
"""How much rounding may enlarge a sketch distance: the basis is orthonormal up to float32."""
COMPONENTS = 32
"""Number kept with an index: a search uses the first (`neardup.search.sketch_trees.LONG`), a split may use any."""
_BLOCK = 8192
_SAMPLE_NUMBERS = 1 << 24
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True, slots=True)
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

    def sketch(self, descriptors: Descriptors) -> NDArray[np.float64]:
        """Return float64 (n, p + 1) sketches of float16 (n, d) descriptors."""
        blocks = [
            self._sketch_block(descriptors[start : start + _BLOCK]) for start in range(0, len(descriptors), _BLOCK)
        ]
        return np.concatenate(blocks) if blocks else np.empty((0, self.size))

    def _sketch_block(self, descriptors: Descriptors) -> NDArray[np.float64]:
        basis = self.basis.astype(np.float64)
        centred = descriptors.astype(np.float64) - self.mean
        prefix = centred @ basis.T
        # The length of the residual itself: a difference of squares would lose half its digits near zero.
        residual = centred - prefix @ basis
        return np.column_stack([prefix, np.linalg.norm(residual, axis=1)])


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
