"""Many events of a log at once: read by numpy where they only append, which nearly all of them do."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from neardup.index.stored.events import Event, Rewritten, Split, decode_event
from neardup.index.stored.records import Records, read_records
from neardup.relation.kept import Parts
from neardup.types import Descriptors

_APPENDED = np.dtype([("kind", "S1"), ("cell", "<u4"), ("root", "<u4"), ("place", "<u4")])
_BEFORE_RECORD = _APPENDED.itemsize


class LogEvents:
    """Events in the order of the log.

    Whoever follows members reads the `appended` ones in bulk, between the others (`steps`). One by one, by iterating,
    costs some ten times as much.

    Parameters
    ----------
    stored
        As they are in the log, see `neardup.index.stored.events`.

    Raises
    ------
    CorruptIndex
        One of them is no event.
    """

    def __init__(self, stored: Sequence[bytes]) -> None:
        self.stored = stored
        self._others = [(at, decode_event(event)) for at, event in enumerate(stored) if event[:1] != b"A"]
        self._appended = [event for event in stored if event[:1] == b"A"] if self._others else stored
        heads = b"".join([event[:_BEFORE_RECORD] for event in self._appended])
        if len(heads) != _BEFORE_RECORD * len(self._appended):
            for event in self._appended:
                decode_event(event)
        self._heads = np.frombuffer(heads, dtype=_APPENDED)
        self._read: tuple[int, Parts, Records, Descriptors] | None = None

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.stored)

    def __iter__(self) -> Iterator[Event]:
        """Iterate over the events one by one."""
        return map(decode_event, self.stored)

    @property
    def only_append(self) -> bool:
        """Whether nothing else happened."""
        return not self._others

    @cached_property
    def cells(self) -> NDArray[np.intp]:
        """Of each appended member the cell, intp (n,)."""
        return self._heads["cell"].astype(np.intp)

    @cached_property
    def places(self) -> NDArray[np.intp]:
        """Of each appended member its place in the cell, intp (n,)."""
        return self._heads["place"].astype(np.intp)

    @cached_property
    def stored_records(self) -> list[bytes]:
        """Of each appended member the record, as it is stored."""
        return [event[_BEFORE_RECORD:] for event in self._appended]

    def records(self, dimension: int, parts: Parts) -> tuple[Records, Descriptors]:
        """Return the appended members' records and their descriptors, float16 (n, d), as `read_records` does."""
        if self._read is None or self._read[:2] != (dimension, parts):
            self._read = (dimension, parts, *read_records(self.stored_records, dimension, parts))
        return self._read[2:]

    def steps(self) -> Iterator[slice | Split | Rewritten]:
        """Iterate over what happened: runs of appended members, numbered from 0 on, and what came between them."""
        first = 0
        for before, (at, event) in enumerate(self._others):
            if at - before > first:
                yield slice(first, at - before)
            first = at - before
            if not isinstance(event, Split | Rewritten):
                raise TypeError(event)
            yield event
        if first < len(self._appended):
            yield slice(first, len(self._appended))
