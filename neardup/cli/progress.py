"""Progress of a command on standard error: one line, renewed on a terminal, written now and then elsewhere."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import IO

_FIRST_RENEWED_S, _RENEWED_EVERY_S = 1.0, 0.2
"""A command that is done in no time shows nothing."""
_WRITTEN_EVERY_S = 10.0
_USUAL_COLUMNS = 80
_MINUTE_S, _HOUR_S = 60, 3600
_SHOWN_FROM = 2
"""Minutes and hours, below which the smaller unit says more."""
_ROUNDED = 10

Advance = Callable[[int], object]
"""Is told how many things were done since the last call."""
Shown = Callable[[str, int | None, str], AbstractContextManager[Advance]]
"""Shows the progress of a step: what it is, how many things there are, what they are called; see `shown_progress`."""


@contextmanager
def shown_progress(
    what: str,
    total: int | None = None,
    unit: str = "images",
    *,
    stream: IO[str] | None = None,
    write: Callable[[str], object] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Advance]:
    """Show the progress of a step while the block lasts; give the function that is told of it.

    Parameters
    ----------
    what
        The step, such as ``describe``.
    total
        How many things there are in all; None when unknown.
    unit
        What is counted.
    stream
        Where to show it; standard error when None. Only a terminal gets a line that is renewed.
    write
        Writes a line where the stream is no terminal; None writes it to the stream.
    clock
        Seconds.
    """
    stream = stream or sys.stderr
    progress = _Progress(what, total, unit, clock)
    if not stream.isatty():
        yield progress.told_by(write or (lambda text: stream.write(f"{text}\n")), _WRITTEN_EVERY_S, _WRITTEN_EVERY_S)
        return
    line = _Line(stream)
    with _logged_without(line):
        yield progress.told_by(line.renew, _FIRST_RENEWED_S, _RENEWED_EVERY_S)


def not_shown(what: str, total: int | None, unit: str) -> AbstractContextManager[Advance]:
    """Show nothing."""
    del what, total, unit
    return nullcontext(lambda _: None)


class _Progress:
    """Counts, and says in words how far it is."""

    def __init__(self, what: str, total: int | None, unit: str, clock: Callable[[], float]) -> None:
        self._what = what
        self._total = total
        self._unit = unit
        self._clock = clock
        self._began_s = clock()
        self._done = 0

    def told_by(self, tell: Callable[[str], object], first_s: float, every_s: float) -> Advance:
        """Return a function that counts, and tells when it is time."""
        due_s = self._began_s + first_s

        def advance(count: int) -> None:
            nonlocal due_s
            self._done += count
            now_s = self._clock()
            if now_s >= due_s:
                due_s = now_s + every_s
                tell(self._text(now_s - self._began_s))

        return advance

    def _text(self, elapsed_s: float) -> str:
        rate = self._done / elapsed_s
        of_total = "" if self._total is None else f" of {self._total}"
        shown_rate = f"{rate:.0f}" if rate >= _ROUNDED else f"{rate:.1f}"
        text = f"{self._what}: {self._done}{of_total} {self._unit}, {shown_rate} {self._unit}/s"
        left = max(0, (self._total or 0) - self._done)
        return f"{text}, {_duration(left / rate)} left" if left and rate else text


def _duration(seconds: float) -> str:
    if seconds < _SHOWN_FROM * _MINUTE_S:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE_S:.0f} min" if seconds < _SHOWN_FROM * _HOUR_S else f"{seconds / _HOUR_S:.1f} h"


class _Line:
    """The last line of a terminal. It leaves the cursor at its beginning, so whatever else is written replaces it."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._shown = 0

    def renew(self, text: str) -> None:
        """Show a text in the place of the one before."""
        text = text[: self._columns() - 1]
        self._write(text + " " * (self._shown - len(text)))
        self._shown = len(text)

    def clear(self) -> None:
        """Show nothing."""
        if self._shown:
            self._write(" " * self._shown)
            self._shown = 0

    def _write(self, text: str) -> None:
        self._stream.write(f"\r{text}\r")
        self._stream.flush()

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _USUAL_COLUMNS
        except (OSError, ValueError):
            return _USUAL_COLUMNS


@contextmanager
def _logged_without(line: _Line) -> Iterator[None]:
    """Clear the line before each line of the log, and at the end."""

    def cleared(_record: logging.LogRecord) -> bool:
        line.clear()
        return True

    handlers = list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(cleared)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(cleared)
        line.clear()
