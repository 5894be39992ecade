"""Measure how well near-duplicates are told from other images, beside the tools that others use.

    make quality                          all of it
    make quality ARGS="--photos 200"      a short one
    make quality ARGS=--pictures          only the pictures of low texture, by the thresholds of the run before
    make quality ARGS=--write-docs        and write the figures into docs/quality.md

The photos are not part of the project: NEARDUP_DATA names their folder (default: ../shared/data).
"""

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks.quality.evaluate import choose_photos, cores, evaluate, evaluate_pictures
from benchmarks.quality.report import plain, plot, with_figures, write_sheets
from benchmarks.quality.tools import PEERS, absent

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/quality.md"
RESULTS = ROOT / "benchmarks/results/quality.json"


def data_folder() -> Path:
    """Return the folder with the photos, or end with a line that says how to name it."""
    folder = Path(os.environ.get("NEARDUP_DATA") or ROOT / "../shared/data").resolve()
    if not (folder / "photos_small").is_dir() or not (folder / "photos_eval").is_dir():
        sys.exit(f"no photos_small and photos_eval in {folder}: set NEARDUP_DATA")
    return folder


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="make quality", description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--photos", type=int, default=1000, metavar="N", help="photos to copy (default: 1000)")
    parser.add_argument("--different", type=int, default=21_916, metavar="N", help="photos for false pairs (all)")
    parser.add_argument("--descriptors", nargs="+", default=["dct", "copynet", "pixels"], metavar="SPEC")
    parser.add_argument("--weights", help="weights of a network among the descriptors")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=cores(), metavar="N")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--report", type=Path, default=ROOT / "quality-report", help="where the contact sheets go")
    parser.add_argument("--pictures", action="store_true", help="measure only low texture, and keep the other figures")
    parser.add_argument("--write-docs", action="store_true", help="write plots and figures into docs/")
    return parser.parse_args()


def main() -> None:
    """Measure, print, write."""
    given = arguments()
    if given.pictures:
        renew_pictures(given)
        return
    missing = absent(given.peers)
    names = [*given.descriptors, *(name for name in given.peers if name not in missing)]
    photos = choose_photos(data_folder(), given.photos, given.different, given.seed)
    results = evaluate(photos, names, given.weights, given.workers)
    sheets = results.pop("_sheets")
    results = {"command": command(sys.argv[1:]), "absent": missing, **results}
    print(plain(results))
    for name, why in missing.items():
        print(f"not measured: {name}: {why}")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    write_sheets(sheets, given.seed, given.report)
    plot(results, PAGE.parent if given.write_docs else given.report)
    if given.write_docs:
        PAGE.write_text(with_figures(PAGE.read_text("utf-8"), results), "utf-8")
    print(f"written: {given.out}, contact sheets in {given.report}")


def renew_pictures(given: argparse.Namespace) -> None:
    """Measure low texture alone, and write it into the results of an earlier run."""
    results = json.loads(given.out.read_text("utf-8"))
    evaluate_pictures(results, given.weights, given.workers)
    print(plain(results))
    given.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    if given.write_docs:
        PAGE.write_text(with_figures(PAGE.read_text("utf-8"), results), "utf-8")


def command(words: list[str]) -> str:
    """Return the command that repeats a run, but for where it writes."""
    places = [number for number, word in enumerate(words) if word in {"--out", "--report"}]
    left_out = {*places, *(number + 1 for number in places)}
    kept = [word for number, word in enumerate(words) if number not in left_out and word != "--write-docs"]
    return f'make quality ARGS="{" ".join(kept)}"' if kept else "make quality"


if __name__ == "__main__":
    main()
