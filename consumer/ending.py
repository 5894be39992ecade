"""How the service ends: on which signals, and with which exit code."""

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from neardup.errors import Misconfigured

EXIT_SHUTDOWN_TIMEOUT = 1
EXIT_UNEXPECTED = 3
CONSUMER, SERVE, FOLDER, FEED, BACKFILL = "consumer", "serve", "folder", "feed", "backfill"
_AFTERWARDS = {
    CONSUMER: "will be delivered again",
    SERVE: "gets no answer",
    FOLDER: "is judged by the next run",
    FEED: "may not have been published",
    BACKFILL: "is published by the next start",
}
"""What becomes of what was in hand, by program."""
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def stopped_by_signals(stop: threading.Event, name: str = CONSUMER) -> Iterator[None]:
    """Set `stop` on the first SIGTERM or SIGINT, and exit at once on the second; `name` is that of the program.

    Exiting at once is like a crash, and recovered from in the same way.
    """
    # A handler interrupts the main thread anywhere, also while it holds the lock of the log or of `stop`. So a thread
    # does both; putting into this queue is safe anywhere.
    numbers: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    noted = False

    def note(number: int, _frame: object) -> None:
        nonlocal noted
        if noted or stop.is_set():
            # Not by an exception: a busy thread or a server that is away could delay it.
            again = f"{name}: {signal.Signals(number).name} again: exiting now, what is in hand {_AFTERWARDS[name]}\n"
            os.write(2, again.encode())
            os._exit(128 + number)
        noted = True
        numbers.put(number)

    def act_on_signal() -> None:
        if number := numbers.get():
            stop.set()
            _log.info("%s: finishing what is in hand", signal.Signals(number).name)

    acting = threading.Thread(target=act_on_signal, name="signals", daemon=True)
    acting.start()
    earlier = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        numbers.put(None)
        acting.join()


def logged(work: Callable[[], int | None], log_level: str, worker: int | None = None, name: str = CONSUMER) -> int:
    """Set up the log of this process, work, and return the exit code; `name` is that of the program.

    Raises
    ------
    Misconfigured
        From the work: whoever calls says it.
    """
    from consumer.logs import configure_logging  # noqa: PLC0415 - --help must not wait for it

    configure_logging(log_level, worker=worker)
    prefix = f"{name}: " if worker is None else f"{name}: worker {worker}: "
    try:
        return work() or 0
    except Misconfigured:
        raise
    except Exception as error:
        from consumer.loop import ShutdownTimeout  # noqa: PLC0415 - as above

        if isinstance(error, ShutdownTimeout):
            sys.stderr.write(f"{prefix}{error}\n")
            return EXIT_SHUTDOWN_TIMEOUT
        # A bug, ours or a library's: the traceback is in the log, and the last line sums it up.
        logging.getLogger(__name__).exception("unexpected error")
        sys.stderr.write(
            f"{prefix}unexpected error, {type(error).__name__}: {error}; what was not committed {_AFTERWARDS[name]}\n"
        )
        return EXIT_UNEXPECTED
