"""A folder as a listing: its files by name, so that it can be read on from any of them."""

import os
from collections.abc import Iterator
from pathlib import Path

from consumer.backfill.entries import Entry, Position, Refused, Step, file_uri, is_outage, short_id, unreadable
from consumer.backfill.naming import Wanted
from neardup.errors import StoreUnavailable
from neardup.sources.names import text_of
from neardup.sources.walking import walk

_LAST = "\U0010ffff"
"""Behind every name in a folder."""


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
            The device or the mount does not answer, or is gone: what is there cannot be known now.
        """
        begin = None if after is None else _order(os.fsdecode(bytes.fromhex(after)))
        root = self._root()
        if begin is not None and self._is_empty():
            raise StoreUnavailable(f"{text_of(self.name)}: it is empty now, and was not: is it mounted?")
        for path, relative in walk(self.name, self._own, self._wanted.passed_over):
            place = self._behind(relative, path) if isinstance(path, OSError) else relative
            if begin is not None and _order(place) <= begin:
                continue
            if isinstance(path, OSError):
                self._check_same(root)
                yield self._refused(place, relative, path)
            elif self._wanted.takes(relative):
                yield Entry(_position(place), file_uri(path), short_id(text_of(relative)))

        self._check_same(root)

    def _root(self) -> tuple[int, int]:
        try:
            found = Path(self.name).stat()
        except OSError as exc:
            raise unreadable(text_of(self.name), exc) from exc
        return (found.st_dev, found.st_ino)

    def _is_empty(self) -> bool:
        try:
            return next(Path(self.name).iterdir(), None) is None
        except OSError:  # the walk will tell
            return False

    def _check_same(self, root: tuple[int, int]) -> None:
        """Refuse to take for gone what went with a mount: another folder is left in its place, or none."""
        if not Path(self.name).is_dir() or self._root() != root:
            raise StoreUnavailable(f"{text_of(self.name)}: it is no longer the folder that it was: is it mounted?")

    def _behind(self, relative: str, error: OSError) -> str:
        """Return what stands behind all that could be in a folder; the one where we began has no name below itself."""
        return f"{'' if error.filename == self.name else relative}/{_LAST}"

    def _refused(self, place: str, relative: str, error: OSError) -> Refused:
        if is_outage(error):
            raise unreadable(text_of(error.filename or str(Path(self.name) / relative)), error) from error
        return Refused(_position(place), f"{text_of(self.name)}: {text_of(relative)}", error.strerror or str(error))


def _order(relative: str) -> tuple[str, ...]:
    """Return what paths below a folder are ordered by as they are walked: name by name."""
    return tuple(relative.split("/"))


def _position(relative: str) -> str:
    return os.fsencode(relative).hex()  # a file name may hold any bytes
