"""The most that the cores can do: decoding and describing in as many processes as cores, without Kafka and Redis.

In turn with it the whole runs: what broker, Redis and the measuring itself take of the cores then, and which share of
what they leave ours reaches.
"""

import multiprocessing
import os
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from threadpoolctl import threadpool_limits

from benchmarks.throughput.builds import Build
from benchmarks.throughput.describing import STAGES, describe_batch, describer_of
from benchmarks.throughput.end_to_end import Case, Run, run
from benchmarks.throughput.running import BATCH
from benchmarks.throughput.servers import Servers

LASTS_S = 6.0


def measure(
    case: Case, this: Build, servers: Servers, given: tuple[Sequence[Path], Path], *, rounds: int
) -> dict[str, Any]:
    """Return medians of some rounds: in each, all cores describe, and then the whole runs.

    Returns
    -------
    dict
        ``cores``; images a second of all cores and of the whole; CPU milliseconds an image that describing takes, by
        stage; cores that Kafka, Redis and measuring took; images a second that were left, the share of them that the
        whole reached, and the share of all.
    """
    files, _ = given
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        alone_s, spent_ms = _alone(case.profile, files)
        whole = run(case, this, servers, given)
        for name, figure in {**spent_ms, **reached(alone_s, cores(), whole)}.items():
            found[name].append(figure)
    return {"cores": cores(), **{name: round(median(values), 3) for name, values in found.items()}}


def cores() -> int:
    """Return how many this process may use."""
    return len(os.sched_getaffinity(0))


def reached(alone_s: float, number: int, whole: Run) -> dict[str, float]:
    """Return what others took of so many cores in a whole run, and the share of the rest that ours reaches.

    Parameters
    ----------
    alone_s
        Images a second that all cores describe when there is nothing else to do.
    number
        Of cores.
    whole
        The run.
    """
    took = {name: whole.images_s * getattr(whole, f"{name}_ms") / 1000 for name in ("kafka", "redis", "harness")}
    left_s = alone_s * max(0.0, 1 - sum(took.values()) / number)
    return {
        "images_s": alone_s,
        "whole_images_s": whole.images_s,
        **{f"{name}_cores": taken for name, taken in took.items()},
        "left_images_s": left_s,
        "share_of_left": whole.images_s / left_s if left_s else 0.0,
        "share": whole.images_s / alone_s,
    }


def _alone(profile: str, files: Sequence[Path]) -> tuple[float, dict[str, float]]:
    """Return images a second of all cores, and CPU milliseconds an image by stage."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(cores()), context.Queue()
    shares = [[str(file) for file in files[core :: cores()]] for core in range(cores())]
    processes = [context.Process(target=_work, args=(profile, share, barrier, results)) for share in shares]
    for process in processes:
        process.start()
    done = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    images = sum(count for count, _, _ in done)
    spent_ms = {f"{stage}_ms": 1000 * sum(spent[stage] for _, _, spent in done) / images for stage in STAGES}
    return sum(count / wall_s for count, wall_s, _ in done), spent_ms


def _work(profile: str, files: Sequence[str], barrier: Any, results: Any) -> None:  # noqa: ANN401 - of the context
    describer = describer_of(profile)
    images = [Path(file).read_bytes() for file in files]
    spent: Counter[str] = Counter()
    with threadpool_limits(1):  # there is a process for each core
        describe_batch(describer, images[:8])
        barrier.wait(300)
        count, began_s = 0, time.perf_counter()
        while time.perf_counter() - began_s < LASTS_S:
            place = count % len(images)
            batch = images[place : place + BATCH]
            spent.update(describe_batch(describer, batch)[1])
            count += len(batch)
    results.put((count, time.perf_counter() - began_s, spent))
