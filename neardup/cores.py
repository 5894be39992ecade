"""How many cores this process may use: not those of the machine, where a container has a share of them."""

import math
import os
from pathlib import Path

_ROOT = Path("/")


def count_of(workers: int | None) -> int:
    """Return how many workers there are to be; None is one for each core that this process may use."""
    return cores() if workers is None else workers


def cores(root: Path = _ROOT) -> int:
    """Return how many cores this process may use, at least one.

    What it is bound to counts, and the share of time that its control group has (cgroup v2), or a group above that.

    Parameters
    ----------
    root
        Where ``/proc`` and ``/sys`` are.
    """
    bound_to = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min([bound_to, *_shares(root)])))


def _shares(root: Path) -> list[float]:
    """Return the cores' worth of time that each group allows which this process is in."""
    top = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text("ascii", "surrogateescape").splitlines()
        group = top / next(line[len("0::/") :] for line in lines if line.startswith("0::/"))
        groups = [group, *group.parents]
        limits = [file.read_text("ascii").split() for each in groups if (file := each / "cpu.max").is_file()]
        return [int(quota) / int(period) for quota, period in limits if quota != "max"]
    except (OSError, StopIteration, ValueError):  # no cgroup v2 here
        return []
