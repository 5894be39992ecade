"""Acting on a plan: link, move, trash or delete, one file after another, each only if all is as it was planned.

What becomes of a file:

1. It and the one that is kept are read: both are what the plan says, and two files.
   If we die here: nothing has happened.
2. A line for it is written to the undo file, and is on the disk.
   If we die here: the line tells of what was not done; undoing finds the file where it was.
3. It is linked, moved, put in the trash or deleted.
   If we die here: the next run finds that it was done, and goes on with the rest.

So nothing is done of which no line tells, and if no line can be written, nothing is done.
"""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from neardup.errors import Misconfigured
from neardup.sources.names import text_of
from neardup.tidy.files import Changed, KnownFile, Reader, status_of
from neardup.tidy.lines import Appended
from neardup.tidy.moving import free_name, link, move
from neardup.tidy.plan import SAME_FILE, Plan, Step
from neardup.tidy.undo import SCHEMA, are_one, done_before

LINK, MOVE, TRASH, DELETE = "link", "move", "trash", "delete"
ACTS = (LINK, MOVE, TRASH, DELETE)
DONE: Mapping[str, str] = MappingProxyType(
    {LINK: "linked", MOVE: "moved", TRASH: "put in the trash", DELETE: "deleted"}
)


@dataclass
class Tally:
    """What came of a plan.

    Attributes
    ----------
    files, size
        That were acted on, and their bytes.
    before
        Files that an earlier run had acted on.
    left
        Files that were left alone, each with the reason.
    """

    files: int = 0
    size: int = 0
    before: int = 0
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Deleting:
    """Deletes files; others act on them in another way."""

    folder: str
    to_folder: Path
    reader: Reader

    def to(self, step: Step) -> Path | None:
        """Return where the file goes, if it goes anywhere; Changed or OSError if it cannot be acted on."""
        del step
        return None

    def do(self, step: Step, to: Path | None) -> None:
        """Act on the file; Changed or OSError where it could not be done, and all is as it was."""
        del to
        Path(step.file.path).unlink()


class _Linking(_Deleting):
    def to(self, step: Step) -> Path | None:
        file, kept = step.file, step.kept
        if file.sha256 != kept.sha256:
            raise Changed(f"{file.path}: not the same bytes as {kept.path}: a link would change what it holds")
        if status_of(file.path).st_dev != status_of(kept.path).st_dev:
            raise Changed(f"{file.path}: on another disk than {kept.path}")
        return None

    def do(self, step: Step, to: Path | None) -> None:
        del to
        link(step.file, step.kept)


class _Moving(_Deleting):
    def to(self, step: Step) -> Path | None:
        return free_name(self.to_folder / Path(step.file.path).relative_to(self.folder))

    def do(self, step: Step, to: Path | None) -> None:
        if to is not None:
            move(step.file, to, self.reader)


class _Trashing(_Deleting):
    def do(self, step: Step, to: Path | None) -> None:
        from send2trash import send2trash  # noqa: PLC0415 - an extra

        del to
        send2trash(step.file.path)


def apply(
    plan: Plan,
    act: str,
    folder: str,
    undo: Path,
    to: Path,
    *,
    tally: Tally,
    progress: Callable[[int], object] = lambda _: None,
) -> None:
    """Act on each file of a plan.

    Parameters
    ----------
    plan
        Of files in the folder.
    act
        One of `ACTS`.
    folder
        Whose files may be touched, absolute and without links.
    undo
        Where a line for each act goes first.
    to
        Folder for what is moved.
    tally
        Told what came of it, as it goes.
    progress
        Told how many files were looked at since the last call.

    Raises
    ------
    Misconfigured
        The undo file cannot be written; nothing more is done. Or there is nothing to use the trash with.
    """
    if act == TRASH and find_spec("send2trash") is None:
        raise Misconfigured("using the trash needs Send2Trash: pip install neardup[trash]")
    if not plan.steps:
        return
    reader = Reader()
    doing = {LINK: _Linking, MOVE: _Moving, TRASH: _Trashing, DELETE: _Deleting}[act](folder, to, reader)
    before = done_before(undo) if undo.exists() else frozenset[KnownFile]()
    with Appended(undo) as journal:
        if journal.is_new:
            journal.write({"schema": SCHEMA})
        for step in plan.steps:
            try:
                if _was_done(step, before):
                    tally.before += 1
                else:
                    _check(step, folder, reader)
                    _act(step, act, doing, journal)
                    tally.files += 1
                    tally.size += step.file.size
            except Changed as why:
                tally.left.append(str(why))
            progress(1)


def _was_done(step: Step, before: frozenset[KnownFile]) -> bool:
    """Return whether an earlier run did it: its line is there, and the file is not, or is a link by now."""
    path = step.file.path
    return step.file in before and (not os.path.lexists(path) or are_one(path, step.kept.path))


def _check(step: Step, folder: str, reader: Reader) -> None:
    """Raise Changed unless the file and the kept one are two files, in their places, as they were planned."""
    if not Path(step.file.path).is_relative_to(folder):
        raise Changed(f"{step.file.path}: it is not in {folder}")
    kept = reader.check(step.kept)
    if os.path.samestat(kept, reader.check(step.file)):
        raise Changed(f"{step.file.path}: {SAME_FILE}")


def _act(step: Step, act: str, doing: _Deleting, journal: Appended) -> None:
    try:
        to = doing.to(step)
        mode = stat.S_IMODE(status_of(step.file.path).st_mode)
        line: dict[str, Any] = {"act": act, **step.file.document(), "mode": mode, "kept": text_of(step.kept.path)}
        journal.write({**line, "to": to and text_of(str(to)), "at": datetime.now(UTC).isoformat(timespec="seconds")})
        doing.do(step, to)
    except OSError as exc:
        raise Changed(f"{step.file.path}: {exc.strerror or exc}") from exc
