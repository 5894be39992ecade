"""A folder as a listing: its files by name, so that it can be read on from any of them."""

import os
from collections.abc import Iterator

from consumer.backfill.entries import Entry, Position, Refused, Step, file_uri, short_id
from consumer.backfill.naming import Wanted
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
        """Iterate over the files behind one; those that come meanwhile are met if their turn is still to come."""
        begin = None if after is None else _order(os.fsdecode(bytes.fromhex(after)))
        for path, relative in walk(self.name, self._own, self._wanted.passed_over):
            place = f"{relative}/{_LAST}" if isinstance(path, OSError) else relative
            if begin is not None and _order(place) <= begin:
                continue
            if isinstance(path, OSError):
                yield Refused(
                    _position(place), f"{text_of(self.name)}: {text_of(relative)}", path.strerror or str(path)
                )
            elif self._wanted.takes(relative):
                yield Entry(_position(relative), file_uri(path), short_id(text_of(relative)))


def _order(relative: str) -> tuple[str, ...]:
    """Return what paths below a folder are ordered by as they are walked: name by name."""
    return tuple(relative.split("/"))


def _position(relative: str) -> str:
    return os.fsencode(relative).hex()  # a file name may hold any bytes
