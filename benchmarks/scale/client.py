"""The process that is measured: one or many clients of an index, which do what they are told.

Any build runs it, in its own way, so it asks little of the package. Commands come as lines of JSON, a name and
arguments; each is answered with a line. CPU is that of this process alone.
"""

import dataclasses
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import redis

from benchmarks.index_material import member_of, place
from neardup.index.base import IndexMeta
from neardup.index.build import GenerationBuild
from neardup.index.redis import RedisIndex
from neardup.types import Member, Query

BATCH = 64
_TIMEOUT_S = 120.0


class Clients:
    """Clients of one index.

    Parameters
    ----------
    url
        Of a Redis.
    name
        Of the index.
    rows
        A file with descriptors, float16 (n, d): those of members, then those of images to decide.
    descriptor, radius
        As in the index's metadata.
    """

    def __init__(self, url: str, name: str, rows: str, descriptor: str, radius: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S)
        self._url = url
        self._rows = np.load(rows, mmap_mode="r")
        self._meta = IndexMeta(name, 0, descriptor, "scale", self._rows.shape[1], float(radius))
        self._clients: list[RedisIndex] = []
        self._turn = 0

    def fill(self, members: int) -> dict[str, float]:
        """Make the index, as a bootstrap does."""
        placed = place(self._rows[:members])
        building = GenerationBuild(self._redis, self._meta, placed.tree.roots.centroids, placed.sketcher, placed.splits)
        for cell, rows in placed.rows_of.items():
            building.append(cell, [member_of(int(row), self._rows[row]) for row in rows])
        building.publish()
        return {"cells": len(placed.rows_of)}

    def open(self, count: int) -> dict[str, float]:
        """Open the index as so many clients more, each with a connection of its own."""
        before, began_s, began_cpu_s = _memory(), time.perf_counter(), time.process_time()
        for _ in range(count):
            connection = redis.Redis.from_url(self._url, socket_timeout=_TIMEOUT_S)
            self._clients.append(RedisIndex(connection, self._meta.name))
        return {
            "open_s": (time.perf_counter() - began_s) / count,
            "open_cpu_s": (time.process_time() - began_cpu_s) / count,
            "client_mib": (_memory() - before) / count / (1 << 20),
        }

    def keep(self, folder: str) -> dict[str, float]:
        """Leave what the first client knows in a folder, as a consumer with --index-cache does; of this build alone."""
        began_s = time.perf_counter()
        self._cached(folder).leave()
        files = [file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()]
        return {"keep_s": time.perf_counter() - began_s, "kept_mib": sum(files) / (1 << 20)}

    def open_kept(self, folder: str) -> dict[str, float]:
        """Open the index by what was kept."""
        before, began_s, began_cpu_s = _memory(), time.perf_counter(), time.process_time()
        self._clients.append(self._cached(folder))
        return {
            "open_s": time.perf_counter() - began_s,
            "open_cpu_s": time.process_time() - began_cpu_s,
            "client_mib": (_memory() - before) / (1 << 20),
        }

    def _cached(self, folder: str) -> RedisIndex:
        from neardup.index.redis import RedisIndexOptions  # noqa: PLC0415 - an older build has none
        from neardup.index.shared.folder import lasting_folder  # noqa: PLC0415 - as above
        from neardup.index.shared.views import SharedViews  # noqa: PLC0415 - as above

        options = RedisIndexOptions()
        views = SharedViews(lasting_folder(Path(folder), self._meta.name, options.cache_bytes), lasting=True)
        connection = redis.Redis.from_url(self._url, socket_timeout=_TIMEOUT_S)
        return RedisIndex(connection, self._meta.name, options=dataclasses.replace(options, shared=views))

    def decide(self, first: int, images: int) -> dict[str, float]:
        """Decide some images, from one on, batch by batch, the clients in turn."""
        batches = [
            [self._query(number) for number in range(start, min(start + BATCH, first + images))]
            for start in range(first, first + images, BATCH)
        ]
        before = sum(client.stats().retries for client in self._clients)
        gc.collect()
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        decided = []
        for batch in batches:
            decided.append(self._clients[self._turn % len(self._clients)].decide(batch))
            self._turn += 1
        cpu_s, wall_s = time.process_time() - began_cpu_s, time.perf_counter() - began_s
        return {
            "cpu_s": cpu_s,
            "wall_s": wall_s,
            "images": images,
            "batches": len(batches),
            "unique": sum(decision.verdict.value == "unique" for batch in decided for decision in batch),
            "retries": sum(client.stats().retries for client in self._clients) - before,
        }

    def single(self, first: int, images: int) -> dict[str, float]:
        """Decide some images, from one on, one by one, by the first client."""
        taken_ms = []
        for number in range(first, first + images):
            query = self._query(number)
            began_s = time.perf_counter()
            self._clients[0].decide([query])
            taken_ms.append(1e3 * (time.perf_counter() - began_s))
        p50, p99 = np.percentile(taken_ms, [50, 99])
        return {"ms_p50": float(p50), "ms_p99": float(p99)}

    def follow(self) -> dict[str, float]:
        """Follow what others have done."""
        began_cpu_s = time.process_time()
        for client in self._clients:
            client.pca()  # of all that can be asked for, this does nothing else
        return {"cpu_s": time.process_time() - began_cpu_s}

    def _query(self, number: int) -> Query:
        member = member_of(number, self._rows[number])
        return Query(**{field.name: getattr(member, field.name) for field in dataclasses.fields(Member)})


def _memory() -> int:
    """Return the bytes that this process holds."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


def main() -> None:
    """Do what standard input says."""
    clients = Clients(*sys.argv[1:])
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        told: dict[str, Any] = getattr(clients, command)(*arguments)
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
