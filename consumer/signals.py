"""What SIGTERM and SIGINT do to the service."""

import contextlib
import logging
import os
import queue
import signal
import threading
from collections.abc import Iterator

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Set `stop` on the first SIGTERM or SIGINT, and exit at once on the second.

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
            name = signal.Signals(number).name
            os.write(2, f"consumer: {name} again: exiting now, what is in hand will be delivered again\n".encode())
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
