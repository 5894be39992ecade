"""The folder in which processes that work on one index leave a view of its generation for one another."""

import contextlib
import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neardup.index.base import IndexMeta
from neardup.index.cache import CellReader
from neardup.index.shared.mapped import open_mapped, write_mapped
from neardup.index.stored.scripts import Position
from neardup.index.view import GenerationView

_LEAST, _SHARE = 4096, 8
"""Sketches, and of all one in so many: when more have moved, they are shared again, which costs a copy of all."""


@dataclass(frozen=True, slots=True)
class SharedView:
    """A view, and what it is a view of.

    Attributes
    ----------
    meta
        Of the generation.
    position
        The events after it are still to be followed; some of them may be known to the view.
    """

    meta: IndexMeta
    position: Position
    view: GenerationView


class SharedViews:
    """The newest view that any of the processes has left, in a folder of theirs.

    A file is written under another name first, so none is seen half-written. One that is no longer needed is
    removed; those who have mapped it keep its memory until they let go of it.

    Parameters
    ----------
    folder
        From `neardup.index.shared.folder.folder_in_memory`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process is here: who comes first reads the index for all. Death ends it, too."""
        with (self._folder / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def newest(self, meta: IndexMeta, read: CellReader, after: int = -1) -> SharedView | None:
        """Return a view of a generation that has seen more events than `after`; None without one.

        It reads cells with `read`.
        """
        for path in self._folder.glob(f"{meta.generation}-*.view"):
            if _events_seen(path) > after:
                found: SharedView = open_mapped(path, read)
                found.view.filter.untouched = len(found.view.filter)
                # A number is given again where somebody has emptied the database.
                return found if found.meta == meta else None
        return None

    def put(self, shared: SharedView, read: CellReader) -> None:
        """Leave a view for all, which reads cells with `read` here, in the place of the one before; only while `alone`.

        Raises
        ------
        OSError
            There is no room for it.
        """
        _make_room(shared.view)
        earlier = [*self._folder.glob("*.view"), *self._folder.glob("*.part")]
        part = self._folder / f"{shared.meta.generation}-{shared.position.seen}.part"
        try:
            with part.open("wb") as file:
                write_mapped(file, shared, read)
            part.rename(part.with_suffix(".view"))
        except OSError:
            part.unlink(missing_ok=True)
            raise
        for path in earlier:
            if path != part.with_suffix(".view"):
                path.unlink(missing_ok=True)


def is_outgrown(view: GenerationView) -> bool:
    """Return whether much of a view is not as it was shared, if it ever was: that is in this process alone."""
    return len(view.filter) - view.filter.untouched > _much(view)


def _make_room(view: GenerationView) -> None:
    """Make room for what comes until it is much: to find some then would move all sketches."""
    none = view.sketch(np.empty((0, view.tree.roots.dimension), dtype=np.float16))
    view.filter.add(none, np.empty(0, dtype=np.int32), len(view.filter) + 2 * _much(view))


def _much(view: GenerationView) -> int:
    return max(_LEAST, len(view.filter) // _SHARE)


def _events_seen(path: Path) -> int:
    return int(path.stem.partition("-")[2])
