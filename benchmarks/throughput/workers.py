"""Several workers under one parent beside one, in turn on the same images in as many partitions."""

import contextlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import CoordinatorNotAvailableError

from benchmarks.throughput.builds import Build
from benchmarks.throughput.end_to_end import Case, Run, medians, ratios, timed, told
from benchmarks.throughput.images import Say
from benchmarks.throughput.running import ANSWER_S, consuming, publish
from benchmarks.throughput.servers import Servers

_PARTITIONS = 2
"""For each worker."""


def measure(
    case: Case,
    this: Build,
    servers: Servers,
    given: tuple[Sequence[Path], Path],
    *,
    workers: int,
    rounds: int,
    say: Say,
) -> dict[str, Any]:
    """Run one and several in turn; what was first in one round is second in the next.

    Parameters
    ----------
    case, this, servers, given, rounds, say
        As for `end_to_end.measure`.
    workers
        How many.
    """
    runs: dict[int, list[Run]] = {1: [], workers: []}
    for number in range(rounds):
        for count in list(runs)[:: 1 if number % 2 == 0 else -1]:
            partitions = _PARTITIONS * workers
            runs[count].append(_run(case, this, servers, given, workers=count, partitions=partitions))
            say(f"round {number + 1}, {case.name}, workers {count}: {told(runs[count][-1])}")
    return {
        "workers": workers,
        "timed_images": case.timed,
        "rounds": rounds,
        "load": round(os.getloadavg()[0], 1),
        "ratio": ratios({"before": runs[1], "this": runs[workers]}),
        "one": medians(runs[1]),
        "several": medians(runs[workers]),
    }


def _run(
    case: Case,
    this: Build,
    servers: Servers,
    given: tuple[Sequence[Path], Path],
    *,
    workers: int,
    partitions: int,
) -> Run:
    """Run once; images come when all workers have their partitions."""
    files, seeds = given
    with consuming(this, servers, case.profile, seeds, workers=workers, partitions=partitions) as running:
        await_members(servers.kafka, running.names.group, workers, partitions)
        # Meanwhile verdicts are read, so that each moment is that of the verdicts that had come by then.
        publishing = threading.Thread(target=publish, args=(servers, running.names.topic, files, partitions))
        publishing.start()
        run = timed(running, case.images, case.size.edge)
        publishing.join()
        return run


def await_members(address: str, group: str, count: int, partitions: int) -> None:
    """Wait until a group has so many members, among which all partitions of its topic are given out.

    A new member first makes another give up some of them, and gets them only in the rebalance after that.
    """
    until_s = time.monotonic() + ANSWER_S
    with KafkaAdminClient(bootstrap_servers=address) as admin:
        while time.monotonic() < until_s:
            with contextlib.suppress(CoordinatorNotAvailableError):  # the broker has just started
                told_of = admin.describe_groups([group])[group]
                shares = [_partitions_of(member) for member in told_of["members"]]
                is_shared = len(shares) == count and all(shares) and sum(shares) == partitions
                if told_of["group_state"] == "Stable" and is_shared:
                    return
            time.sleep(0.1)
    raise SystemExit(f"the group did not have {count} members with {partitions} partitions in time")


def _partitions_of(member: Mapping[str, Any]) -> int:
    given = (member["member_assignment"] or {}).get("assigned_partitions", [])
    return sum(len(topic["partitions"]) for topic in given)
