"""Descriptors as they come and as they may come: of all dimensions and spectra, in clusters, doubled, on borders."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from neardup.descriptors.base import unit_float16
from neardup.search.distance import l2_distances
from neardup.types import Descriptors


@dataclass(frozen=True)
class Scene:
    """Descriptors and a radius that means something among them.

    Attributes
    ----------
    descriptors
        float16 (n, d), unit norm.
    radius
        Often the very distance of two of them.
    seed
        For whatever else is to be drawn.
    """

    descriptors: Descriptors
    radius: float
    seed: int

    def __repr__(self) -> str:
        count, dimension = self.descriptors.shape
        return f"Scene({count} of {dimension} numbers, radius {self.radius!r}, seed {self.seed})"


@st.composite
def scenes(draw: st.DrawFn, most_rows: int = 120, most_numbers: int = 300) -> Scene:
    """Draw a scene."""
    dimension = draw(st.integers(3, most_numbers))
    count = draw(st.integers(1, most_rows))
    seed = draw(st.integers(0, 2**32 - 1))
    decay = draw(st.sampled_from([0.0, 0.5, 1.5, 4.0]))
    spread = draw(st.sampled_from([1.0, 0.1, 1e-3]))
    rng = np.random.default_rng(seed)
    descriptors = described(rng, count, dimension, decay, spread)
    return Scene(descriptors, draw(_radii(descriptors, rng)), seed)


def described(rng: np.random.Generator, count: int, dimension: int, decay: float, spread: float) -> Descriptors:
    """Return clustered rows of a spectrum that falls by a power; some twice, some halfway between two centres.

    Parameters
    ----------
    rng
        Of all that is random.
    count, dimension
        Shape of the result.
    decay
        Power by which the standard deviations of the numbers fall; 0 is flat.
    spread
        Of a cluster, in parts of the spread of the centres.
    """
    deviations = np.arange(1, dimension + 1) ** -decay
    centres = rng.standard_normal((5, dimension)) * deviations
    rows = centres[rng.integers(0, 5, count)] + spread * rng.standard_normal((count, dimension)) * deviations
    between = rng.random(count) < 0.2
    pairs = centres[rng.integers(0, 5, (2, int(between.sum())))]
    rows[between] = pairs.mean(axis=0) + 1e-3 * spread * rng.standard_normal((int(between.sum()), dimension))
    rows[np.linalg.norm(rows, axis=1) < 1e-6] = centres[0] + 1.0
    copies = rng.random(count) < 0.2
    rows[copies] = rows[rng.integers(0, count, int(copies.sum()))]
    return unit_float16(rows.astype(np.float32))


@st.composite
def _radii(draw: st.DrawFn, descriptors: Descriptors, rng: np.random.Generator) -> float:
    kind = draw(st.sampled_from(["tie", "just below a tie", "small", "usual", "large", "zero"]))
    one, other = descriptors[rng.integers(0, len(descriptors), 2)]
    tie = float(l2_distances(one[np.newaxis], other[np.newaxis])[0, 0])
    below = float(max(np.nextafter(tie, -1.0), 0.0))
    return {"tie": tie, "just below a tie": below, "small": 0.01, "usual": 0.2, "large": 1.2, "zero": 0.0}[kind]


def brute_force(queries: Descriptors, rows: Descriptors, radius: float) -> set[tuple[int, int]]:
    """Return every (query, row) within the radius."""
    return {(int(query), int(row)) for query, row in np.argwhere(l2_distances(queries, rows) <= radius)}
