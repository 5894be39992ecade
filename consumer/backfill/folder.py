"""A folder as a listing: its files by name, so that it can be read on from any of them."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from consumer.backfill.entries import Entry, Position, Refused, Step, file_uri, is_outage, short_id, unreadable
from consumer.backfill.naming import Wanted
from neardup.sources.names import text_of
from neardup.sources.walking import FOLDER_LINKS, OWN_OUTPUT, SPECIAL

_LAST = "\U0010ffff"
"""Behind every name in a folder."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What is in a folder.

    Attributes
    ----------
    path
        Of a file, with links resolved, or why there is none; None for a folder to look into.
    relative
        Its path below the folder where we began; empty for that one itself.
    """

    path: str | OSError | None
    relative: str


class Folder:
    """The images in a folder and below.

    Parameters
    ----------
    path
        A folder, as a real path.
    wanted
        Which of its files count.
    own
        Real paths of what is written meanwhile.
    """

    def __init__(self, path: str, wanted: Wanted, own: frozenset[str] = frozenset()) -> None:
        self.name = path
        self._wanted = wanted
        self._own = own

    def fingerprint(self) -> str:
        """Return nothing: files may come and go."""
        return ""

    def steps(self, after: Position | None) -> Iterator[Step]:
        """Iterate over the files behind one; those that come meanwhile are met if their turn is still to come.

        Raises
        ------
        StoreUnavailable
            The device or the mount does not answer: what is there cannot be known now.
        """
        begin = None if after is None else _order(os.fsdecode(bytes.fromhex(after)))
        for found in self._walked():
            place = f"{found.relative}/{_LAST}" if isinstance(found.path, OSError) else found.relative
            if begin is not None and _order(place) <= begin:
                continue
            if isinstance(found.path, OSError):
                yield self._refused(place, found.relative, found.path)
            elif found.path is not None and self._wanted.takes(found.relative):
                yield Entry(_position(place), file_uri(found.path), short_id(text_of(found.relative)))

    def _refused(self, place: str, relative: str, error: OSError) -> Refused:
        if is_outage(error):
            raise unreadable(text_of(self._path(relative)), error) from error
        named = relative or Path(self.name).name or "."
        return Refused(_position(place), f"{text_of(self.name)}: {text_of(named)}", error.strerror or str(error))

    def _path(self, relative: str) -> str:
        return os.path.join(self.name, relative) if relative else self.name  # noqa: PTH118 - a name, as it is

    def _walked(self) -> Iterator[_Found]:
        """Iterate over what is in the folder and below, by name; links to folders are not followed."""
        # No recursion: folders may be nested deeper than Python's stack.
        levels = [self._level("")]
        while levels:
            found = next(levels[-1], None)
            if found is None:
                levels.pop()
            elif found.path is None:
                levels.append(self._level(found.relative))
            else:
                yield found

    def _level(self, relative: str) -> Iterator[_Found]:
        try:
            # All of it or nothing: of a part, we would go on behind names that did not come.
            with os.scandir(self._path(relative)) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as exc:
            yield _Found(exc, relative)
            return
        for entry in entries:
            below = f"{relative}/{entry.name}" if relative else entry.name
            try:
                yield from self._found(entry, below)
            except OSError as exc:  # of a link to nowhere, too
                yield _Found(exc, below)

    def _found(self, entry: os.DirEntry[str], relative: str) -> Iterator[_Found]:
        """Yield the file or the folder that an entry is; what is passed over is counted."""
        passed_over = self._wanted.passed_over
        if entry.path in self._own:
            passed_over[OWN_OUTPUT] += 1
        elif self._wanted.passes_over(entry.name):
            pass
        elif entry.is_dir(follow_symlinks=False):
            yield _Found(None, relative)
        elif stat.S_ISDIR(mode := entry.stat().st_mode):
            passed_over[FOLDER_LINKS] += 1
        elif not stat.S_ISREG(mode):  # to open a pipe or a device may block for ever
            passed_over[SPECIAL] += 1
        elif (path := os.path.realpath(entry.path) if entry.is_symlink() else entry.path) in self._own:
            passed_over[OWN_OUTPUT] += 1
        else:
            yield _Found(path, relative)


def _order(relative: str) -> tuple[str, ...]:
    """Return what paths below a folder are ordered by as they are walked: name by name."""
    return tuple(relative.split("/"))


def _position(relative: str) -> str:
    return os.fsencode(relative).hex()  # a file name may hold any bytes
