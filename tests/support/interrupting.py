"""Interrupting folder mode in this process, at a certain verdict."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

import consumer.folder.judge
from consumer.ending import stopped_by_signals
from consumer.folder.output import Output
from tests.support.processes import DEADLINE_S


@contextmanager
def interrupted_after(lines: int) -> Iterator[None]:
    """Send SIGINT to this process once folder mode has written so many lines, and let it go on when it knows."""
    write, written, stops = Output.write, 0, list[threading.Event]()

    def noted(stop: threading.Event, name: str) -> AbstractContextManager[None]:
        stops.append(stop)
        return stopped_by_signals(stop, name)

    def write_and_signal(self: Output, message: Any) -> None:  # noqa: ANN401 - as `Output.write` has it
        nonlocal written
        write(self, message)
        written += 1
        if written == lines:
            os.kill(os.getpid(), signal.SIGINT)
            assert stops[-1].wait(DEADLINE_S)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Output, "write", write_and_signal)
        patched.setattr(consumer.folder.judge, "stopped_by_signals", noted)
        yield
