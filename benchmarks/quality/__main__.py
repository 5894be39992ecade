"""Measure how well near-duplicates are told from other images, beside the tools that others use.

    make quality                          all of it
    make quality ARGS="--photos 200"      a short one
    make quality ARGS=--pictures          only the pictures of low texture, by the thresholds of the run before
    make quality ARGS=--beyond            only whole settings, on kinds of copies that nobody prepared for
    make quality ARGS=--layouts           only whole settings, on different pictures of one layout
    make quality ARGS="--renew copynet"   only these descriptors, among the figures of the run before
    make quality ARGS=--write-docs        and write the figures into docs/quality.md

The photos are not part of the project: NEARDUP_DATA names their folder (default: ../shared/data).
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.photos import data_folder
from benchmarks.quality.beyond import EVERY, evaluate_beyond, unseen_photos
from benchmarks.quality.beyond import PHOTOS as BEYOND_PHOTOS
from benchmarks.quality.evaluate import choose_photos, evaluate, evaluate_pictures
from benchmarks.quality.layouts import evaluate_layouts
from benchmarks.quality.report import plain, plot, with_figures, write_sheets
from benchmarks.quality.setting import settings
from benchmarks.quality.tools import PEERS, absent
from neardup.cores import cores

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/quality.md"
RESULTS = ROOT / "benchmarks/results/quality.json"
PHOTOS = 1000


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="make quality", description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument(
        "--photos",
        type=int,
        metavar="N",
        help=f"photos to copy (default: {PHOTOS}, for whole settings {BEYOND_PHOTOS})",
    )
    parser.add_argument("--different", type=int, default=21_916, metavar="N", help="photos for false pairs (all)")
    parser.add_argument("--descriptors", nargs="+", default=["dct", "copynet", "pixels"], metavar="SPEC")
    parser.add_argument("--renew", nargs="+", default=[], metavar="SPEC", help="only these; keep the other figures")
    parser.add_argument("--weights", help="weights of a network among the descriptors")
    parser.add_argument("--radius", type=float, help="of the whole setting that is measured (default: its own)")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=cores(), metavar="N")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--report", type=Path, default=ROOT / "quality-report", help="where the contact sheets go")
    for name, part in PARTS.items():
        parser.add_argument(f"--{name}", action="store_true", help=f"only {part.text}; keep the other figures")
    parser.add_argument("--write-docs", action="store_true", help="write plots and figures into docs/")
    return parser.parse_args()


def main() -> None:
    """Measure, print, write."""
    given = arguments()
    asked = [name for name in PARTS if getattr(given, name)]
    results = with_tools_renewed(given) if given.renew else renewed(given, asked) if asked else measured(given)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    if given.write_docs:
        PAGE.write_text(with_figures(PAGE.read_text("utf-8"), results), "utf-8")
    print(f"written: {given.out}")


def measured(given: argparse.Namespace) -> dict[str, Any]:
    """Measure all parts, write sheets and plots, return the results."""
    missing = absent(given.peers)
    names = [*given.descriptors, *(name for name in given.peers if name not in missing)]
    photos = choose_photos(data_folder(), given.photos or PHOTOS, given.different, given.seed)
    results = evaluate(photos, names, given.weights, given.workers)
    write_sheets(results.pop("_sheets"), given.seed, given.report)
    results = {"command": command(sys.argv[1:]), "absent": missing, **results}
    for measure in (measure_beyond, measure_layouts):
        measure(results, given)
    plot(results, PAGE.parent if given.write_docs else given.report)
    print(plain(results))
    for name, why in missing.items():
        print(f"not measured: {name}: {why}")
    return results


def renewed(given: argparse.Namespace, names: list[str]) -> dict[str, Any]:
    """Measure some parts anew, return them among the results of an earlier run."""
    results = json.loads(given.out.read_text("utf-8")) if given.out.is_file() else {}
    for name in names:
        PARTS[name].measure(results, given)
    print(plain(results if "pictures" in names else {name: results[name] for name in names}))
    return results


def with_tools_renewed(given: argparse.Namespace) -> dict[str, Any]:
    """Measure some tools on the photos of the run before, return them among its results.

    What an image costs is kept: times of two runs cannot be compared.
    """
    results: dict[str, Any] = json.loads(given.out.read_text("utf-8")) if given.out.is_file() else {}
    if missing := set(given.renew) - {tool["tool"] for tool in results.get("tools", [])}:
        sys.exit(
            f"{given.out} has no {' and no '.join(sorted(missing))} to renew: run make quality without --renew first"
        )
    photos = choose_photos(data_folder(), results["photos"], results["different_photos"], results["seed"])
    found = evaluate(photos, given.renew, given.weights, given.workers)
    write_sheets(found.pop("_sheets"), given.seed, given.report)
    for key in ("tools", "held_out"):
        anew = {tool["tool"]: tool for tool in found[key]}
        for tool in results[key]:
            cost = {"cpu_ms": tool["cpu_ms"]} if "cpu_ms" in tool else {}
            tool.update(anew.get(tool["tool"], {}) | cost)
    plot(results, PAGE.parent if given.write_docs else given.report)
    print(plain(results))
    return results


@dataclass(frozen=True)
class Part:
    """A part of the evaluation that can be run alone: what it does to the results, and what it measures, for people."""

    measure: Callable[[dict[str, Any], argparse.Namespace], None]
    text: str


def measure_pictures(results: dict[str, Any], given: argparse.Namespace) -> None:
    """Measure low texture, by the thresholds of the run before."""
    if "tools" not in results:
        sys.exit(f"{given.out} has no thresholds to measure by: run make quality without --pictures first")
    evaluate_pictures(results, given.weights, given.workers)


def measure_beyond(results: dict[str, Any], given: argparse.Namespace) -> None:
    """Measure whole settings on unseen kinds of copies, and write their contact sheets."""
    photos = unseen_photos(data_folder(), given.photos or BEYOND_PHOTOS, given.different, given.seed)
    results["beyond"], sheets = evaluate_beyond(photos, settings(given.radius), given.workers)
    write_sheets(sheets, given.seed, given.report, EVERY)
    print(f"contact sheets: {given.report}")


def measure_layouts(results: dict[str, Any], given: argparse.Namespace) -> None:
    """Measure whole settings on pictures of one layout."""
    results["layouts"] = evaluate_layouts(settings(given.radius), given.seed, given.workers)


PARTS = {
    "pictures": Part(measure_pictures, "low texture, by the thresholds of the run before"),
    "beyond": Part(measure_beyond, "whole settings, on kinds of copies that nobody prepared for"),
    "layouts": Part(measure_layouts, "whole settings, on different pictures of one layout"),
}


def command(words: list[str]) -> str:
    """Return the command that repeats a run, but for where it writes."""
    places = [number for number, word in enumerate(words) if word in {"--out", "--report"}]
    left_out = {*places, *(number + 1 for number in places)}
    kept = [word for number, word in enumerate(words) if number not in left_out and word != "--write-docs"]
    return f'make quality ARGS="{" ".join(kept)}"' if kept else "make quality"


if __name__ == "__main__":
    main()
