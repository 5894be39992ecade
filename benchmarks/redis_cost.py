"""Measure what the index costs in Redis: bytes, server time an image, images a second with several clients.

    make bench-redis [ARGS="--members 100000"]

On the Redis that NEARDUP_REDIS_URL names, else on one that is started for it; nobody else may use it meanwhile. Images
are described already (`real_descriptors.py`): describing them costs more than all that is measured here.
"""

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import redis
from threadpoolctl import threadpool_limits

from benchmarks.index_material import MAX_CLUSTER, key_of, member_of, place
from benchmarks.real_descriptors import descriptors_of_images, generated
from demo.services import open_redis
from neardup.descriptors import load_descriptor
from neardup.index.base import IndexMeta
from neardup.index.build import GenerationBuild
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect
from neardup.index.stored.keys import IndexKeys
from neardup.types import Descriptors, Query, Verdict

ROOT = Path(__file__).resolve().parent.parent
INDEX = "redis-cost"
RADIUS = load_descriptor("dct").default_radius
LONG = 256
"""Numbers of a longer descriptor, of which only the bytes are measured; generated."""
CLIENTS = (1, 4, 8)
IMAGES = 8192
SINGLES = 1024
SPLITS = 20


class Meter:
    """What Redis says about itself, since the meter was made or read last."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        told = self._client.info("all")
        script_us = sum(told.get(f"cmdstat_{name}", {}).get("usec", 0) for name in ("eval", "evalsha"))
        cpu_us = 1e6 * (told["used_cpu_user"] + told["used_cpu_sys"])
        return {"bytes": told["used_memory"], "script_us": script_us, "cpu_us": cpu_us}

    def read(self) -> dict[str, float]:
        """Return bytes, microseconds of scripts and microseconds of the process."""
        now = self._now()
        spent = {name: now[name] - before for name, before in self._before.items()}
        self._before = now
        return spent


def main() -> None:
    """Measure, print, write JSON."""
    arguments = _arguments()
    wanted = arguments.members + (len(CLIENTS) + 2) * IMAGES + SINGLES
    rows = np.load(arguments.descriptors, mmap_mode="r") if arguments.descriptors else descriptors_of_images(wanted)[0]
    with (
        open_redis(dict(os.environ), print) as url,
        tempfile.TemporaryDirectory(prefix="neardup-") as folder,
        threadpool_limits(1),
    ):
        file = Path(folder) / "rows.npy"
        np.save(file, rows[:wanted])
        report = measure(connect(url), url, file, arguments.members)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--descriptors", type=Path, help="float16 (n, d) .npy to use instead of making them")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/redis.json")
    return parser.parse_args()


def measure(client: redis.Redis, url: str, file: Path, members: int) -> dict[str, Any]:
    """Return all figures."""
    rows: Descriptors = np.load(file, mmap_mode="r")
    report: dict[str, Any] = {
        "redis": client.info("server")["redis_version"],
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "members": members,
        "dimension": int(rows.shape[1]),
        "radius": RADIUS,
    }
    meter = Meter(client)
    build(client, generated(members, LONG))
    report["bytes_a_member_of_256"] = _told(f"bytes a member, {LONG} numbers", meter.read()["bytes"] / members)
    client.delete(*client.scan_iter(match=IndexKeys(INDEX).pattern, count=1000))
    meter.read()
    build(client, rows[:members])
    report["bytes_a_member"] = _told("bytes a member, without the log", meter.read()["bytes"] / members)
    index = RedisIndex(client, INDEX)
    index.decide(queries_of(rows, range(members, members + 64)))  # learns the scripts
    start = members + 64
    report["batches_of_64"] = decide_all(index, meter, rows, range(start, start + IMAGES - 64), 64)
    start = members + IMAGES
    report["batches_of_1"] = decide_all(index, meter, rows, range(start, start + SINGLES), 1)
    report["bytes_a_decision"] = measure_decisions(index, meter, rows, range(start + SINGLES))
    report["split"] = measure_splits(index, meter)
    start += SINGLES
    report["clients"] = []
    for clients in CLIENTS:
        report["clients"].append(measure_clients(client, url, file, start, clients))
        start += IMAGES
    for key in client.scan_iter(match=IndexKeys(INDEX).pattern, count=1000):
        client.unlink(key)
    return report


def _told(what: str, value: float) -> float:
    print(f"{what:60} {value:12,.1f}", flush=True)
    return round(value, 3)


def build(client: redis.Redis, members: Descriptors) -> None:
    """Make an index of these members, as a bootstrap does."""
    placed = place(members)
    meta = IndexMeta(INDEX, 0, "dct", "redis-cost", members.shape[1], RADIUS)
    building = GenerationBuild(client, meta, placed.tree.roots.centroids, placed.sketcher, placed.splits)
    for cell, rows in placed.rows_of.items():
        building.append(cell, [member_of(int(row), members[row]) for row in rows])
    building.publish()


def queries_of(rows: Descriptors, numbers: Sequence[int]) -> list[Query]:
    """Return the images of these numbers as queries."""
    members = [member_of(number, rows[number]) for number in numbers]
    return [Query(each.key, each.image_id, each.descriptor, each.captured_at_ms) for each in members]


def decide_all(
    index: RedisIndex, meter: Meter, rows: Descriptors, numbers: Sequence[int], batch: int
) -> dict[str, float]:
    """Decide images one batch after the other, alone on the index."""
    meter.read()
    uniques, seconds = 0, []
    for start in range(0, len(numbers), batch):
        queries = queries_of(rows, numbers[start : start + batch])
        began_s = time.perf_counter()
        decisions = index.decide(queries)
        seconds.append(time.perf_counter() - began_s)
        uniques += sum(decision.verdict is Verdict.UNIQUE for decision in decisions)
    spent, images = meter.read(), len(numbers)
    print(f"\n{images} images in batches of {batch}, {uniques} unique")
    taken_ms = np.percentile(np.array(seconds) * 1e3, [50, 99])
    return {
        "images": images,
        "unique": uniques,
        "decide_ms_p50": _told("decide, ms a batch, p50", float(taken_ms[0])),
        "decide_ms_p99": _told("decide, ms a batch, p99", float(taken_ms[1])),
        "images_a_second": _told("images a second, one client", images / sum(seconds)),
        "script_us_an_image": _told("scripts, us of server time an image", spent["script_us"] / images),
        "server_cpu_us_an_image": _told("server CPU an image, us, all told", spent["cpu_us"] / images),
        "bytes_an_image": _told("bytes an image: decision, log, member", spent["bytes"] / images),
        "bytes_a_unique": _told("bytes a unique image, the same", spent["bytes"] / max(1, uniques)),
    }


def measure_decisions(index: RedisIndex, meter: Meter, rows: Descriptors, numbers: Sequence[int]) -> float:
    """Return the bytes of a recorded decision: members come again under new keys, so nothing else is written."""
    fresh = 10_000_000
    meter.read()
    for start in range(0, IMAGES, 64):
        queries = queries_of(rows, numbers[start : start + 64])
        again = [
            Query(key_of(fresh + int(each.key.rsplit("-", 1)[1])), each.image_id, each.descriptor) for each in queries
        ]
        index.decide(again)
    return _told("bytes a recorded decision", meter.read()["bytes"] / IMAGES)


def measure_splits(index: RedisIndex, meter: Meter) -> dict[str, float]:
    """Divide the largest cells, and return what one split costs."""
    view = index._view  # noqa: SLF001 - a split happens by itself only now and then
    cells = sorted(view.tree.leaves, key=view.size_of, reverse=True)[:SPLITS]
    sizes = [view.size_of(cell) for cell in cells]
    meter.read()
    began_s = time.perf_counter()
    for cell in cells:
        index._divide(cell)  # noqa: SLF001
    taken_s, spent = time.perf_counter() - began_s, meter.read()
    print(f"\n{SPLITS} splits of cells of {min(sizes)} to {max(sizes)} members (limit {MAX_CLUSTER})")
    return {
        "members": float(np.mean(sizes)),
        "client_ms": _told("ms a split, client", taken_s / SPLITS * 1e3),
        "script_us": _told("scripts, us of server time a split", spent["script_us"] / SPLITS),
    }


# --- several clients ---


def measure_clients(client: redis.Redis, url: str, file: Path, start: int, clients: int) -> dict[str, float]:
    """Let processes decide images at the same time, each its own."""
    context = multiprocessing.get_context("spawn")
    barrier, results, share = context.Barrier(clients + 1), context.Queue(), IMAGES // clients
    firsts = range(start, start + clients * share, share)
    processes = [
        context.Process(target=_client, args=(url, file, range(first, first + share), barrier, results))
        for first in firsts
    ]
    for process in processes:
        process.start()
    barrier.wait(300)
    meter, began_s = Meter(client), time.perf_counter()
    outcomes = [results.get(timeout=300) for _ in processes]
    taken_s, spent = time.perf_counter() - began_s, meter.read()
    for process in processes:
        process.join()
    retries, commits = (sum(column) for column in zip(*outcomes, strict=True))
    images = clients * share
    print(f"\n{clients} clients, batches of 64")
    return {
        "clients": clients,
        "images_a_second": _told("images a second", images / taken_s),
        "commits_a_second": _told("commits a second", commits / taken_s),
        "retries": retries,
        "retries_a_batch": _told("retries a batch", retries / (commits - retries)),
        "script_us_an_image": _told("scripts, us of server time an image", spent["script_us"] / images),
        "server_cpu_us_an_image": _told("server CPU an image, us, all told", spent["cpu_us"] / images),
        "server_busy_share": _told(
            "share of the time that the server's thread worked", spent["cpu_us"] / taken_s / 1e6
        ),
    }


def _client(url: str, file: Path, numbers: range, barrier: Any, results: Any) -> None:  # noqa: ANN401 - of the context
    rows: Descriptors = np.load(file, mmap_mode="r")
    with threadpool_limits(1):
        index = RedisIndex(connect(url), INDEX)
        batches = [queries_of(rows, numbers[start : start + 64]) for start in range(0, len(numbers), 64)]
        barrier.wait(300)
        for batch in batches:
            index.decide(batch)
        retries = index.stats().retries
    results.put((retries, len(batches) + retries))


if __name__ == "__main__":
    main()
