"""Measure what a client of an index spends: on opening it, looking up, deciding, following others; CPU and memory.

    python -m benchmarks.index_open [--members 100000 1000000] [--before FOLDER] [--scene look]

On the Redis that NEARDUP_REDIS_URL names, else on one that is started for it. `--before` names a checkout of another
commit (``git worktree add FOLDER COMMIT``): both builds take turns in one run, each in processes of its own, on an
index that it has filled itself. Members are descriptors of real images when NEARDUP_DATA names the photos, else
generated; in the scene with looks always generated, beside looks of some pictures. Images to decide are more of the
same.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import redis

from benchmarks.index_open_client import BATCH, BATCHES
from benchmarks.real_descriptors import descriptors_of_images, generated
from demo.services import open_redis
from neardup.descriptors import load_descriptor
from neardup.index.stored.keys import IndexKeys
from neardup.relation.looks.second_look import DEFAULT_AGREEMENT
from neardup.types import Descriptors

ROOT = Path(__file__).resolve().parent.parent
CLIENT = Path(__file__).with_name("index_open_client.py")
MEMBERS = (100_000, 1_000_000)
NOW = "now"
TURNS = 5
"""That count: one more comes first, for scripts to be loaded and caches to be filled."""

Figures = dict[str, float]


@dataclass(frozen=True)
class Scene:
    """A kind of index: its descriptor, and the agreement of its second look, if it takes one."""

    descriptor: str
    agreement: float | None = None

    def rows(self, count: int) -> tuple[Descriptors, str]:
        """Return so many descriptors, and where they are from."""
        if self.agreement is None:
            return descriptors_of_images(count, self.descriptor)
        return generated(count, load_descriptor(self.descriptor).dimension), "generated"


SCENES = {"dct": Scene("dct"), "look": Scene("copynet", DEFAULT_AGREEMENT)}


class Remote:
    """A client in another process; see `benchmarks.index_open_client`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __call__(self, command: str, *numbers: int) -> Figures:
        """Return its answer to a command."""
        if self._process.stdin is None or self._process.stdout is None:
            sys.exit("a client has no pipes")
        print(json.dumps([command, *numbers]), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit(f"a client ended at {command}")
        return dict(json.loads(answer))


@dataclass(frozen=True)
class Build:
    """One build.

    Attributes
    ----------
    name
        In the figures.
    folder
        Its checkout.
    arguments
        Of its clients: the URL of Redis, and what they need to know of the scene.
    """

    name: str
    folder: Path
    arguments: tuple[str, tuple[str, ...]]

    @property
    def index(self) -> str:
        """Name of its index."""
        return f"index-open-{self.name}"

    @contextmanager
    def client(self) -> Iterator[Remote]:
        """Give a client of this build."""
        url, scene = self.arguments
        environ = {**os.environ, "PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with subprocess.Popen(
            [sys.executable, str(CLIENT), url, self.index, *scene],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
            cwd=self.folder,
            text=True,
        ) as process:
            yield Remote(process)


def measure(builds: Sequence[Build], members: int) -> dict[str, Figures]:
    """Return the figures of each build: medians of what they did in turns."""
    for build in builds:
        with build.client() as client:
            client("fill", members)
    told: dict[str, list[Figures]] = {build.name: [] for build in builds}
    with ExitStack() as stack:
        deciding = [stack.enter_context(build.client()) for build in builds]
        following = [stack.enter_context(build.client()) for build in builds]
        for clients in (deciding, following):
            for build, client in zip(builds, clients, strict=True):
                told[build.name].append(client("open"))
        told[NOW].append(_opened_from_disk(builds[0]))
        for turn in range(TURNS + 1):
            first = members + turn * BATCHES * BATCH
            for build, one, other in zip(builds, deciding, following, strict=True):
                looked_up = one("look_up", first)  # before the same images are decided, and become members
                decided = one("decide", first)
                followed = other("follow", int(decided["unique"]))
                told[build.name] += [looked_up, decided, followed] if turn else []
    return {name: _medians(figures) for name, figures in told.items()}


def _opened_from_disk(build: Build) -> Figures:
    """Return what opening takes of a process after one that left on disk what it knew."""
    with build.client() as one:
        one("open_left")
    with build.client() as other:
        return other("open_left")


def _medians(figures: Sequence[Figures]) -> Figures:
    names = dict.fromkeys(name for each in figures for name in each)
    return {name: statistics.median(each[name] for each in figures if name in each) for name in names}


def main() -> None:
    """Measure each size, print, write JSON."""
    arguments = _arguments()
    scene = SCENES[arguments.scene]
    rows, source = scene.rows(max(arguments.members) + (TURNS + 1) * BATCHES * BATCH)
    report: dict[str, Any] = {
        "data": source,
        "descriptor": scene.descriptor,
        "agreement": scene.agreement,
        "dimension": int(rows.shape[1]),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "threads": 1,
        "batch": BATCH,
        "before": _commit(arguments.before) if arguments.before else None,
        "sizes": [],
    }
    with open_redis(dict(os.environ), print) as url, tempfile.TemporaryDirectory(prefix="neardup-") as folder:
        file = Path(folder) / "rows.npy"
        np.save(file, rows)
        radius = load_descriptor(scene.descriptor).default_radius
        told = (str(file), scene.descriptor, str(radius), *([] if scene.agreement is None else [str(scene.agreement)]))
        checkouts = {NOW: ROOT, "before": arguments.before}
        builds = [Build(name, where.resolve(), (url, told)) for name, where in checkouts.items() if where]
        for members in arguments.members:
            figures = measure(builds, members)
            _remove(url, builds)
            report["sizes"].append({"members": members, **figures, "now_to_before": _told(members, figures)})
            arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, nargs="+", default=MEMBERS)
    parser.add_argument("--before", type=Path, help="a checkout of the commit to compare with")
    parser.add_argument("--scene", choices=SCENES, default="dct", help="dct, or copynet with a second look")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/index-open-SCENE.json")
    given = parser.parse_args()
    given.out = given.out or ROOT / f"benchmarks/results/index-open-{given.scene}.json"
    return given


def _commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _remove(url: str, builds: Sequence[Build]) -> None:
    client = redis.Redis.from_url(url)
    for build in builds:
        for key in client.scan_iter(match=IndexKeys(build.index).pattern, count=1000):
            client.unlink(key)


def _told(members: int, figures: dict[str, Figures]) -> Figures:
    """Print the figures of a size, and return the ratios."""
    now, before = figures[NOW], figures.get("before", {})
    print(f"\n{members:,} members".ljust(30) + f"{'now':>12}{'before':>12}{'now / before':>15}")
    ratios = {name: round(now[name] / value, 4) for name, value in before.items()}
    for name, value in now.items():
        then = f"{before[name]:12.3f}{ratios[name]:15.3f}" if name in before else ""
        print(f"{name:29}{value:12.3f}{then}", flush=True)
    return ratios


if __name__ == "__main__":
    main()
