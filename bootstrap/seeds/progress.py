"""Progress of the job: a bar on a terminal, a log line now and then elsewhere."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

_EVERY_S = 10.0


@contextmanager
def shown_progress(what: str, total: int | None, stream: IO[str]) -> Iterator[Callable[[int], None]]:
    """Show progress in images and images per second; give the function that is told of each step.

    Parameters
    ----------
    what
        The step, such as ``describe``.
    total
        Images in all; None when unknown.
    stream
        Where a bar is drawn if it is a terminal; lines go to the log.
    """
    if stream.isatty():
        with _bar(what, total, stream) as advance:
            yield advance
    else:
        yield _Lines(what, total).advance


@contextmanager
def _bar(what: str, total: int | None, stream: IO[str]) -> Iterator[Callable[[int], None]]:
    from rich import progress  # noqa: PLC0415 - only on a terminal
    from rich.console import Console  # noqa: PLC0415

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(file=stream)) as bar:
        task = bar.add_task(what, total=total, rate="")

        def advance(images: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, advance=images, rate=f"{speed:.0f} images/s" if speed else "")

        yield advance


class _Lines:
    """Logs a line every ten seconds."""

    def __init__(self, what: str, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._of_total = f" of {total}" if total is not None else ""
        self._clock = clock
        self._began_s = self._said_s = clock()
        self._done = 0

    def advance(self, images: int) -> None:
        """Count images, and say so when it is time."""
        self._done += images
        now_s = self._clock()
        if now_s - self._said_s < _EVERY_S:
            return
        self._said_s = now_s
        rate = self._done / (now_s - self._began_s)
        logging.getLogger(__name__).info("%s: %d%s images, %.0f images/s", self._what, self._done, self._of_total, rate)
