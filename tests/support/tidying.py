"""Files that were judged, for tests of tidying up; no image is needed for that."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from neardup.sources.names import text_of
from neardup.tidy.act import Tally, apply
from neardup.tidy.files import Reader
from neardup.tidy.groups import Group, JudgedFile, Picture, groups_of
from neardup.tidy.keep import Measured, choose
from neardup.tidy.plan import Plan, Step, planned, targets_of_links


def judged(path: Path, place: int = 0, of: Picture | None = None, **changes: Any) -> Picture:  # noqa: ANN401 - of any field
    """Return a file as it would be judged: unique, or a duplicate of another."""
    status = path.stat()
    real = os.path.realpath(path)
    key = f"file:{real}:{status.st_size}:{status.st_mtime_ns}"
    file = JudgedFile(key, real, status.st_size, status.st_mtime_ns, by_link=real != str(path))
    picture = Picture(text_of(path.name), place, file)
    if of is not None:
        picture = replace(picture, member=of.file.key, duplicate_of=of.image_id, distance=0.1)
    return replace(picture, **changes)


def group_of(*paths: Path) -> Group:
    """Return the group of files that duplicate the first."""
    first = judged(paths[0])
    [group] = groups_of([first, *(judged(path, place, first) for place, path in enumerate(paths[1:], 1))])
    return group


def measured(group: Group, pixels: Iterable[int] = ()) -> dict[str, Measured]:
    """Return its images with their sizes: 100 pixels where none are told."""
    told = [*pixels]
    widths = [*told, *[100] * (len(group.pictures) - len(told))]
    return {each.file.key: Measured(each, width, 1) for each, width in zip(group.pictures, widths, strict=True)}


def plan_of(folder: Path, *groups: Group, rule: str = "first", crops: bool = False) -> Plan:
    """Return the plan that a dry run would write."""
    steps: list[Step] = []
    for group in groups:
        choice = choose(group, measured(group), rule, crops=crops)
        steps += planned(choice, Reader(), targets_of_links(str(folder)))[0]
    return Plan({}, "", tuple(steps))


def applied(plan: Plan, act: str, folder: Path) -> Tally:
    """Act on a plan, with the undo file and what is moved beside the folder; return what came of it."""
    tally = Tally()
    apply(plan, act, str(folder), folder.parent / "undo.jsonl", folder.parent / "moved", tally=tally)
    return tally


def contents(*folders: Path) -> set[bytes]:
    """Return what the files in folders and below hold; links count for nothing."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.read_bytes() for path in files}
