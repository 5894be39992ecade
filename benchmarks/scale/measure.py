"""What is measured: each function returns the figures of one size, by the name of the build."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import redis

from benchmarks.scale.client import BATCH
from benchmarks.throughput.builds import Build
from neardup.index.stored.keys import IndexKeys

_CLIENT = Path(__file__).with_name("client.py")
_ROUNDS = 4
"""How often the builds take turns."""
_TURNS_ROUNDS = 5
_FOLLOWED = {1: 60, 64: 30, 1_000: 6, 10_000: 2}
"""Events followed at once, and how often: half of that comes first, for caches to be filled."""
_MIB = 1 << 20

Figures = dict[str, float]
Spent = dict[str, Figures]


class Remote:
    """Clients in another process; see `benchmarks.scale.client`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def tell(self, command: str, *arguments: int | str) -> None:
        """Give a command."""
        if self._process.stdin is None:
            sys.exit("a client has no pipes")
        print(json.dumps([command, *arguments]), file=self._process.stdin, flush=True)

    def answer(self) -> Figures:
        """Return what the last command came to."""
        told = self._process.stdout.readline() if self._process.stdout else ""
        if not told:
            sys.exit("a client has ended")
        return dict(json.loads(told))

    def __call__(self, command: str, *arguments: int | str) -> Figures:
        """Give a command, and return what it came to."""
        self.tell(command, *arguments)
        return self.answer()


@dataclass(frozen=True)
class Bench:
    """Where it is measured.

    Attributes
    ----------
    url
        Of a Redis.
    scene
        What clients need to know of the index.
    builds
        By name.
    say
        Told each result.
    """

    url: str
    scene: tuple[str, ...]
    builds: Mapping[str, Build]
    say: Callable[[str], None]

    @contextmanager
    def clients(self, name: str) -> Iterator[Remote]:
        """Give a process of a build for clients of the build's index."""
        build = self.builds[name]
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with subprocess.Popen(
            [sys.executable, "-P", str(_CLIENT), self.url, f"scale-{name}", *self.scene],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**build.environment(), **threads},
            cwd=build.folder,
            text=True,
        ) as process:
            yield Remote(process)

    @contextmanager
    def filled(self, members: int) -> Iterator[None]:
        """Make an index for each build, and remove them in the end."""
        try:
            for name in self.builds:
                with self.clients(name) as clients:
                    clients("fill", members)
            yield
        finally:
            server = redis.Redis.from_url(self.url)
            for name in self.builds:
                for key in server.scan_iter(match=IndexKeys(f"scale-{name}").pattern, count=1000):
                    server.unlink(key)

    def server(self) -> Figures:
        """Return the CPU seconds and the bytes of Redis."""
        told = redis.Redis.from_url(self.url).info("all")
        return {"cpu_s": told["used_cpu_user"] + told["used_cpu_sys"], "bytes": float(told["used_memory"])}


def turns_in_rounds(bench: Bench, counts: Sequence[int], members: int, images: int) -> list[dict[str, Any]]:
    """Return for each number of clients what they spend on an image: medians, as a machine's speed wanders."""
    rounds = [[turns(bench, count, members, images) for count in counts] for _ in range(_TURNS_ROUNDS)]
    return [
        {"clients": count, **{name: medians([each[name] for each in found]) for name in bench.builds}}
        for count, *found in zip(counts, *rounds, strict=True)
    ]


def medians(several: Sequence[Figures]) -> Figures:
    """Return the median of each figure; all have the same."""
    return {name: median(each[name] for each in several) for name in several[0]}


def turns(bench: Bench, count: int, members: int, images: int) -> dict[str, Any]:
    """Return what clients in one process that take turns spend on an image."""
    spent: dict[str, list[Figures]] = {name: [] for name in bench.builds}
    with bench.filled(members), ExitStack() as stack:
        clients = {name: stack.enter_context(bench.clients(name)) for name in bench.builds}
        first, share = members + BATCH * count, images // _ROUNDS
        for each in clients.values():
            each("open", count)
            each("decide", members, BATCH * count)  # learns the scripts
        for start in range(first, first + _ROUNDS * share, share):
            for name, each in clients.items():
                before = bench.server()["cpu_s"]
                told = each("decide", start, share)
                spent[name].append({**told, "redis_cpu_s": bench.server()["cpu_s"] - before})
    found: dict[str, Any] = {"clients": count, **{name: _an_image(each) for name, each in spent.items()}}
    bench.say(f"turns: {found}")
    return found


def _an_image(spent: list[Figures]) -> Figures:
    images = sum(each["images"] for each in spent)
    return {
        "client_ms": 1e3 * sum(each["cpu_s"] for each in spent) / images,
        "redis_ms": 1e3 * sum(each["redis_cpu_s"] for each in spent) / images,
        "unique_share": sum(each["unique"] for each in spent) / images,
        "retries_a_batch": sum(each["retries"] for each in spent) / sum(each["batches"] for each in spent),
    }


def following(bench: Bench, members: int) -> list[dict[str, Any]]:
    """Return what one event costs whoever follows it, by the number of events that are followed at once."""
    found: list[dict[str, Any]] = []
    with bench.filled(members), ExitStack() as stack:
        pairs = {name: [stack.enter_context(bench.clients(name)) for _ in range(2)] for name in bench.builds}
        for one, other in pairs.values():
            one("open", 1)
            other("open", 1)
        first = members
        for events, repeats in _FOLLOWED.items():
            told: dict[str, Any] = {"events": events}
            for name, (one, other) in pairs.items():
                told[name] = _followed(bench, one, other, range(first, first + repeats * events, events))
            first += repeats * events
            found.append(told)
            bench.say(f"following: {told}")
    return found


def _followed(bench: Bench, one: Remote, other: Remote, firsts: range) -> Figures:
    spent_s = redis_s = uniques = 0.0
    for number, first in enumerate(firsts):
        unique = one("decide", first, firsts.step)["unique"]
        before = bench.server()["cpu_s"]
        cpu_s = other("follow")["cpu_s"]
        if number >= len(firsts) // 2:
            spent_s, uniques = spent_s + cpu_s, uniques + unique
            redis_s += bench.server()["cpu_s"] - before
    return {"client_us": 1e6 * spent_s / uniques, "redis_us": 1e6 * redis_s / uniques}


def processes(bench: Bench, count: int, members: int, images: int) -> dict[str, Any]:
    """Return how often a batch is tried again where so many processes decide at once, and what that costs."""
    found: dict[str, Any] = {"processes": count}
    share = images // count // BATCH * BATCH
    with bench.filled(members):
        for name in bench.builds:
            with ExitStack() as stack:
                every = [stack.enter_context(bench.clients(name)) for _ in range(count)]
                for number, each in enumerate(every):
                    each("open", 1)
                    each("decide", members + number * BATCH, BATCH)
                before = bench.server()["cpu_s"]
                for number, each in enumerate(every):
                    each.tell("decide", members + count * BATCH + number * share, share)
                told = [each.answer() for each in every]
                spent = bench.server()["cpu_s"] - before
            found[name] = {
                "images_a_second": count * share / max(each["wall_s"] for each in told),
                "client_ms": 1e3 * sum(each["cpu_s"] for each in told) / (count * share),
                "redis_ms": 1e3 * spent / (count * share),
                "retries_a_batch": sum(each["retries"] for each in told) / sum(each["batches"] for each in told),
            }
    bench.say(f"processes: {found}")
    return found


def size(bench: Bench, members: int) -> dict[str, Any]:
    """Return what an index of this size takes: memory, time to open it and to decide; of this build alone."""
    alone = Bench(bench.url, bench.scene, {"this": bench.builds["this"]}, bench.say)
    before = bench.server()["bytes"]
    with alone.filled(members):
        stored = bench.server()["bytes"] - before
        with alone.clients("this") as client:
            opened = client("open", 1)
            client("decide", members, 1024)
            in_batches = client("decide", members + 1024, 4096)
            singles = client("single", members + 5120, 512)
        with TemporaryDirectory(prefix="neardup-cache-") as folder:
            with alone.clients("this") as client:
                kept = client("keep", folder)
            with alone.clients("this") as client:
                again = client("open_kept", folder)
                client("decide", members + 5632, 1024)
                later = client("decide", members + 6656, 4096)
    found = {
        "members": members,
        "redis_mib": stored / _MIB,
        **opened,
        "batch_ms_an_image": 1e3 * in_batches["wall_s"] / in_batches["images"],
        "batch_cpu_ms_an_image": 1e3 * in_batches["cpu_s"] / in_batches["images"],
        "single_ms_p50": singles["ms_p50"],
        "single_ms_p99": singles["ms_p99"],
        **kept,
        **{f"kept_{name}": figure for name, figure in again.items()},
        "kept_batch_cpu_ms_an_image": 1e3 * later["cpu_s"] / later["images"],
    }
    bench.say(f"size: {found}")
    return found
