"""The undo file: a line for each act, written before it is done; and putting back what was moved or linked."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from neardup.errors import Misconfigured
from neardup.sources.names import name_of
from neardup.tidy.files import Changed, KnownFile, Reader
from neardup.tidy.lines import Document, read_lines
from neardup.tidy.moving import clear_reserved, move, unlink

SCHEMA = "neardup.undo/1"


@dataclass(frozen=True, slots=True)
class Deed:
    """A line of the undo file.

    Attributes
    ----------
    act
        What was done, or about to be.
    file
        To which file, as it was before.
    mode
        Its rights.
    kept
        Path of the file that was kept for it.
    to
        Where it was moved; None of all other acts.
    """

    act: str
    file: KnownFile
    mode: int
    kept: str
    to: Path | None

    @classmethod
    def read(cls, document: Document) -> Self:
        """Read a line; ValueError, KeyError or TypeError if it is none."""
        to = document["to"]
        file, kept = KnownFile.read(document), name_of(document["kept"])
        return cls(str(document["act"]), file, int(document["mode"]), kept, None if to is None else Path(name_of(to)))


@dataclass
class Undone:
    """What came of undoing.

    Attributes
    ----------
    back
        Files that were put back.
    before
        Files that were where they had been, already.
    left
        What could not be put back, each with the reason.
    """

    back: int = 0
    before: int = 0
    left: list[str] = field(default_factory=list)


def read_undo(path: Path) -> list[Deed]:
    """Return what was done, in its order.

    Raises
    ------
    Misconfigured
        It is not there, no undo file, or of another version.
    """
    lines = read_lines(path)
    _, head = next(lines, (0, {"schema": SCHEMA}))
    if head.get("schema") != SCHEMA:
        raise Misconfigured(f"{path} is no undo file of this version")
    deeds = []
    for number, document in lines:
        try:
            deeds.append(Deed.read(document))
        except (KeyError, TypeError, ValueError) as exc:
            raise Misconfigured(f"{path}, line {number}: not a line of an undo file") from exc
    return deeds


def done_before(path: Path) -> frozenset[KnownFile]:
    """Return the files that an undo file tells of; errors as `read_undo`."""
    return frozenset(deed.file for deed in read_undo(path))


def undo(deeds: list[Deed], undone: Undone, progress: Callable[[int], object] = lambda _: None) -> None:
    """Put back what was moved or linked, the last first, where that is still so.

    Parameters
    ----------
    deeds
        Of `read_undo`.
    undone
        Told what came of it, as it goes.
    progress
        Told how many were looked at since the last call.
    """
    reader = Reader()
    for deed in reversed(deeds):
        try:
            if _put_back(deed, reader):
                undone.back += 1
            else:
                undone.before += 1
        except OSError as exc:
            undone.left.append(f"{deed.file.path}: {exc.strerror or exc}")
        except Changed as why:
            undone.left.append(str(why))
        progress(1)


def _put_back(deed: Deed, reader: Reader) -> bool:
    """Return whether there was anything to put back."""
    if deed.act == "move" and deed.to is not None:
        return _move_back(deed.file, deed.to, reader)
    if deed.act == "link":
        return _unlink(deed, reader)
    if _is_there(deed.file, reader):
        return False
    if deed.act == "trash":
        raise Changed(f"{deed.file.path}: it was put in the trash: restore it from there")
    raise Changed(f"{deed.file.path}: it was deleted, which cannot be undone")


def _is_there(file: KnownFile, reader: Reader) -> bool:
    try:
        reader.check(file)
    except Changed:
        return False
    return True


def _move_back(file: KnownFile, to: Path, reader: Reader) -> bool:
    if _is_there(file, reader):
        return False
    moved = _with_content(file, str(to), reader)
    if os.path.lexists(file.path):
        clear_reserved(Path(file.path))
    try:
        move(moved, Path(file.path), reader)
    except FileExistsError:
        raise Changed(f"{file.path}: something else is there; it stays in {to}") from None
    os.utime(file.path, ns=(os.lstat(file.path).st_atime_ns, file.mtime_ns))
    return True


def _unlink(deed: Deed, reader: Reader) -> bool:
    file = deed.file
    if _is_there(file, reader) and not are_one(file.path, deed.kept):
        return False
    unlink(_with_content(file, file.path, reader), deed.mode, file.mtime_ns, reader)
    return True


def are_one(path: str, other: str) -> bool:
    """Return whether two paths are names of one file; not where one is gone."""
    try:
        return os.path.samestat(os.lstat(path), os.lstat(other))
    except OSError:
        return False


def _with_content(file: KnownFile, path: str, reader: Reader) -> KnownFile:
    """Return the file at a path, if it holds what a file did, whatever its time is now."""
    found = reader.known(path, file.size, os.lstat(path).st_mtime_ns)
    if found.sha256 != file.sha256:
        raise Changed(f"{path}: its content changed")
    return found
