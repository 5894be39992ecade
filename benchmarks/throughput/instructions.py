"""Instructions an image of describing and of deciding, as valgrind counts them.

Valgrind shows every program the same processor, so that libraries choose the same code on any machine; the counters
that `perf` reads depend on the processor, and are not there in many virtual machines. The difference of two runs is
taken, so that what a program does before its first image does not count.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.throughput.builds import THIS
from benchmarks.throughput.running import bootstrapped
from benchmarks.throughput.servers import Servers, new_names, removed_afterwards

_FEW, _MORE_DESCRIBED, _MORE_DECIDED = 64, 128, 1024
_COUNTED = re.compile(r"I\s+refs:\s+([\d,]+)")


def why_not() -> str | None:
    """Return why nothing can be counted here; None if it can."""
    return None if shutil.which("valgrind") else "valgrind is not installed"


def measure(profile: str, servers: Servers, seeds: Path) -> dict[str, float]:
    """Return instructions an image of describing, decoding included, and of deciding."""
    runs = [(_FEW, _FEW), (_FEW + _MORE_DESCRIBED, _FEW), (_FEW, _FEW + _MORE_DECIDED)]
    with ThreadPoolExecutor(os.cpu_count()) as executor:
        few, described, decided = executor.map(lambda run: _counted(profile, run, servers, seeds), runs)
    return {"describe": (described - few) / _MORE_DESCRIBED, "decide": (decided - few) / _MORE_DECIDED}


def _counted(profile: str, run: Sequence[int], servers: Servers, seeds: Path) -> int:
    index = new_names().index
    counting = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    work = [sys.executable, "-m", "benchmarks.throughput.work", profile, *map(str, run), servers.redis_url, index]
    environment = {**THIS.environment(), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with removed_afterwards(servers.redis_url, index):
        bootstrapped(THIS, servers, index, profile, seeds)
        done = subprocess.run(
            [*counting, *work], cwd=THIS.folder, env=environment, capture_output=True, text=True, check=False
        )
    found = _COUNTED.search(done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(f"valgrind ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return int(found[1].replace(",", ""))
