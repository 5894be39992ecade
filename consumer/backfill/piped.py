"""Standard input, whose lines may be long in coming."""

import os
import select
import threading

from consumer.backfill.entries import unreadable
from consumer.backfill.manifests import LONGEST_LINE_BYTES
from consumer.feeding.outages import Stopped

_READ_BYTES = 1 << 16
_LOOK_S = 0.2
"""How long a signal to stop waits for a line that does not come."""


class PipedLines:
    """Lines of a pipe or a file that tell whether the next one can be had at once.

    Parameters
    ----------
    descriptor
        Of a file that is open for reading.
    stop
        Ends the waiting for a line.
    """

    def __init__(self, descriptor: int, stop: threading.Event) -> None:
        self._descriptor = descriptor
        self._stop = stop
        self._read = bytearray()
        self._is_all = False

    def is_ready(self) -> bool:
        """Return whether the next line, or the end, is there; otherwise whoever wrote so far has more to do first."""
        while not self._has_line(LONGEST_LINE_BYTES) and self._comes(within_s=0.0):
            self._read_more()
        return self._has_line(LONGEST_LINE_BYTES)

    def readline(self, size: int, /) -> bytes:
        """Return at most so many bytes of a line, with its end; none at the end of the file.

        Raises
        ------
        Stopped
            While a line was waited for.
        Misconfigured, StoreUnavailable
            It cannot be read, or not now.
        """
        while not self._has_line(size):
            while not self._comes(within_s=_LOOK_S):
                if self._stop.is_set():
                    raise Stopped
            self._read_more()
        end = self._read.find(b"\n", 0, size) + 1 or size
        line = bytes(self._read[:end])
        del self._read[:end]
        return line

    def _has_line(self, size: int) -> bool:
        return self._is_all or len(self._read) >= size or b"\n" in self._read

    def _comes(self, within_s: float) -> bool:
        return bool(select.select([self._descriptor], [], [], within_s)[0])

    def _read_more(self) -> None:
        try:
            more = os.read(self._descriptor, _READ_BYTES)
        except OSError as exc:
            raise unreadable("standard input", exc) from exc
        self._read += more
        self._is_all = not more
