"""Messages that are hard to decide at the same time: pairs across borders, copies everywhere at once, near misses.

And images that come again long after, when what they are copies of may be gone.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neardup.descriptors.base import unit_float16
from neardup.index.retention import Retention
from neardup.types import Descriptors

PARTITIONS = 4
DIMENSION = 24
CLUSTERS = 16
RADIUS = 0.1
START_MS = 1_767_225_600_000
RETENTION = Retention(60 * 60 * 1000)
"""Nothing is too old by a clock that is right, if there are fewer than 360,000 messages in a partition."""
_WRONG_EVERY = 100
_WRONG_MS = (
    *(2_082_758_400_000, START_MS * 1000, START_MS + 40 * 86_400_000, START_MS + 20 * 3_600_000),
    *(START_MS // 1000, 0, -1, -START_MS),
)
"""Of 2036, in microseconds, forty days ahead, twenty hours ahead, in seconds, none, none, and before 1970."""
_AHEAD = 200
"""How far back a near copy may have its original: near enough that both are still on their way."""


@dataclass(frozen=True)
class Material:
    """What is delivered; the message at an offset of a partition is ``partitions[partition, offset]``.

    Attributes
    ----------
    centroids
        float32 (k, d), unit norm.
    partitions
        float16 (PARTITIONS, n, d), unit norm.
    """

    centroids: NDArray[np.float32]
    partitions: Descriptors

    def save(self, folder: Path) -> None:
        np.save(folder / "partitions.npy", self.partitions)

    def by_key(self) -> dict[str, Descriptors]:
        return {
            key_of(partition, offset): row
            for partition, rows in enumerate(self.partitions)
            for offset, row in enumerate(rows)
        }


def sent_at_ms(offset: int) -> int:
    """Return Kafka's timestamp of a message."""
    return START_MS + 10 * offset


def captured_at_ms(partition: int, offset: int) -> int:
    """Return what a message says of when its image was captured; one in a hundred is wrong, on each delivery."""
    number, wrong = divmod(offset + 17 * partition, _WRONG_EVERY)
    return sent_at_ms(offset) - 1000 if wrong else _WRONG_MS[number % len(_WRONG_MS)]


def key_of(partition: int, offset: int) -> str:
    return f"images-{partition}-{offset}"


def load_partitions(folder: Path) -> Descriptors:
    return np.asarray(np.load(folder / "partitions.npy", mmap_mode="r"))


def make_material(images: int, seed: int) -> Material:
    """Return messages that lie at the same offset of several partitions, where they are to collide."""
    rng = np.random.default_rng(seed)
    centroids = _unit(rng.standard_normal((CLUSTERS, DIMENSION)))
    slots = -(-images // PARTITIONS)
    rows = np.stack([_fresh(rng, centroids, slots) for _ in range(PARTITIONS)])
    kinds = rng.choice(["fresh", "border", "copies", "near", "again"], slots, p=[0.3, 0.2, 0.15, 0.2, 0.15])
    for slot, kind in enumerate(kinds):
        order = rng.permutation(PARTITIONS)
        if kind == "border":
            rows[order[0], slot], rows[order[1], slot] = _across_a_border(rng, centroids, rows[order[0], slot])
        elif kind == "copies":
            rows[:, slot] = rows[0, slot]
        elif kind == "near":
            original = rows[order[0], rng.integers(max(0, slot - _AHEAD), slot + 1)]
            rows[order, slot] = [_moved(rng, original, share) for share in (0.3, 0.7, 0.99, 1.2)]
        elif kind == "again":
            rows[:, slot] = rows[order, rng.integers(0, slot + 1, PARTITIONS)]
    return Material(centroids.astype(np.float32), unit_float16(rows.reshape(-1, DIMENSION)).reshape(rows.shape))


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def _fresh(rng: np.random.Generator, centroids: NDArray[np.float64], count: int) -> NDArray[np.float32]:
    noise = 0.15 * rng.standard_normal((count, DIMENSION))
    return _unit(centroids[rng.integers(0, CLUSTERS, count)] + noise).astype(np.float32)


def _moved(rng: np.random.Generator, row: NDArray[np.float32], share: float) -> NDArray[np.float64]:
    """Return a row at about this share of the radius from another."""
    away = rng.standard_normal(DIMENSION)
    away -= (away @ row) * row
    return _unit(row + share * RADIUS * _unit(away))


def _across_a_border(
    rng: np.random.Generator, centroids: NDArray[np.float64], row: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two rows within the radius on either side of the border between two cells."""
    one, other = centroids[rng.permutation(CLUSTERS)[:2]]
    across = _unit(one - other)
    middle = _unit(one + other + 0.5 * (row - (row @ across) * across))
    middle = _unit(middle - (middle @ across) * across)
    step = rng.uniform(0.05, 0.49) * RADIUS * across
    return _unit(middle + step), _unit(middle - step)
