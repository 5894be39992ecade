"""The plan: which files are to go, each in favour of which; written by a dry run, and read by what acts on it."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from neardup.errors import Misconfigured
from neardup.tidy.files import Changed, KnownFile, Reader, status_of
from neardup.tidy.groups import JudgedFile
from neardup.tidy.keep import Choice
from neardup.tidy.lines import Document, line_of, read_lines, replacing

SCHEMA = "neardup.plan/1"
SAME_FILE = "another name of the file that is kept"
_AGAIN = "make it again, by a dry run"


@dataclass(frozen=True, slots=True)
class Step:
    """A file that is to go, and the one that is kept for it."""

    file: KnownFile
    kept: KnownFile

    def document(self) -> Document:
        """Return it as JSON can hold it."""
        return {"file": self.file.document(), "kept": self.kept.document()}

    @classmethod
    def read(cls, document: Document) -> Self:
        """Read `document`; ValueError, KeyError or TypeError if it is none."""
        return cls(KnownFile.read(document["file"]), KnownFile.read(document["kept"]))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a dry run found.

    Attributes
    ----------
    settings
        By name: all that decided, the folder and the rule among them.
    made_at
        UTC, ISO 8601.
    steps
        In order.
    """

    settings: Mapping[str, Any]
    made_at: str
    steps: tuple[Step, ...]


def planned(choice: Choice, reader: Reader, targets: set[str]) -> tuple[list[Step], dict[str, str]]:
    """Return the steps of a group, and why other images that might have gone stay, by key.

    Parameters
    ----------
    choice
        What of the group is kept, and what may go.
    reader
        Reads the files.
    targets
        Files that links lead to: they stay, or the links would lead nowhere.
    """
    if choice.kept is None:
        return [], {}
    staying: dict[str, str] = {}
    steps: list[Step] = []
    try:
        kept = _as_judged(choice.kept.picture.file, reader)
    except Changed as why:
        return [], {each.picture.file.key: f"the one to keep is not as it was: {why}" for each in choice.going}
    for each in choice.going:
        file = each.picture.file
        try:
            steps.append(_step(file, kept, reader, targets))
        except Changed as why:
            staying[file.key] = str(why)
    return steps, staying


def _step(file: JudgedFile, kept: KnownFile, reader: Reader, targets: set[str]) -> Step:
    if file.path in targets:
        raise Changed("a link leads to it")
    if os.path.samestat(status_of(file.path), status_of(kept.path)):
        raise Changed(SAME_FILE)
    return Step(_as_judged(file, reader), kept)


def _as_judged(file: JudgedFile, reader: Reader) -> KnownFile:
    return reader.known(file.path, file.size, file.mtime_ns)


def targets_of_links(folder: str) -> set[str]:
    """Return the files that links in a folder and below lead to."""
    paths = (Path(above) / name for above, _, names in os.walk(folder) for name in names)
    return {os.path.realpath(path) for path in paths if path.is_symlink()}


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan: a line that says what decided, then one for each file.

    Raises
    ------
    Misconfigured
        It cannot be written; the earlier plan is as it was.
    """
    head = {"schema": SCHEMA, "made_at": plan.made_at, "files": len(plan.steps), "settings": dict(plan.settings)}
    with replacing(path) as file:
        file.write(line_of(head))
        file.writelines(line_of(step.document()) for step in plan.steps)


def read_plan(path: Path) -> Plan:
    """Read `write_plan`.

    Raises
    ------
    Misconfigured
        It is not there, no plan, or of another version.
    """
    lines = read_lines(path)
    _, head = next(lines, (0, {}))
    if head.get("schema") != SCHEMA:
        raise Misconfigured(f"{path} is no plan of this version: {_AGAIN}")
    try:
        steps = tuple(_steps(lines))
        plan = Plan(dict(head["settings"]), str(head["made_at"]), steps)
        is_whole = len(steps) == head["files"]
    except (KeyError, TypeError, ValueError) as exc:
        raise Misconfigured(f"{path} is damaged: {_AGAIN}") from exc
    if not is_whole or {step.file.path for step in steps} & {step.kept.path for step in steps}:
        raise Misconfigured(f"{path} is not what was written: {_AGAIN}")
    return plan


def _steps(lines: Iterable[tuple[int, Document]]) -> Iterator[Step]:
    for _, document in lines:
        yield Step.read(document)
