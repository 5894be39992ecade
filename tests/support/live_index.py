"""A small index on a real Redis that has been streamed into and divided, for tests that look at it from outside."""

import uuid
from collections.abc import Sequence

import numpy as np
import redis

from neardup.index.base import IndexMeta
from neardup.index.build import GenerationBuild
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.stored.keys import IndexKeys
from neardup.search.cells import Cells
from neardup.search.sketches import fit_sketcher
from neardup.types import Descriptors, Query, Verdict

DIMENSION, RADIUS, CELLS = 16, 0.3, 5
OPTIONS = RedisIndexOptions(max_cluster=40)


def unit_rows(count: int, seed: int) -> Descriptors:
    """Return float16 (count, DIMENSION), unit norm."""
    rows = np.random.default_rng(seed).normal(size=(count, DIMENSION)) * np.linspace(2.0, 0.5, DIMENSION)
    unit: Descriptors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    return unit


def build(client: redis.Redis, name: str | None = None, carried_from: int = 0) -> str:
    """Make an empty index of a few cells, that says where members were carried over from, and return its name."""
    name = name or f"test-{uuid.uuid4().hex}"
    rows = unit_rows(200, seed=1)
    meta = IndexMeta(name, 0, "pixels:1", "test-1", DIMENSION, RADIUS, seed={"images": 0}, carried_from=carried_from)
    GenerationBuild(client, meta, Cells(rows[:CELLS].astype(np.float32)).centroids, fit_sketcher(rows)).publish()
    return name


def queries(count: int, seed: int = 7, prefix: str = "images-0") -> list[Query]:
    """Return queries with keys ``images-0-0``, ``images-0-1``, ..., an hour apart."""
    rows = unit_rows(count, seed)
    return [
        Query(f"{prefix}-{number}", f"id/{number}.jpg", row, 1_700_000_000_000 + 3_600_000 * number)
        for number, row in enumerate(rows)
    ]


def stream(
    client: redis.Redis, name: str, images: Sequence[Query], options: RedisIndexOptions = OPTIONS
) -> list[Query]:
    """Let the index decide in batches; return the unique ones."""
    index = RedisIndex(client, name, options=options)
    uniques = []
    for start in range(0, len(images), 64):
        batch = images[start : start + 64]
        decided = zip(batch, index.decide(batch), strict=True)
        uniques += [image for image, decision in decided if decision.verdict is Verdict.UNIQUE]
    return uniques


def remove_keys(client: redis.Redis, name: str) -> None:
    """Leave nothing of an index."""
    for key in list(client.scan_iter(match=IndexKeys(name).pattern)):
        client.delete(key)
