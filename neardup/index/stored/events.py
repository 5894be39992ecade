"""What happens to a generation's members, as bytes in its log.

An event, little-endian; every one begins with its kind, the cell and the root (the k-means cell that the cell is a
part of), as `commit.lua` reads them:

    'A'   cell u32, root u32, place u32, record        a member was appended to the cell at this place of it
    'S'   cell u32, root u32, split (see `Split`)      the cell was divided
    'R'   cell u32, root u32, keys                     members were removed from the cell, or put into it anew

The keys of 'R', each after its length as u16, are of members that were removed on request; there are none where members
only became too old.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from neardup.errors import CorruptIndex

PLACE = struct.Struct("<II")
_BEGIN = struct.Struct("<cII")
_APPENDED = struct.Struct("<I")
_SPLIT = struct.Struct("<IIHd")
_KEY_BYTES = struct.Struct("<H")
BEGINNING = 320
"""Bytes that tell one event from another: an appended record begins with its key, and that of a message in a topic of
249 characters ends before this."""


@dataclass(frozen=True, slots=True)
class Appended:
    """A member was appended."""

    cell: int
    root: int
    place: int
    record: bytes


@dataclass(frozen=True, slots=True)
class Split:
    """A cell was divided, for ever, where a coordinate of the sketch passes a threshold.

    Attributes
    ----------
    cell, root
        What was divided, and the k-means cell that it is a part of.
    low, high
        Cells of the members below the threshold, and of all others.
    axis, threshold
        Coordinate of the sketch, and where it is cut.
    sides
        ``L`` or ``R`` for each member of the cell, in order.
    """

    cell: int
    root: int
    low: int
    high: int
    axis: int
    threshold: float
    sides: bytes


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The members of a cell are others than before.

    Attributes
    ----------
    cell, root
        The cell, and the k-means cell that it is a part of.
    removed
        Keys of members that were removed on request: no later generation may carry them over.
    """

    cell: int
    root: int
    removed: tuple[bytes, ...] = ()


Event = Appended | Split | Rewritten


def encode_appended(appended: Appended) -> bytes:
    """Return the event of an appended member, as the scripts write it."""
    return _BEGIN.pack(b"A", appended.cell, appended.root) + _APPENDED.pack(appended.place) + appended.record


def encode_split(split: Split) -> bytes:
    """Return the event of a split."""
    body = _SPLIT.pack(split.low, split.high, split.axis, split.threshold)
    return _BEGIN.pack(b"S", split.cell, split.root) + body + split.sides


def encode_rewritten(rewritten: Rewritten) -> bytes:
    """Return the event of a rewritten cell."""
    keys = b"".join(_KEY_BYTES.pack(len(key)) + key for key in rewritten.removed)
    return _BEGIN.pack(b"R", rewritten.cell, rewritten.root) + keys


def decode_event(event: bytes) -> Event:
    """Read an event.

    Raises
    ------
    CorruptIndex
        It is none.
    """
    try:
        kind, cell, root = _BEGIN.unpack_from(event)
        if kind == b"A":
            (place,) = _APPENDED.unpack_from(event, _BEGIN.size)
            return Appended(cell, root, place, event[_BEGIN.size + _APPENDED.size :])
        if kind == b"S":
            low, high, axis, threshold = _SPLIT.unpack_from(event, _BEGIN.size)
            return Split(cell, root, low, high, axis, threshold, event[_BEGIN.size + _SPLIT.size :])
        if kind == b"R":
            return Rewritten(cell, root, tuple(_keys_in(event, _BEGIN.size)))
    except struct.error as exc:
        raise CorruptIndex(f"an event of the log is cut short: {event[:32]!r}") from exc
    raise CorruptIndex(f"not an event of the log: {event[:32]!r}")


def _keys_in(event: bytes, start: int) -> Iterator[bytes]:
    while start < len(event):
        (size,) = _KEY_BYTES.unpack_from(event, start)
        start += _KEY_BYTES.size + size
        if start > len(event):
            raise CorruptIndex(f"an event of the log is cut short: {event[:32]!r}")
        yield event[start - size : start]
