"""Messages that are hard to decide at the same time: pairs across borders, copies everywhere at once, near misses.

And images that come again long after, when what they are copies of may be gone.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neardup.descriptors.base import unit_float16
from neardup.index.retention import Retention
from neardup.relation.rule import Relation
from neardup.types import Box, Descriptors, Kept, Query, Symmetry, Variant
from tests.stress.looks import FORMS, INSIDE, PICTURES, RADIUS, RELATIONS, make_looks, shown

PARTITIONS = 4
DIMENSION = 24
CLUSTERS = 16
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
_PARTS: tuple[Box, ...] = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.25, 0.25, 0.75, 0.75))
_INSIDE = 0.5
"""Share of the fresh slots in which one shows an earlier picture inside."""


@dataclass(frozen=True)
class Material:
    """What is delivered; the message at an offset of a partition is ``partitions[partition, offset]``.

    Attributes
    ----------
    relation
        What decides, a name of `tests.stress.looks.RELATIONS`.
    centroids
        float32 (k, d), unit norm.
    partitions
        float16 (PARTITIONS, n, views, d), unit norm: the image as it came, then its parts.
    looks
        uint8 (m, views, LOOK_BYTES): what images show, and their parts.
    shown
        intp (PARTITIONS, n): the look of each.
    """

    relation: str
    centroids: NDArray[np.float32]
    partitions: Descriptors
    looks: Kept
    shown: NDArray[np.intp]

    @property
    def rule(self) -> Relation:
        """What decides."""
        return RELATIONS[self.relation]

    @property
    def keys(self) -> list[str]:
        """Of all messages, partition by partition."""
        return [key_of(partition, offset) for partition, offset in np.ndindex(self.shown.shape)]

    def save(self, folder: Path) -> None:
        np.save(folder / "partitions.npy", self.partitions)
        np.save(folder / "centroids.npy", self.centroids)
        np.save(folder / "looks.npy", self.looks)
        np.save(folder / "shown.npy", self.shown)

    @classmethod
    def load(cls, folder: Path, relation: str) -> "Material":
        """Return what was saved, as far as it is looked at."""
        names = ("centroids", "partitions", "looks", "shown")
        return cls(relation, *(np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in names))

    def query(self, partition: int, offset: int, captured_at_ms: int = 0) -> Query:
        """Return a message as an index is asked of it."""
        key, (whole, *parts) = key_of(partition, offset), self.partitions[partition, offset]
        kept = None if self.rule.agreement is None else self.looks[self.shown[partition, offset]]
        variants = tuple(
            Variant(Symmetry.NONE, part, None if kept is None else kept[view], box)
            for view, (box, part) in enumerate(zip(parts_of(self.rule), parts, strict=True), 1)
        )
        return Query(
            *(key, f"id of {key}", whole, captured_at_ms, None if kept is None else kept[0], variants),
            seeks_parts=self.rule.match_parts,
        )


def parts_of(rule: Relation) -> tuple[Box, ...]:
    """Return where every image has its parts, if they are compared; mirrored and turned ones are found by a look."""
    assert rule.described_after == (Symmetry.NONE,)
    return _PARTS if rule.match_parts else ()


def sent_at_ms(offset: int) -> int:
    """Return Kafka's timestamp of a message."""
    return START_MS + 10 * offset


def captured_at_ms(partition: int, offset: int) -> int:
    """Return what a message says of when its image was captured; one in a hundred is wrong, on each delivery."""
    number, wrong = divmod(offset + 17 * partition, _WRONG_EVERY)
    return sent_at_ms(offset) - 1000 if wrong else _WRONG_MS[number % len(_WRONG_MS)]


def key_of(partition: int, offset: int) -> str:
    return f"images-{partition}-{offset}"


def make_material(images: int, seed: int, relation: str = "plain") -> Material:
    """Return messages that lie at the same offset of several partitions, where they are to collide.

    Each shows a picture in some form. Whether near ones show the same is a matter of chance, mostly they do.
    """
    rng = np.random.default_rng(seed)
    centroids = _unit(rng.standard_normal((CLUSTERS, DIMENSION)))
    slots = -(-images // PARTITIONS)
    rows = np.stack([_fresh(rng, centroids, slots) for _ in range(PARTITIONS)])
    kinds = rng.choice(["fresh", "border", "copies", "near", "again"], slots, p=[0.3, 0.2, 0.15, 0.2, 0.15])
    # Drawn apart, so that the rows are the same whatever decides.
    taste = np.random.default_rng([seed, 1])
    show = np.stack([shown(taste, picture, PARTITIONS) for picture in taste.integers(0, PICTURES, slots)], axis=1)
    inside: list[tuple[int, int, NDArray[np.float64]]] = []
    for slot, kind in enumerate(kinds):
        order = rng.permutation(PARTITIONS)
        if kind == "border":
            rows[order[0], slot], rows[order[1], slot] = _across_a_border(rng, centroids, rows[order[0], slot])
        elif kind == "copies":
            rows[:, slot] = rows[0, slot]
        elif kind == "near":
            place = order[0], rng.integers(max(0, slot - _AHEAD), slot + 1)
            original = rows[place]
            rows[order, slot] = [_moved(rng, original, share) for share in (0.3, 0.7, 0.99, 1.2)]
            show[:, slot] = shown(taste, show[place] // FORMS, PARTITIONS)
        elif kind == "again":
            offsets = rng.integers(0, slot + 1, PARTITIONS)
            rows[:, slot] = rows[order, offsets]
            show[:, slot] = shown(taste, show[order, offsets] // FORMS, PARTITIONS)
        elif taste.random() < _INSIDE:
            place = taste.integers(PARTITIONS), taste.integers(max(0, slot - _AHEAD), slot + 1)
            show[0, slot] = show[place] // FORMS * FORMS + INSIDE
            inside.append((0, slot, _moved(taste, rows[place], taste.uniform(0.1, 1.1))))
    views = np.repeat(rows[:, :, np.newaxis], 1 + len(parts_of(RELATIONS[relation])), axis=2)
    # Opposite the whole, where nothing else is.
    views[:, :, 1:] *= -1
    for partition, slot, row in inside if views.shape[2] > 1 else ():
        views[partition, slot, taste.integers(1, views.shape[2])] = row
    unit = unit_float16(views.reshape(-1, DIMENSION)).reshape(views.shape)
    return Material(relation, centroids.astype(np.float32), unit, make_looks(parts_of(RELATIONS[relation])), show)


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
