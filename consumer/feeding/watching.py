"""A folder that grows: which files have come, and are complete.

Each look goes through the whole folder, so nothing is missed that the system does not tell of, as on network drives.
Where it does tell, the next look comes at once.
"""

import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from consumer.feeding.state import Signature
from neardup.sources.walking import walk

_UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp", ".temp")
"""What downloads are called until they are complete: one that stalls is at rest, too."""
_LOOKING = 10
"""Looks take at most one part in so many of the time, however large the folder."""

_LONGEST_WAIT_S = 0.5
"""From a signal to the end."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A file that is at rest.

    Attributes
    ----------
    path
        Below the folder.
    real
        Where it is.
    signature
        Of what is there.
    """

    path: str
    real: str
    signature: Signature


def signature_of(path: str) -> Signature | None:
    """Return what changes whenever a file does; None if it is gone, or no file."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a name, as it is
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns, found.st_ino) if stat.S_ISREG(found.st_mode) else None


class Watcher:
    """Finds the files of a folder that are complete and not known.

    Parameters
    ----------
    folder
        What is followed, as a real path.
    own
        Real paths that the feed itself writes.
    is_known
        Says whether a file with this path below the folder and this signature is done with.
    settle_s
        Seconds that a file rests before it counts as complete.
    look_every_s
        Seconds from one look to the next.
    monotonic
        Clock, in seconds.
    """

    def __init__(
        self,
        folder: str,
        own: frozenset[str],
        is_known: Callable[[str, Signature], bool],
        *,
        settle_s: float,
        look_every_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.passed_over: Counter[str] = Counter()
        self.troubles: dict[str, str] = {}
        self._folder = folder
        self._own = own
        self._is_known = is_known
        self._settle_s = settle_s
        self._look_every_s = look_every_s
        self._monotonic = monotonic
        self._resting: dict[str, tuple[str, Signature, float]] = {}
        self._look_at = self._earliest_look_at = float("-inf")
        self._told = threading.Event()

    def told(self) -> None:
        """Look as soon as that may be: something has changed."""
        self._told.set()

    def wait(self, stop: threading.Event) -> None:
        """Wait until there may be something to do."""
        due = min([self._look_at, *(since + self._settle_s for _, _, since in self._resting.values())])
        left_s = min(due - self._monotonic(), _LONGEST_WAIT_S)
        if left_s > 0 and not stop.is_set():
            self._told.wait(left_s)
            self._told_at_most_so_often(stop)

    def _told_at_most_so_often(self, stop: threading.Event) -> None:
        if self._told.is_set() and (left_s := min(self._earliest_look_at - self._monotonic(), _LONGEST_WAIT_S)) > 0:
            stop.wait(left_s)

    def arrived(self) -> list[Arrived]:
        """Return the files that have come to rest by now, by name."""
        now = self._monotonic()
        if now >= self._look_at or (self._told.is_set() and now >= self._earliest_look_at):
            self._look()
        return sorted(self._at_rest(), key=lambda each: each.path)

    def _look(self) -> None:
        self._told.clear()
        began = self._monotonic()
        self.passed_over.clear()
        troubles: dict[str, str] = {}
        seen: set[str] = set()
        for real, path in walk(self._folder, self._own, self.passed_over):
            if isinstance(real, OSError):
                troubles[path] = str(real)
            elif path.lower().endswith(_UNFINISHED):
                self.passed_over["unfinished"] += 1
            else:
                seen.add(path)
                self._note(path, real, began)
        self.troubles = troubles
        self._resting = {path: each for path, each in self._resting.items() if path in seen}
        ended = self._monotonic()
        self._earliest_look_at = ended + (ended - began) * _LOOKING
        self._look_at = max(ended + self._look_every_s, self._earliest_look_at)

    def _note(self, path: str, real: str, now: float) -> None:
        signature = signature_of(real)
        if signature is not None and path not in self._resting and not self._is_known(path, signature):
            self._resting[path] = (real, signature, now)

    def _at_rest(self) -> Iterator[Arrived]:
        now = self._monotonic()
        for path, (real, before, since) in list(self._resting.items()):
            signature = signature_of(real)
            if signature is None:
                del self._resting[path]
            elif signature != before:
                self._resting[path] = (real, signature, now)
            elif now >= since + self._settle_s:
                del self._resting[path]
                yield Arrived(path, real, signature)


def tell_of_changes(
    folder: str, told: Callable[[], object], stop: threading.Event, say: Callable[[str], object]
) -> None:
    """Call `told` whenever the system says that something in a folder has changed, until `stop`; for a thread."""
    try:
        from watchfiles import watch  # noqa: PLC0415 - an extra

        for _ in watch(Path(folder), watch_filter=None, stop_event=stop, debounce=100, rust_timeout=500, step=20):
            told()
    except ImportError:
        say("without watchfiles (pip install neardup[follow]) the folder is looked through at --look-every-s only")
    except (OSError, RuntimeError) as exc:
        say(f"the system does not tell of changes ({exc}): the folder is looked through at --look-every-s only")
