"""Many members' records at once: one behind the other in one buffer, checked and read by numpy, not one by one.

`neardup.index.stored.codec` has the layout of a record, and says what is wrong with one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from neardup.index.stored.codec import KEPT_BYTES, RECORD_VERSION, required_kept, split_record
from neardup.relation.kept import Parts
from neardup.types import Descriptors, Kept

_HEADER = np.dtype([("version", "u1"), ("kind", "u1"), ("key_bytes", "<u2"), ("id_bytes", "<u2"), ("ms", "<i8")])
_KIND_AT = 1
_NEVER = -(1 << 48)
"""Bytes kept in a record of unknown kind: no size of a record makes that good."""
_BYTES_OF_KIND = np.array([KEPT_BYTES.get(kind, _NEVER) for kind in range(256)], dtype=np.intp)
_EXPONENT = np.uint16(0x7C00)
"""All these bits are set in a float16 number that is none or infinite, and in no other."""
_OVERHEAD_BYTES = 500
"""Of the objects that hold records, approximately."""

Rows = NDArray[np.integer] | slice
ALL = slice(None)


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one dimension, all of them valid.

    Attributes
    ----------
    data
        uint8 (b,): their bytes.
    starts
        intp (n + 1,): record i has the bytes from ``starts[i]`` to before ``starts[i + 1]``.
    numbers
        intp (n,): where its descriptor begins.
    dimension
        Length of a descriptor.
    """

    data: NDArray[np.uint8]
    starts: NDArray[np.intp]
    numbers: NDArray[np.intp]
    dimension: int

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.numbers)

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes, about."""
        return self.data.nbytes + self.starts.nbytes + self.numbers.nbytes + _OVERHEAD_BYTES

    def descriptors(self, rows: Rows = ALL) -> Descriptors:
        """Return the descriptors of some records, float16 (n, d)."""
        return _numbers_at(self.data, self.numbers[rows], self.dimension)

    def descriptor_bytes(self, row: int) -> NDArray[np.uint8]:
        """Return the descriptor of one record as it is stored, uint8 (2 d,), a view; `descriptors_of` reads many."""
        start = self.numbers[row]
        return self.data[start : start + 2 * self.dimension]

    def kept(self, parts: Parts, rows: Rows = ALL) -> Kept:
        """Return these parts, which every record has, of what is kept of some records besides, uint8 (n, b)."""
        kinds = self.data[self.starts[:-1][rows] + _KIND_AT]
        return _gathered(
            self.data, self.numbers[rows] + 2 * self.dimension + _before(parts)[kinds], parts.stored_nbytes
        )

    def head(self, row: int) -> bytes:
        """Return one record up to its descriptor, as `split_record` does."""
        return self.data[self.starts[row] : self.numbers[row]].tobytes()

    def heads(self) -> list[bytes]:
        """Return those of all records."""
        data = self.data.tobytes()
        return [data[start:end] for start, end in zip(self.starts.tolist(), self.numbers.tolist(), strict=False)]

    def part(self, first: int, end: int) -> "Records":
        """Return a copy of the records from `first` to before `end`."""
        start = self.starts[first]
        data = self.data[start : self.starts[end]].copy()
        return Records(data, self.starts[first : end + 1] - start, self.numbers[first:end] - start, self.dimension)

    def taken(self, rows: NDArray[np.intp]) -> "Records":
        """Return a copy of some records, in the order given."""
        data, starts = self.data.tobytes(), self.starts.tolist()
        taken = [data[starts[row] : starts[row + 1]] for row in rows.tolist()]
        return _in_a_row(taken, (self.numbers - self.starts[:-1])[rows], self.dimension)


def descriptors_of(stored: Sequence[NDArray[np.uint8]], dimension: int) -> Descriptors:
    """Return descriptors as they are stored, as float16 (n, d)."""
    numbers = np.concatenate([np.empty(0, dtype=np.uint8), *stored]).view("<f2")
    return numbers.reshape(-1, dimension).astype(np.float16, copy=False)


def joined(several: Sequence[Records]) -> Records:
    """Return the records of several, at least one, one behind the other."""
    firsts = np.cumsum([0, *(len(each.data) for each in several)])
    starts = [each.starts[:-1] + first for each, first in zip(several, firsts, strict=False)]
    numbers = [each.numbers + first for each, first in zip(several, firsts, strict=False)]
    data = np.concatenate([each.data for each in several])
    return Records(data, np.concatenate([*starts, firsts[-1:]]), np.concatenate(numbers), several[0].dimension)


def read_records(records: Sequence[bytes], dimension: int, parts: Parts = Parts.NOTHING) -> tuple[Records, Descriptors]:
    """Read many records at once, as `split_record` and `required_kept` read each.

    Returns
    -------
    Records
        As views of one buffer: a `Records.part` of it holds on to nothing else.
    ndarray
        Their descriptors, float16 (n, d).

    Raises
    ------
    CorruptIndex
        What these two say of the first that they refuse.
    """
    read, header = _read_headers(records, dimension)
    if len(header) < len(records):
        _refuse(records, dimension, parts)
    valid = (header["version"] == RECORD_VERSION) & (header["kind"] & int(parts) == parts)
    valid &= read.numbers + 2 * dimension + _BYTES_OF_KIND[header["kind"]] == read.starts[1:]
    if not valid.all():
        _refuse(records, dimension, parts)
    descriptors = read.descriptors()
    if (descriptors.view(np.uint16) & _EXPONENT == _EXPONENT).any():
        _refuse(records, dimension, parts)
    return read, descriptors


def read_again(records: Sequence[bytes], dimension: int) -> Records:
    """Read records that were valid before; checks nothing."""
    return _read_headers(records, dimension)[0]


def _read_headers(records: Sequence[bytes], dimension: int) -> tuple[Records, NDArray[np.void]]:
    """Put records together; return them with their headers, or with none where one is too short to have one."""
    read = _in_a_row(records, 0, dimension)
    if np.diff(read.starts).min(initial=_HEADER.itemsize) < _HEADER.itemsize:
        return read, np.empty(0, dtype=_HEADER)
    header = _gathered(read.data, read.starts[:-1], _HEADER.itemsize).view(_HEADER)[:, 0]
    read.numbers[:] += _HEADER.itemsize + header["key_bytes"].astype(np.intp) + header["id_bytes"]
    return read, header


def _refuse(records: Sequence[bytes], dimension: int, parts: Parts) -> NoReturn:
    for record in records:
        split_record(record, dimension)
        required_kept(record, parts)
    raise AssertionError("records that are valid one by one were refused")


def _in_a_row(records: Sequence[bytes], heads: NDArray[np.intp] | int, dimension: int) -> Records:
    """Put records together, whose descriptors begin after so many bytes each."""
    starts = np.zeros(len(records) + 1, dtype=np.intp)
    np.cumsum(np.fromiter(map(len, records), dtype=np.intp, count=len(records)), out=starts[1:])
    return Records(np.frombuffer(b"".join(records), dtype=np.uint8), starts, starts[:-1] + heads, dimension)


def _gathered(data: NDArray[np.uint8], at: NDArray[np.intp], nbytes: int) -> NDArray[np.uint8]:
    """Return the bytes that begin at each place, uint8 (n, nbytes)."""
    if not len(at) or not nbytes:
        return np.empty((len(at), nbytes), dtype=np.uint8)
    if len(at) == 1:
        return data[at[0] : at[0] + nbytes][np.newaxis]
    # As items of so many bytes, each a byte after the one before: numpy copies an item at once.
    items: NDArray[np.void] = np.ndarray((len(data) - nbytes + 1,), f"V{nbytes}", data, strides=(1,))
    return items[at].view(np.uint8).reshape(len(at), nbytes)


def _numbers_at(data: NDArray[np.uint8], at: NDArray[np.intp], dimension: int) -> Descriptors:
    return _gathered(data, at, 2 * dimension).view("<f2").astype(np.float16, copy=False)


@cache
def _before(parts: Parts) -> NDArray[np.intp]:
    """Return for each kind of record how many bytes are kept in it before these parts."""
    first = min(parts, default=Parts.NOTHING)
    return np.array([sum(KEPT_BYTES[part] for part in Parts(kind) if part < first) for kind in sorted(KEPT_BYTES)])
