"""The files in a folder and below: in which order, and what is passed over."""

import os
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

LITTER = frozenset(
    {
        *("@eadir", "@recently-snapshot", "@recycle", "@sharebin", "@tmp", "#recycle", "#snapshot", "lost+found"),
        *("__macosx", "$recycle.bin", "system volume information", "desktop.ini", "ehthumbs.db", "thumbs.db"),
    }
)
"""What storage servers, other systems and ZIP files leave behind, in lower case: thumbnails, bins, snapshots."""
HIDDEN = "hidden"
OWN_OUTPUT = "own output"
FOLDER_LINKS = "links to folders"
SPECIAL = "special files"

Found = tuple[str | OSError, str]
"""A file's path, or why there is none, and its path below the folder where the walk began."""


@dataclass(frozen=True, slots=True)
class _Folder:
    path: str
    relative: str


def walk(folder: str, own: Collection[str], passed_over: Counter[str]) -> Iterator[Found]:
    """Iterate over the files in a folder and below, by name.

    A folder or a file that cannot be looked at leaves an error in its place. A folder is read whole before anything in
    it is handed on: of one that becomes unreadable meanwhile nothing comes but the error. Links to folders are not
    followed, so no circle of links is entered.

    Parameters
    ----------
    folder
        Where to begin.
    own
        Resolved paths that the command itself writes.
    passed_over
        Counts what is passed over: hidden files, litter by its name, own output, links to folders, pipes and devices.
    """
    # No recursion: folders may be nested deeper than Python's stack.
    levels = [_level(_Folder(folder, ""), own, passed_over)]
    while levels:
        found = next(levels[-1], None)
        if found is None:
            levels.pop()
        elif isinstance(found, _Folder):
            levels.append(_level(found, own, passed_over))
        else:
            yield found


def _level(folder: _Folder, own: Collection[str], passed_over: Counter[str]) -> Iterator[Found | _Folder]:
    try:
        with os.scandir(folder.path) as there:
            entries = sorted(there, key=lambda entry: entry.name)
    except OSError as exc:
        yield exc, folder.relative or Path(folder.path).name or "."
        return
    for entry in entries:
        relative = f"{folder.relative}/{entry.name}" if folder.relative else entry.name
        found = _found(entry, relative, own)
        if isinstance(found, str):
            passed_over[found] += 1
        else:
            yield found


def _found(entry: os.DirEntry[str], relative: str, own: Collection[str]) -> Found | _Folder | str:
    """Return the file or folder that an entry is, or what it is counted as when it is passed over."""
    try:
        return _by_name(entry, own) or _by_kind(entry, relative, own)
    except OSError as exc:  # of a link to nowhere, too
        return exc, relative


def _by_name(entry: os.DirEntry[str], own: Collection[str]) -> str:
    """Return what an entry is counted as if its name says that it is passed over; empty if not."""
    return OWN_OUTPUT if entry.path in own else unwanted(entry.name)


def unwanted(*names: str) -> str:
    """Return what a path is counted as if one of its names alone says to pass it over; empty if none does."""
    for name in names:
        if name.startswith(".") and name not in {".", ".."}:
            return HIDDEN
        if name.lower() in LITTER:
            return name
    return ""


def _by_kind(entry: os.DirEntry[str], relative: str, own: Collection[str]) -> Found | _Folder | str:
    if entry.is_dir(follow_symlinks=False):
        return _Folder(entry.path, relative)
    mode = entry.stat().st_mode
    if stat.S_ISDIR(mode):
        return FOLDER_LINKS
    # Opening a pipe or a device may block for ever.
    if not stat.S_ISREG(mode):
        return SPECIAL
    path = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
    return OWN_OUTPUT if path in own else (path, relative)
