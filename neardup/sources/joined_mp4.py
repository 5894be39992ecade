"""MP4 files that were joined by ``cat``: FFmpeg reads the first of them alone."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_HEAD_BYTES = 8
_LARGE = 1
"""In the place of a box's size: it follows, as 64 bits."""


def recordings_in(path: str) -> list[str]:
    """Return what FFmpeg has to open to read all recordings of a file: the file itself, unless it is several MP4.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with Path(path).open("rb") as file:
        boxes = list(_boxes(file))
    starts = [at for at, kind in boxes if kind == b"ftyp"]
    # A second `ftyp` before there is a film is an oddity of one recording.
    if b"moov" not in (kind for at, kind in boxes if starts[1:] and at < starts[1]):
        return [path]
    return [f"subfile,,start,{start},end,{end},,:{path}" for start, end in zip(starts, [*starts[1:], 0], strict=True)]


def _boxes(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Iterate over the outermost boxes of an MP4, as (where it begins, kind); over none of another file."""
    file_bytes = file.seek(0, os.SEEK_END)
    at = 0
    while at + _HEAD_BYTES <= file_bytes:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(_HEAD_BYTES))
        if at == 0 and kind != b"ftyp":
            return
        yield at, kind
        if size == _LARGE:
            (size,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
        if size < _HEAD_BYTES:  # to the end, or no box
            return
        at += size
