"""Indexes for tests: well separated cells, and points at chosen angles within them."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Protocol

import numpy as np
import redis
from numpy.typing import NDArray

from neardup.descriptors.names import COPYNET
from neardup.index.base import Index, IndexMeta
from neardup.index.build import GenerationBuild
from neardup.index.memory import MemoryIndex
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect
from neardup.index.stored.keys import IndexKeys
from neardup.relation.local_change import SIDE_PX
from neardup.relation.looks.look import look_of
from neardup.relation.rule import Relation
from neardup.search.cells import Cells
from neardup.search.distance import l2_distances
from neardup.search.sketches import Sketcher
from neardup.types import Box, Descriptors, Kept, Member, Query

DIMENSION = 8
CELLS = 4
CENTROIDS = np.eye(CELLS, DIMENSION, dtype=np.float32)
RADIUS = 0.12
FINGERPRINT = "test-1"
# Any orthonormal basis is right; this one leaves the planes' angles to the residual.
SKETCHER = Sketcher(np.zeros(DIMENSION, dtype=np.float32), np.eye(CELLS, DIMENSION, dtype=np.float32))

_NAMES = itertools.count()


def point(cell: int, angle: float = 0.0, plane: int = 0) -> Descriptors:
    """Return float16 (8,): `angle` radians from the centroid of `cell`, in one of four planes."""
    values = np.zeros(DIMENSION)
    values[cell], values[CELLS + plane] = math.cos(angle), math.sin(angle)
    return values.astype(np.float16)


def thumbnail(*changed: tuple[int, int], by: int = 100) -> Kept:
    """Return the thumbnail of a grey scene with a square of 4 pixels a side brighter at each (row, column)."""
    values = np.full((SIDE_PX, SIDE_PX), 60, dtype=np.uint8)
    for row, column in changed:
        values[row : row + 4, column : column + 4] += np.uint8(by)
    return values.reshape(-1)


def look(changed: int = 0, part: Box | None = None) -> Kept:
    """Return the look of a scene full of detail, of whose four quarters so many show something else.

    It may be called a part of an image.
    """
    scene, other = (np.random.default_rng(seed).integers(0, 256, (20, 20), dtype=np.uint8) for seed in (1, 2))
    quarters = [(0, 0), (10, 10), (0, 10), (10, 0)]
    for row, column in quarters[:changed]:
        scene[row : row + 10, column : column + 10] = other[row : row + 10, column : column + 10]
    return look_of(np.repeat(scene.repeat(8, axis=0).repeat(8, axis=1)[:, :, np.newaxis], 3, axis=2), part)


def l2_distance(one: Descriptors, other: Descriptors) -> float:
    return float(l2_distances(one[np.newaxis], other[np.newaxis])[0, 0])


def query(key: str, descriptor: Descriptors, image_id: str | None = None) -> Query:
    return Query(key, image_id or f"id of {key}", descriptor, captured_at_ms=len(key))


def member(key: str, descriptor: Descriptors) -> Member:
    return Member(key, f"id of {key}", descriptor)


class Backend(Protocol):
    """One kind of index."""

    def make(self, radius: float = RADIUS, members: Sequence[Member] = (), relation: Relation | None = None) -> Index:
        """Return an index with these members; the relation, when it is given, has the radius."""

    def forget_decisions(self, index: Index) -> None:
        """Drop what is recorded under idempotency keys, as time does."""


class MemoryBackend:
    """The executable specification."""

    def make(self, radius: float = RADIUS, members: Sequence[Member] = (), relation: Relation | None = None) -> Index:
        meta = IndexMeta("memory", 1, "pixels:1", FINGERPRINT, DIMENSION, radius, CELLS)
        return MemoryIndex(with_relation(meta, relation), Cells(CENTROIDS), members)

    def forget_decisions(self, index: Index) -> None:
        assert isinstance(index, MemoryIndex)
        index._decided.clear()


class RedisBackend:
    """The index in a real Redis; each index has a name of its own."""

    def __init__(self, url: str) -> None:
        self.client = connect(url)

    def make(
        self, radius: float = RADIUS, members: Sequence[Member] = (), relation: Relation | None = None
    ) -> RedisIndex:
        name = new_name()
        build_generation(self.client, name, radius, members, relation=relation)
        return RedisIndex(self.client, name)

    def forget_decisions(self, index: Index) -> None:
        forget_decisions(self.client, index.meta.name)


def new_name() -> str:
    """Return an index name that no other test has used on this server."""
    return f"test-{np.random.default_rng().integers(2**48):x}-{next(_NAMES)}"


def with_relation(meta: IndexMeta, relation: Relation | None) -> IndexMeta:
    """Return metadata with another relation, if there is one."""
    if relation is None:
        return meta
    fields = asdict(relation)
    # Metadata tell that by the descriptor.
    descriptor = COPYNET if fields.pop("turned_by_look") else meta.descriptor
    return replace(meta, **fields, descriptor=descriptor)


def start_build(
    client: redis.Redis,
    name: str,
    radius: float = RADIUS,
    fingerprint: str = FINGERPRINT,
    relation: Relation | None = None,
) -> GenerationBuild:
    meta = IndexMeta(name, 0, "pixels:1", fingerprint, DIMENSION, radius)
    return GenerationBuild(client, with_relation(meta, relation), CENTROIDS, SKETCHER)


def build_generation(  # noqa: PLR0917 - all that a generation may differ in
    client: redis.Redis,
    name: str,
    radius: float = RADIUS,
    members: Sequence[Member] = (),
    fingerprint: str = FINGERPRINT,
    relation: Relation | None = None,
) -> IndexMeta:
    build = start_build(client, name, radius, fingerprint, relation)
    cells = Cells(CENTROIDS)
    for each in members:
        build.append(int(cells.assign(each.descriptor[np.newaxis])[0]), [each])
    return build.publish()


def build_anew(  # noqa: PLR0917 - all that an index is made of
    client: redis.Redis,
    name: str,
    radius: float,
    centroids: NDArray[np.float32],
    sketcher: Sketcher,
    members: Sequence[Member] = (),
    relation: Relation | None = None,
) -> IndexMeta:
    """Make a generation of any dimension the live one."""
    meta = IndexMeta(name, 0, "pixels:1", FINGERPRINT, centroids.shape[1], radius)
    build = GenerationBuild(client, with_relation(meta, relation), centroids, sketcher)
    cells = Cells(centroids)
    by_cell: dict[int, list[Member]] = {}
    for each in members:
        by_cell.setdefault(int(cells.assign(each.descriptor[np.newaxis])[0]), []).append(each)
    for cell, theirs in by_cell.items():
        build.append(cell, theirs)
    return build.publish()


def forget_decisions(client: redis.Redis, name: str) -> None:
    for key in list(client.scan_iter(match=IndexKeys(name).decided("*"))):
        client.delete(key)
