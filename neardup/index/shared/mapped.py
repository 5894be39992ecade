"""Objects in a file whose arrays are mapped, not read: processes that open it share them until they write to them."""

import io
import mmap
import pickle
import struct
import zlib
from array import array
from pathlib import Path
from typing import IO, Any

_ALIGNED = 64
"""Bytes between which an array begins: what the processor loads at once."""
_COUNT = struct.Struct("<Q")


class _Pickler(pickle.Pickler):
    def __init__(self, own: object) -> None:
        self.arrays: list[pickle.PickleBuffer] = []
        self.pickled = io.BytesIO()
        self._own = own
        super().__init__(self.pickled, 5, buffer_callback=self.arrays.append)

    def persistent_id(self, thing: object) -> str | None:
        return "own" if thing is self._own else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, pickled: memoryview, arrays: list[memoryview], own: object) -> None:
        super().__init__(io.BytesIO(pickled), buffers=arrays)
        self._own = own

    def persistent_load(self, _: str) -> object:
        return self._own


def write_mapped(file: IO[bytes], thing: object, own: object) -> int:
    """Write a picklable object, the numbers of its numpy arrays apart; return the checksum of all of it.

    The file holds how many parts there are, their sizes, each as u64, and the parts: the pickle and the arrays.

    Parameters
    ----------
    file
        What to write to.
    thing
        The object.
    own
        A part of it that is not written: whoever opens the file has another in its place.
    """
    pickler = _Pickler(own)
    pickler.dump(thing)
    parts = [pickler.pickled.getbuffer(), *(each.raw() for each in pickler.arrays)]
    sizes = array("Q", map(len, parts))
    all_parts: list[bytes | memoryview] = [_COUNT.pack(len(sizes)) + sizes.tobytes(), *parts]
    end = checksum = 0
    for part in all_parts:
        pieces: tuple[bytes | memoryview, ...] = (bytes(-end % _ALIGNED), part)
        for piece in pieces:
            file.write(piece)
            end, checksum = end + len(piece), zlib.crc32(piece, checksum)
    return checksum


def checksum_of(path: Path) -> int:
    """Return the checksum of a file, as `write_mapped` does."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        return zlib.crc32(memory)


def open_mapped(path: Path, own: object) -> Any:  # noqa: ANN401 - whatever was written
    """Return the object in a file of `write_mapped`, with what this process has for that part of it.

    Its arrays can be written to; what is written is this process's own, page by page. Reading a pickle can do anything:
    the file has to be one that this program wrote.
    """
    with path.open("rb") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    (count,) = _COUNT.unpack_from(memory)
    end = _COUNT.size * (1 + count)
    parts = []
    for size in memory[_COUNT.size : end].cast("Q"):
        start = end + -end % _ALIGNED
        end = start + size
        parts.append(memory[start:end])
    return _Unpickler(parts[0], parts[1:], own).load()
