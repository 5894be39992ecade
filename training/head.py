"""The last step of the descriptor: fewer numbers, of falling variance.

The entropy of the loss spreads descriptors evenly over as many directions as there are. That is good for learning, and
bad for searching: no few numbers tell most images apart. Half of the directions, those that vary least between
pictures, do not tell them apart at all, but differ between a picture and its copy. docs/copynet.md has the figures.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUMBERS = 64
DECAY_FROM = 16
"""The k-th number's variance is divided by k + 16: the last counts a fifth of the first."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """What makes one vector out of the places of a feature map; see `neardup.descriptors.copynet`.

    Attributes
    ----------
    exponent
        Of the pooling.
    matrix, offset
        float32 (channels, numbers) and (numbers,).
    """

    exponent: float
    matrix: Floats
    offset: Floats


def fit_rotation(vectors: Floats, numbers: int = NUMBERS, decay_from: float = DECAY_FROM) -> Floats:
    """Return float32 (d, numbers): the principal directions of the vectors, the first weighing most.

    Parameters
    ----------
    vectors
        float32 (n, d), of pictures that are trained on.
    numbers
        How many directions to keep, at most d.
    decay_from
        See `DECAY_FROM`; infinite for no decay.
    """
    _, directions = np.linalg.eigh(np.cov(vectors.T.astype(np.float64)))
    weights = 1.0 if np.isinf(decay_from) else (1.0 + np.arange(numbers) / decay_from) ** -0.5
    return np.asarray(directions[:, ::-1][:, :numbers] * weights, dtype=np.float32)
