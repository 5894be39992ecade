"""Lists on standard input: of a file, or of a pipe that somebody still writes to."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consumer.backfill.lists import PipedList
from consumer.backfill.manifests import Columns
from consumer.backfill.piped import PipedLines


@contextmanager
def piped_list(file: Path, stop: threading.Event | None = None) -> Iterator[PipedList]:
    """Have a file, or a named pipe, as standard input."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    try:
        yield PipedList(PipedLines(descriptor, stop or threading.Event()), Columns())
    finally:
        os.close(descriptor)
