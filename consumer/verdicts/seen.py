"""Which messages have had their verdict already: after a crash, at-least-once tells some of them again."""

from array import array
from collections.abc import Hashable

_PAGE_BITS = 16
_MARKS = (1 << 32) - 1


class Seen:
    """The messages of partitions, known by offset and time: a million whose offsets lie close take four megabytes.

    A topic that was made anew has other messages at the same offsets. Their times tell.
    """

    def __init__(self) -> None:
        self._pages: dict[tuple[Hashable, int], array[int]] = {}

    def add(self, partition: Hashable, offset: int, timestamp_ms: int) -> bool:
        """Add a message; return whether it is new."""
        key = partition, offset >> _PAGE_BITS
        page = self._pages.get(key)
        if page is None:
            page = self._pages[key] = array("I", bytes(array("I").itemsize << _PAGE_BITS))
        at, mark = offset & ((1 << _PAGE_BITS) - 1), timestamp_ms % _MARKS + 1
        is_new = page[at] != mark
        page[at] = mark
        return is_new
