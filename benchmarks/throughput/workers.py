"""Several workers under one parent beside one, in turn on the same images in as many partitions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.throughput.builds import Build
from benchmarks.throughput.end_to_end import Case, Run, medians, ratios, run, told
from benchmarks.throughput.images import Say
from benchmarks.throughput.servers import Servers

_PARTITIONS = 2
"""Of each worker, so that none is without for long."""


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
            runs[count].append(run(case, this, servers, given, workers=count, partitions=_PARTITIONS * workers))
            say(f"round {number + 1}, {case.name}, workers {count}: {told(runs[count][-1])}")
    return {
        "workers": workers,
        "ratio": ratios({"before": runs[1], "this": runs[workers]}),
        "one": medians(runs[1]),
        "several": medians(runs[workers]),
    }
