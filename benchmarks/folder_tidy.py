"""What it costs to tidy up a folder, beside fastdup and czkawka on the same folder, in the same run.

    .venv/bin/python -m benchmarks.folder_tidy [--files 20000] [--copies 1000] [--write-docs]

Photos in one folder, some of them copies of others: nine tenths of the size, compressed anew. `neardup folder --keep
best --apply move --yes` judges, plans and moves; the others say which files are alike, and move none. CPU and memory
are those of the command and all that it starts. `make bench-fastdup bench-czkawka` installs them; what is not there is
not measured. The photos are not part of the project: NEARDUP_DATA names their folder, else pictures are drawn.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pages import table, with_tables
from benchmarks.throughput.images import SIZES, Photos, copy_of_photo, new_photo, photos
from benchmarks.throughput.peers import APART
from benchmarks.throughput.processes import memory_mib

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs/folder.md", ROOT / "benchmarks/results/folder_tidy.json"
CZKAWKA = ROOT / ".venv-czkawka/bin/czkawka_cli"
CZKAWKA_FROM_BYTES = "1"
"""It passes over files below 16 KiB unless it is told not to."""
CZKAWKA_SETTINGS = ((), ("--image-filter", "Lanczos3", "--max-difference", "20"))
"""Its own, and those by which it finds the most: its best filter, and as many bits of 256 apart as it recommends."""
OURS = ("--keep", "best", "--apply", "move", "--yes")
LOOK_EVERY_S = 0.2
"""How often memory is looked at: the highest is kept."""


@dataclass(frozen=True, slots=True)
class Material:
    """A folder of files, and which of them are copies of which."""

    folder: Path
    copies: Mapping[str, str]


def main() -> None:
    """Measure, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--copies", type=int, default=1_000, help="how many of them are copies")
    parser.add_argument("--write-docs", action="store_true", help="write the table into docs/folder.md")
    given = parser.parse_args()
    if not 0 < given.copies <= given.files // 2:
        parser.error("--copies: it should be at least one, and at most half of --files")
    source = photos()
    with tempfile.TemporaryDirectory(prefix="neardup-tidy-") as temp:
        material = write_material(source, given.files, given.copies, Path(temp) / "pictures")
        results = {
            "files": given.files,
            "copies": given.copies,
            "photos": source.origin,
            "cores": os.cpu_count(),
            "tools": measured(material, Path(temp)),
        }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    if given.write_docs:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), tables(results)), "utf-8")


def write_material(source: Photos, count: int, copies: int, folder: Path) -> Material:
    """Write the files: those that are no copies first by name, and each copy's original spread over them."""
    folder.mkdir()
    originals = count - copies
    copied: dict[str, str] = {}
    for number in range(originals):
        (folder / f"{number:07}.jpg").write_bytes(new_photo(source, SIZES[0], number))
    for number in range(copies):
        original = f"{number * originals // copies:07}.jpg"
        name = f"{originals + number:07}.jpg"
        (folder / name).write_bytes(copy_of_photo((folder / original).read_bytes()))
        copied[name] = original
    return Material(folder, copied)


def measured(material: Material, temp: Path) -> dict[str, Any]:
    """Return what each tool took and found; the folder is tidied last, since nothing is left to find then."""
    tools: dict[str, Any] = {}
    runs: dict[str, tuple[Path, Callable[[Material, Path], dict[str, Any]]]] = {
        "fastdup": (APART["fastdup"], _fastdup),
        **{
            " ".join(("czkawka_cli image", *settings)): (CZKAWKA, partial(_czkawka, settings))
            for settings in CZKAWKA_SETTINGS
        },
        f"neardup folder {' '.join(OURS)}": (Path(sys.executable), _neardup),
    }
    for name, (program, run) in runs.items():
        if program.exists():
            tools[name] = run(material, temp)
            print(f"{name}: {tools[name]}", flush=True)
    return tools


def found(copies: Mapping[str, str], told: AbstractSet[str]) -> dict[str, Any]:
    """Return how many of the copies were told, and how many files besides."""
    return {
        "copies_found": round(len(told & copies.keys()) / len(copies), 4),
        "others": len(told - copies.keys()),
    }


def _neardup(material: Material, temp: Path) -> dict[str, Any]:
    output = temp / "verdicts.jsonl"
    figures = taken([sys.executable, "-m", "neardup", "folder", str(material.folder), "--output", str(output), *OURS])
    # Of two alike the larger is kept, so that what is moved is a copy, or a photo that looks like another one.
    return figures | found(material.copies, {path.name for path in (temp / "duplicates").rglob("*.jpg")})


def _czkawka(settings: Sequence[str], material: Material, temp: Path) -> dict[str, Any]:
    """Run czkawka without its cache of an earlier run, and take all but the first of each group as told."""
    output = temp / "czkawka.json"
    command = [str(CZKAWKA), "image", "--directories", str(material.folder), *settings]
    command += ["--minimal-file-size", CZKAWKA_FROM_BYTES, "--disable-cache", "--ignore-error-code-on-found"]
    figures = taken([*command, "--do-not-print-results", "--compact-file-to-save", str(output)])
    groups = json.loads(output.read_text("utf-8"))
    names = [sorted(Path(file["path"]).name for file in group) for group in groups]
    return figures | found(material.copies, {name for group in names for name in group[1:]})


def _fastdup(material: Material, temp: Path) -> dict[str, Any]:
    files = sorted(material.folder.glob("*.jpg"))
    listed, into = temp / "files.txt", temp / "groups.npy"
    listed.write_text("\n".join(map(str, files)), "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SENTRY_OPT_OUT": "True"}
    command = [str(APART["fastdup"]), "-m", "benchmarks.throughput.peer", "fastdup", str(listed), str(into)]
    figures = taken(command, environment)
    groups = [int(group) for group in np.load(into)]
    firsts: dict[int, str] = {}
    told = {
        file.name for file, group in zip(files, groups, strict=True) if firsts.setdefault(group, file.name) != file.name
    }
    return figures | found(material.copies, told)


def taken(command: Sequence[str], environment: Mapping[str, str] | None = None) -> dict[str, float]:
    """Run a command, and return its CPU and wall time in seconds, and the most memory in MiB, of all its processes."""
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    ended, highest = threading.Event(), [0.0]

    def look() -> None:
        while not ended.wait(LOOK_EVERY_S):
            highest[0] = max(highest[0], memory_mib(process.pid))

    looking = threading.Thread(target=look)
    looking.start()
    _, errors = process.communicate()
    wall_s = time.perf_counter() - began_s
    ended.set()
    looking.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}\n{errors.decode(errors='replace')}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": round(cpu_s, 1), "wall_s": round(wall_s, 1), "peak_mib": round(highest[0])}


def tables(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the table of the page."""
    head = ["", "CPU, s", "wall, s", "memory, MiB", "copies found", "others told"]
    body = [
        [
            f"`{name}`" if " " in name else name,
            *(str(figures[unit]) for unit in ("cpu_s", "wall_s", "peak_mib")),
            f"{100 * figures['copies_found']:.1f} %" if "copies_found" in figures else "",
            str(figures.get("others", "")),
        ]
        for name, figures in results["tools"].items()
    ]
    return {"folder_tidy": table(head, body)}


if __name__ == "__main__":
    main()
