"""How fast the whole service is, and beside what: this build and one before in turn, on the same images.

    make bench [ARGS="--only end-to-end --images 256 --rounds 1"]

Both run on a Kafka and a Redis that are started for it, each with its own files alone. Figures of another machine mean
little; the ratios within a run, and the CPU time, hold on a busy machine, too.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.pages import with_tables
from benchmarks.throughput import ceiling, end_to_end, latency, peers, stages, workers
from benchmarks.throughput.builds import ROOT, THIS, unpacked
from benchmarks.throughput.end_to_end import Case
from benchmarks.throughput.images import SIZES, Photos, photos
from benchmarks.throughput.members import MEMBERS
from benchmarks.throughput.servers import Servers, own_servers
from benchmarks.throughput.tables import tables

RESULTS = ROOT / "benchmarks/results/throughput.json"
PAGE = ROOT / "docs/performance.md"
PARTS = ("end-to-end", "ceiling", "latency", "stages", "workers", "peers")
BASES = {"dct": "1e58297", "scraper": "d04164e"}
"""The build before, by profile."""


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for, print the tables, and keep them."""
    options = _options(arguments)
    report: dict[str, Any] = json.loads(options.out.read_text("utf-8")) if options.out.exists() else {}
    if not options.tables_only:
        _measure(options, report)
    made = tables(report)
    print("\n\n".join(f"{name}\n{text}" for name, text in made.items()))
    if options.write_docs:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), made), encoding="utf-8")
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=_parts, default=PARTS, help=f"some of {','.join(PARTS)}, divided by commas")
    parser.add_argument("--images", type=int, default=1024, help="photos that are timed; other cases take fewer")
    parser.add_argument("--rounds", type=int, default=3, help="how often both builds run in turn")
    parser.add_argument("--workers", type=int, default=2, help="how many of them are measured beside one")
    parser.add_argument("--base", default=BASES["dct"], help="commit of the build before, for dct")
    parser.add_argument("--scraper-base", default=BASES["scraper"], help="the same for the scraper's profile")
    parser.add_argument(
        "--files", type=int, nargs="+", default=[1000, 10_000], help="files for other tools; 100000 take 5 GB"
    )
    parser.add_argument(
        "--tools", nargs="+", default=[], metavar="NAME", help="of other tools these alone; the others' figures stay"
    )
    parser.add_argument(
        "--members", type=int, default=MEMBERS, help="of a filled index, for the ceiling; 0 does without"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--write-docs", action="store_true", help=f"put the tables into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--tables-only", action="store_true", help="measure nothing: show what --out holds")
    return parser.parse_args(arguments)


def _parts(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if wrong := [part for part in chosen if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: there are {', '.join(PARTS)}")
    return chosen


def _measure(options: argparse.Namespace, report: dict[str, Any]) -> None:
    """Measure the parts that were asked for, and write each to the results as soon as it is there."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="neardup-throughput-")))
        commits = {"dct": options.base, "scraper": options.scraper_base}
        bases = {profile: stack.enter_context(unpacked(commit)) for profile, commit in commits.items()}
        source = photos()
        _say(f"images: {source.origin}")
        report["images"] = source.origin
        report["machine"] = f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"
        report["asked"] = f"{options.images} images, {options.rounds} rounds"
        # A machine that is busy with other work gives fewer images a second; their ratio and CPU time say more then.
        report["load"] = round(os.getloadavg()[0], 1)
        bench = _Bench(stack.enter_context(own_servers()), source, folder, options, report)
        cases = end_to_end.cases(bases, options.images)
        for part in (part for part in PARTS if part in options.only):
            if part == "peers":
                known = report.get(part, {}).get("files", {})
                for found in peers.measure(source, folder, options.files, _say, known=known, only=options.tools):
                    report[part] = found
                    _keep(report, options.out)
            else:
                measure = getattr(bench, part.replace("-", "_"))
                chosen = cases if part == "end-to-end" else [case for case in cases if case.size is SIZES[0]]
                if part == "ceiling" and options.members:
                    chosen.append(replace(chosen[0], members=options.members))
                report[part] = {case.name: _told(part, case, measure(case)) for case in chosen}
            _keep(report, options.out)


def _keep(report: Mapping[str, Any], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


class _Bench:
    """Each part that is measured for a case, by its name."""

    def __init__(
        self, servers: Servers, source: Photos, folder: Path, options: argparse.Namespace, report: dict[str, Any]
    ) -> None:
        self._servers = servers
        self._source = source
        self._folder = folder
        self._rounds: int = options.rounds
        self._workers: int = options.workers
        self._report = report

    def _given(self, case: Case) -> tuple[Sequence[Path], Path]:
        return end_to_end.files_of(case, self._source, self._folder)

    def end_to_end(self, case: Case) -> dict[str, Any]:
        return end_to_end.measure(case, THIS, self._servers, self._given(case), rounds=self._rounds, say=_say)

    def ceiling(self, case: Case) -> dict[str, Any]:
        return ceiling.measure(case, THIS, self._servers, self._given(case), rounds=self._rounds)

    def latency(self, case: Case) -> dict[str, Any]:
        found = self._report.get("end-to-end", {}).get(case.name)
        if found is None:
            sys.exit(f"no end-to-end figures of {case.name} yet: measure them first, with --only end-to-end")
        most = max(found[name]["images_s"] for name in ("before", "this")) / 2
        case = replace(case, timed=max(case.timed, latency.wanted(most)))
        return latency.measure(case, THIS, self._servers, self._given(case))

    def workers(self, case: Case) -> dict[str, Any]:
        count = self._workers
        # All of them have batches in hand at the first image that is timed, and as many at the last.
        case = replace(case, size=replace(case.size, edge=count * case.size.edge))
        given = self._given(case)
        return workers.measure(case, THIS, self._servers, given, workers=count, rounds=self._rounds, say=_say)

    def stages(self, case: Case) -> dict[str, dict[str, float]]:
        given = self._given(case)
        builds = {"before": case.base, "this": THIS}
        return {name: stages.measure(case, build, self._servers, given) for name, build in builds.items()}


def _told(part: str, case: Case, found: dict[str, Any]) -> dict[str, Any]:
    if part not in {"end-to-end", "workers"}:  # which tell each run
        _say(f"{part}, {case.name}: {found}")
    return found


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
