"""SIGTERM in a command that builds a generation: it unwinds, as an interrupt does."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

EXIT_TERMINATED = 143


@contextmanager
def unwound_by_sigterm() -> Iterator[None]:
    """Make SIGTERM unwind like an interrupt, so that an unfinished generation is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals
        return
    told = False

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        nonlocal told
        del number, frame
        told = True
        raise SystemExit(EXIT_TERMINATED)

    earlier = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except SystemExit as exc:
        # A library may catch ours, and raise one with a code of its own.
        raise SystemExit(EXIT_TERMINATED if told else exc.code) from None
    finally:
        signal.signal(signal.SIGTERM, earlier)
