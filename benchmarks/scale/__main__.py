"""How the CPU time of the index's work on an image grows with the number of consumers, beside the build before.

    make bench-scale [ARGS="--clients 1 4 --images 4096"]

On the Redis that NEARDUP_REDIS_URL names, else on one that is started for it; nobody else may use it meanwhile. Images
are described already, and nearly all unique: each one is an event that every other consumer follows, which is the
worst case. Both builds take turns in one run, each on an index of its own.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pages import with_tables
from benchmarks.real_descriptors import descriptors_of_images, generated
from benchmarks.scale import roles
from benchmarks.scale.measure import Bench, following, processes, size, turns_in_rounds
from benchmarks.scale.tables import tables
from benchmarks.throughput.builds import ROOT, THIS, unpacked
from demo.services import open_redis
from neardup.descriptors import load_descriptor

RESULTS = ROOT / "benchmarks/results/scale.json"
PAGE = ROOT / "docs/scaling.md"
BASE = "d794b95"
DESCRIPTOR = "dct"
PARTS = ("turns", "following", "processes", "sizes", "roles")


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for, print the tables, and keep them."""
    options = _options(arguments)
    report: dict[str, Any] = json.loads(options.out.read_text("utf-8")) if options.out.exists() else {}
    if not options.tables_only:
        _measure(options, report)
    made = tables(report)
    sys.stdout.write("\n\n".join(f"{name}\n{text}" for name, text in made.items()) + "\n")
    if options.write_docs:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), made), encoding="utf-8")
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS[:3], help="which parts to measure")
    parser.add_argument("--clients", type=int, nargs="+", default=(1, 4, 16, 64), help="that take turns in one process")
    parser.add_argument("--processes", type=int, nargs="+", default=(1, 2, 4, 8), help="that decide at once")
    parser.add_argument("--members", type=int, default=100_000, help="of the index at the start")
    parser.add_argument("--images", type=int, default=16_384, help="that are decided, for each number of clients")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=(100_000, 1_000_000), help="members, for the part sizes"
    )
    parser.add_argument("--base", default=BASE, help="commit of the build before")
    parser.add_argument("--real", action="store_true", help="descriptors of the photos of NEARDUP_DATA, not generated")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--write-docs", action="store_true", help=f"put the tables into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--tables-only", action="store_true", help="measure nothing: show what --out holds")
    return parser.parse_args(arguments)


def _measure(options: argparse.Namespace, report: dict[str, Any]) -> None:
    """Measure the parts that were asked for, and write each to the results as soon as it is there."""
    most = max([options.members, *(options.sizes if "sizes" in options.only else ())])
    wanted = most + options.images + 64 * max([*options.clients, 1024])
    dimension = load_descriptor(DESCRIPTOR).dimension
    rows, data = descriptors_of_images(wanted) if options.real else (generated(wanted, dimension), "generated")
    with ExitStack() as stack:
        before = stack.enter_context(unpacked(options.base))
        url = stack.enter_context(open_redis(dict(os.environ), _say))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="neardup-scale-")))
        file = folder / "rows.npy"
        np.save(file, rows)
        del rows
        report |= {
            "data": data,
            "machine": f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
            "before": before.name,
        }
        radius = load_descriptor(DESCRIPTOR).default_radius
        bench = Bench(url, (str(file), DESCRIPTOR, str(radius)), {"this": THIS, "before": before}, _say)
        for part in (part for part in PARTS if part in options.only):
            asked = {} if part == "roles" else {"members": options.members, "images": options.images}
            report[part] = {**asked, "found": []}
            for found in _found(part, bench, options):
                report[part]["found"].append(found)
                options.out.parent.mkdir(parents=True, exist_ok=True)
                options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _found(part: str, bench: Bench, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    if part == "turns":
        return iter(turns_in_rounds(bench, options.clients, options.members, options.images))
    if part == "processes":
        return (processes(bench, count, options.members, options.images) for count in options.processes)
    if part == "sizes":
        return (size(bench, count) for count in options.sizes)
    if part == "roles":
        return roles.measure(bench.say)
    return iter(following(bench, options.members))


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
