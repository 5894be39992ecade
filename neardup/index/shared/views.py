"""The folder in which processes that work on one index leave a view of its generation, for one another or for later."""

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from neardup.index.base import IndexMeta
from neardup.index.cache import CellReader
from neardup.index.shared.mapped import checksum_of, open_mapped, write_mapped
from neardup.index.stored.scripts import LOG_EVENTS, Position
from neardup.index.view import GenerationView

_LEAST, _SHARE = 4096, 8
"""Sketches, and of all one in so many: when more have moved, they are shared again, which costs a copy of all."""
_EVENTS_KEPT_BEHIND = LOG_EVENTS // 2
"""A view that lasts is left again after so many events: whoever opens it has to find the next ones in the log."""
_REST = 20
"""So many times as long as that took it is not left again for that: nothing is judged meanwhile."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SharedView:
    """A view, and what it is a view of.

    Attributes
    ----------
    meta
        Of the generation.
    position
        The events after it are still to be followed; some of them may be known to the view.
    view
        All members, as far as they are known.
    server
        Which run of Redis it was read from, where it is for later: one that is started again may have lost some.
    """

    meta: IndexMeta
    position: Position
    view: GenerationView
    server: str = ""


class SharedViews:
    """The newest view that any of the processes has left, in a folder of theirs.

    A file is written under another name first, so none is seen half-written. One that is no longer needed is
    removed; those who have mapped it keep its memory until they let go of it.

    Parameters
    ----------
    folder
        From `neardup.index.shared.folder`, in memory or to last.
    lasting
        Whether it is for processes that come later, even after the machine was off: what is not whole is not used.
    """

    def __init__(self, folder: Path, *, lasting: bool = False) -> None:
        self._folder = folder
        self.lasting = lasting
        self._again_at_s = 0.0

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process is here: who comes first reads the index for all. Death ends it, too.

        Where a consumer with other code, or with other room for records, has removed the folder, nobody else is here.
        """
        with contextlib.ExitStack() as held:
            with contextlib.suppress(FileNotFoundError):
                lock = held.enter_context((self._folder / "lock").open("wb"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def newest(self, meta: IndexMeta, read: CellReader, after: int = -1, server: str = "") -> SharedView | None:
        """Return a view of a generation that has seen more events than `after`; None without one.

        It reads cells with `read`, and is of this run of the server.
        """
        for path in self._folder.glob(f"{meta.generation}-*.view"):
            if _events_seen(path) > after and (found := self._opened(path, read)) is not None:
                found.view.filter.untouched = len(found.view.filter)
                # A number is given again where somebody has emptied the database.
                return found if (found.meta, found.server) == (meta, server) else None
        return None

    def _opened(self, path: Path, read: CellReader) -> SharedView | None:
        if self.lasting and path.stem.rpartition("-")[2] != _checksum_in_name(path):
            _log.warning("%s is damaged, so the index is read from Redis", path)
            return None
        try:
            found: SharedView = open_mapped(path, read)
        except OSError:  # a consumer of another version, or with other room for records, has removed the folder
            return None
        return found

    def put(self, shared: SharedView, read: CellReader) -> None:
        """Leave a view for all, which reads cells with `read` here, in the place of the one before; only while `alone`.

        Raises
        ------
        OSError
            There is no room for it.
        """
        begun_s = time.monotonic()
        # To find room for what comes until it is much would move all sketches.
        shared.view.filter.fit(2 * _much(shared.view))
        shared.view.settle()
        earlier = [*self._folder.glob("*.view"), *self._folder.glob("*.part")]
        part = self._folder / f"{shared.meta.generation}-{shared.position.seen}.part"
        try:
            with part.open("wb") as file:
                checksum = write_mapped(file, shared, read)
                if self.lasting:
                    file.flush()
                    os.fsync(file.fileno())
            whole = part.with_name(f"{part.stem}-{checksum:08x}.view")
            part.rename(whole)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        for path in earlier:
            if path != whole:
                path.unlink(missing_ok=True)
        now_s = time.monotonic()
        self._again_at_s = now_s + _REST * (now_s - begun_s)

    def take_in(self, shared: SharedView, read: CellReader) -> bool:
        """Put a view; where there is no room for it, say so and return False."""
        try:
            self.put(shared, read)
        except OSError as error:
            _log.warning("what is known of the index cannot be left for other processes: %s", error)
            return False
        return True

    def is_outgrown(self, view: GenerationView, events: int) -> bool:
        """Return whether to leave a view again, so many events after it was left."""
        is_far_behind = self.lasting and events > _EVENTS_KEPT_BEHIND
        return is_outgrown(view) or (is_far_behind and time.monotonic() >= self._again_at_s)


def is_outgrown(view: GenerationView) -> bool:
    """Return whether much of a view is not as it was shared, if it ever was: that is in this process alone."""
    return len(view.filter) - view.filter.untouched > _much(view)


def _much(view: GenerationView) -> int:
    return max(_LEAST, len(view.filter) // _SHARE)


def _events_seen(path: Path) -> int:
    return int(path.stem.split("-")[1])


def _checksum_in_name(path: Path) -> str | None:
    """Return what ends the name of a file that is whole; None for one that is empty, or gone."""
    try:
        return f"{checksum_of(path):08x}"
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None
