"""A bootstrap that never ends: each generation carries over the one before, while workers add to both."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import redis
from threadpoolctl import threadpool_limits

from bootstrap.generation.assembly import Assembly
from bootstrap.generation.snapshot import CarryOver, Snapshot, store
from bootstrap.seeds.analyse import cluster_seeds
from neardup.errors import CorruptIndex, Misconfigured
from neardup.index.carry import Predecessor, find_predecessor
from neardup.index.stored.connection import connect
from neardup.relation.images import Images, images_of
from neardup.types import Member
from tests.stress.withdraw import KEEP_MS

REST_S = 1.5
"""Between two generations: each has all workers read everything anew."""


@dataclass(frozen=True)
class Rebuilding:
    """What the process is to do; it ends when `stop` is there."""

    folder: Path
    redis_url: str
    index: str
    fingerprint: str

    @property
    def stop(self) -> Path:
        """Made when it is to end."""
        return self.folder / "stop-rebuilding"

    @property
    def flips(self) -> Path:
        """One byte for each generation that it made the live one."""
        return self.folder / "flips"

    @property
    def made(self) -> int:
        """Generations until now."""
        return self.flips.stat().st_size if self.flips.exists() else 0


def rebuild(task: Rebuilding) -> None:
    """Build one generation after the other."""
    threadpool_limits(1)
    with connect(task.redis_url) as client:
        while not task.stop.exists():
            try:
                _build(client, task)
            except CorruptIndex:
                raise
            except Misconfigured:  # nothing is built on another descriptor; or a rollback came first
                pass
            time.sleep(REST_S)


def _build(client: redis.Redis, task: Rebuilding) -> None:
    predecessor = find_predecessor(client, task.index, task.fingerprint)
    carried = predecessor.news().added
    if carried:
        snapshot, carry_over = _next(predecessor, carried)
        store(snapshot, client, task.index, carry_over, keep_ms=KEEP_MS)
        with task.flips.open("ab") as file:
            file.write(b"f")


def _next(predecessor: Predecessor, carried: list[Member]) -> tuple[Snapshot, CarryOver]:
    meta = predecessor.meta
    assert meta is not None
    kept = images_of(carried, meta.relation.parts).kept
    nothing = Images(np.empty((0, meta.dimension), np.float16), None if kept is None else kept[:0])
    assembly = Assembly(carried, [], nothing, meta.relation, meta.relation)
    members = [assembly.rows[row] for row in assembly.members]
    cells, clusters = cluster_seeds(np.stack([member.descriptor for member in members]))
    return Snapshot(meta, cells, members, clusters), CarryOver(predecessor, assembly, dict)
