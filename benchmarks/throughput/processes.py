"""What a process and those that it started have used, as Linux tells it under /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class _Stat:
    """CPU seconds of a process and of its children that have ended, and who started it."""

    parent: int
    own_s: float
    ended_s: float


def tree(pid: int) -> list[int]:
    """Return the process and all below it that live."""
    parents = {int(each.name): stat.parent for each in _PROC.glob("[0-9]*") if (stat := _stat(int(each.name)))}
    found = [pid]
    for one in found:  # grows meanwhile
        found += [child for child, parent in parents.items() if parent == one]
    return found


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and of all that it started, those that ended included."""
    return sum(stat.own_s + stat.ended_s for each in tree(pid) if (stat := _stat(each)))


def own_cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process alone."""
    stat = _stat(pid)
    return stat.own_s if stat else 0.0


def memory_mib(pid: int) -> float:
    """Return the memory of a process and of those below it in MiB; what they share counts once."""
    kib = 0
    for each in tree(pid):
        try:
            lines = (_PROC / str(each) / "smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended meanwhile
            continue
        kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib / 1024


def _stat(pid: int) -> _Stat | None:
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    user, system, ended_user, ended_system = (int(field) / _TICKS_PER_S for field in fields[11:15])
    return _Stat(int(fields[1]), user + system, ended_user + ended_system)
