"""Other tools on the same files, up to the same answer: groups of duplicates; and what each takes of the CPU."""

import importlib.util
import json
import os
import resource
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.throughput.builds import ROOT, THIS
from benchmarks.throughput.images import SIZES, Photos, Say, copy_of, write_images

PEERS: Mapping[str, tuple[str, ...]] = {
    "imagehash-set": ("imagehash",),
    "imagehash-bktree": ("imagehash", "pybktree"),
    "pdqhash-faiss": ("pdqhash", "faiss"),
}
"""By name: the libraries that a peer needs; `peer.py` has the rest."""
APART: Mapping[str, Path] = {name: ROOT / f".venv-{name}/bin/python" for name in ("imagededup", "fastdup")}
"""What runs a peer that has an environment of its own, which `make bench-NAME` makes: they want other versions."""
AT_MOST: Mapping[str, int] = {"imagehash-bktree": 20_000, "imagededup": 20_000}
"""Files: at 10 of 64 bits a BK-tree compares with most of what it holds, in Python, and imagededup all with
all: of ten times as many it was not through after a quarter of an hour."""
FOLDER = ("neardup folder", ())
FOLDER_SCRAPER = ("neardup folder --profile scraper", ("--profile", "scraper"))

Groups = Sequence[int]


def measure(
    source: Photos, folder: Path, counts: Sequence[int], say: Say, *, known: Mapping[str, Any], only: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield for each number of files what each tool took and found; the scraper's profile at the least number only.

    All that was measured so far comes again with each tool: many files take hours, and a run may be cut short. So some
    tools can be measured alone: then what is `known` of the others stays.
    """
    missing = {
        name: f"{package} is not installed"
        for name, packages in PEERS.items()
        for package in packages
        if importlib.util.find_spec(package) is None
    }
    for name, python in APART.items():
        if not python.exists():
            missing[name] = f"it is not installed: `make bench-{name}` does that"
    sizes: dict[str, Any] = {count: dict(figures) for count, figures in known.items()} if only else {}
    for count in sorted(counts):
        files = write_images(source, SIZES[0], count, _made(folder / f"peers-{count}"))
        own = (FOLDER, FOLDER_SCRAPER) if count == min(counts) else (FOLDER,)
        tools: dict[str, Callable[[], Groups]] = {
            **{name: _folder(files, folder, more) for name, more in own},
            **{
                name: _peer(name, files, folder, APART.get(name))
                for name in (*PEERS, *APART)
                if name not in missing and count <= AT_MOST.get(name, count)
            },
        }
        found = sizes.setdefault(str(count), {})
        for name, run in tools.items():
            if only and name not in only:
                continue
            found[name] = figures = _measured(run, count)
            say(f"{count} files, {name}: {figures}")
            yield {"not_measured": missing, "files": sizes}


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _measured(run: Callable[[], Groups], count: int) -> dict[str, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    groups = run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_ms": round(1000 * cpu_s / count, 3), **scored(groups)}


def scored(groups: Groups) -> dict[str, float]:
    """Return the share of copies that are in one group with their original, and of images grouped with strangers."""
    copies = [(number, original) for number in range(len(groups)) if (original := copy_of(number)) is not None]
    together = sum(groups[number] == groups[original] for number, original in copies)
    members: dict[int, set[int]] = defaultdict(set)
    for number, group in enumerate(groups):
        original = copy_of(number)
        members[group].add(number if original is None else original)
    strangers = sum(len(members[group]) > 1 for group in groups)
    return {
        "copies_found": round(together / len(copies), 4),
        "among_strangers": round(strangers / len(groups), 4),
    }


def _peer(name: str, files: Sequence[Path], folder: Path, apart: Path | None) -> Callable[[], Groups]:
    def run() -> Groups:
        listed, into = folder / "files.txt", folder / "groups.npy"
        listed.write_text("\n".join(map(str, files)), "utf-8")
        path = str(ROOT) if apart else os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "SENTRY_OPT_OUT": "True"}
        command = [str(apart or sys.executable), "-m", "benchmarks.throughput.peer", name, str(listed), str(into)]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        return [int(group) for group in np.load(into)]

    return run


def _folder(files: Sequence[Path], folder: Path, more: Sequence[str]) -> Callable[[], Groups]:
    def run() -> Groups:
        output = folder / "verdicts.jsonl"
        THIS.run(*THIS.command("neardup", "folder", str(files[0].parent), "--output", str(output), *more))
        verdicts = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
        place = {Path(verdict["image_id"]).name: number for number, verdict in enumerate(verdicts)}
        number_of = {file.name: number for number, file in enumerate(files)}
        groups = list(range(len(files)))
        for verdict in verdicts:
            if verdict["verdict"] == "duplicate":
                first = verdicts[place[Path(verdict["duplicate_of"]).name]]["image_id"]
                groups[number_of[Path(verdict["image_id"]).name]] = number_of[Path(first).name]
        return groups

    return run
