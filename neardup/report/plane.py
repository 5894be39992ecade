"""The plane in which descriptors differ most: where the cluster map draws them."""

import numpy as np
from numpy.typing import NDArray

from neardup.types import Descriptors


def first_components(
    descriptors: Descriptors, others: NDArray[np.float32], sample_numbers: int = 1 << 24
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Project both on the first two principal components of the descriptors.

    Parameters
    ----------
    descriptors
        float16 (n, d), n at least 1.
    others
        float32 (k, d).
    sample_numbers
        The components are those of a sample of about this many numbers at most, which bounds memory.

    Returns
    -------
    tuple
        float64 (n, 2), float64 (k, 2), and float64 (2,): each component's part of the variance, in [0, 1].
    """
    dimension = descriptors.shape[1]
    step = max(1, -(-len(descriptors) * dimension // sample_numbers))
    sample = descriptors[::step].astype(np.float32)
    mean = sample.mean(axis=0)
    components, parts = _principal(sample - mean)
    block = max(1, sample_numbers // dimension)
    projected = [
        (descriptors[start : start + block].astype(np.float32) - mean) @ components.T
        for start in range(0, len(descriptors), block)
    ]
    return np.concatenate(projected).astype(np.float64), ((others - mean) @ components.T).astype(np.float64), parts


def _principal(centred: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return float32 (2, d) components and float64 (2,) parts of the variance; zeros where there are fewer."""
    from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415 - a second to import

    rank = min(2, *centred.shape)
    _, singular, right = randomized_svd(centred, rank, random_state=0)
    components = np.zeros((2, centred.shape[1]), dtype=np.float32)
    components[:rank] = right
    parts = np.zeros(2)
    parts[:rank] = np.square(singular) / max(float(np.square(centred).sum()), np.finfo(np.float64).tiny)
    return components, parts
