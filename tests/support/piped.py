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
    """Have a file as standard input, or a named pipe that is open for writing."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        yield PipedList(PipedLines(descriptor, stop or threading.Event()), Columns())
    finally:
        os.close(descriptor)
