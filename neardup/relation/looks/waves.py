"""The lowest cosine frequencies of a small square: what is kept of how it looks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def waves_of(side: int, frequencies: Sequence[tuple[int, int]], times: int) -> NDArray[np.float64]:
    """Return waves of unit norm, so many times as large and rounded to whole numbers, float64 (side ** 2, n).

    Parameters
    ----------
    side
        Of the square, in samples.
    frequencies
        Of each wave, up and down and across.
    times
        How fine the whole numbers are.
    """
    at = np.arange(side)
    waves = np.cos(np.pi * (at + 0.5) * at[:, np.newaxis] / side) * np.sqrt(2 / side)
    waves[0] /= np.sqrt(2)
    return np.stack([np.rint(times * np.outer(waves[v], waves[u])).ravel() for v, u in frequencies], axis=1)
