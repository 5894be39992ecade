"""Many events of a log at once: read by numpy where they only append, which nearly all of them do."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import compress
from typing import cast

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
        heads = b"".join([event[:_BEFORE_RECORD] for event in stored])
        if len(heads) != _BEFORE_RECORD * len(stored):
            for event in stored:
                if len(event) < _BEFORE_RECORD:
                    decode_event(event)  # only a cell that was rewritten, without a key, is told so shortly
            heads = b"".join([event[:_BEFORE_RECORD].ljust(_BEFORE_RECORD) for event in stored])
        self._appended, self._heads = stored, np.frombuffer(heads, dtype=_APPENDED)
        appends = self._heads["kind"] == b"A"
        others = np.flatnonzero(~appends).tolist()
        self._others = [(at, cast("Split | Rewritten", decode_event(stored[at]))) for at in others]
        if others:
            self._appended, self._heads = [*compress(stored, appends)], self._heads[appends]
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

    def steps(self) -> Iterator[NDArray[np.intp] | Split | Rewritten]:
        """Iterate over what happened: appended members, intp (n,) from 0 on, and what came between them.

        To each cell it happens in the order of the log, and all splits and rewritten cells come in this order. Members
        of cells that have nothing to do with a split come before it though they were appended after: a few long steps
        cost less than many short ones.
        """
        first, splits = 0, list[Split]()
        for before, (at, event) in enumerate(self._others):
            if isinstance(event, Split):
                splits.append(event)
            else:
                yield from self._together(np.arange(first, at - before), splits)
                first, splits = at - before, []
                yield event
        yield from self._together(np.arange(first, len(self._appended)), splits)

    def _together(self, rows: NDArray[np.intp], splits: Sequence[Split]) -> Iterator[NDArray[np.intp] | Split]:
        for number, split in enumerate(splits):
            if number == 0 or split.cell >= splits[0].low:
                # A split makes the cells of the next numbers: smaller ones are there before.
                waiting = self.cells[rows] >= split.low
                if not waiting.all():
                    yield rows[~waiting]
                rows = rows[waiting]
            yield split
        if len(rows):
            yield rows
