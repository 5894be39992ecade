"""Video clips made on the spot, sound and damaged; a frame shows its number. Needs PyAV."""

import struct
from collections.abc import Container, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import av
import numpy as np

from neardup.types import Pixels

SIZE = (96, 64)
RATE = 10
GROUP = 10
"""Frames from one key frame to the next."""
STEADY = {"g": str(GROUP), "bf": "0", "sc_threshold": "0", "threads": "1"}
REORDERED = {**STEADY, "bf": "2"}
TS_PACKET = 188


def numbered(number: int) -> Pixels:
    """Return a picture of a hill of light that wanders from frame to frame, over a ground that gets brighter."""
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    hill = 120.0 * np.exp(-(((x - 7 * number % SIZE[0]) / 14) ** 2) - ((y - 11 * number % SIZE[1]) / 14) ** 2)
    grey = np.clip(20 + 3 * (number % 40) + hill, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def film(
    path: Path,
    pictures: Iterable[Pixels],
    *,
    codec: str = "libx264",
    container: str | None = None,
    options: dict[str, str] = STEADY,
    muxing: dict[str, str] | None = None,
    start: int = 0,
    streams: int = 1,
    lost: Container[int] = (),
) -> bytes:
    """Write a clip of `RATE` frames a second, each of its streams the same, and return its bytes.

    Parameters
    ----------
    start
        Time of the first frame, in frames.
    lost
        Packets that are not written, by their number in the order of decoding.
    """
    with av.open(str(path), "w", format=container, options=muxing or {}) as output:
        tracks = [output.add_stream(codec, rate=RATE) for _ in range(streams)]
        for track in tracks:
            track.width, track.height, track.pix_fmt = *SIZE, "yuv420p"
            track.options = dict(options)
        numbers = {track.index: count() for track in tracks}
        for packet in _packets(pictures, tracks):
            later = round(Fraction(start, RATE) / packet.time_base)
            packet.pts, packet.dts = packet.pts + later, packet.dts + later
            if next(numbers[packet.stream.index]) not in lost:
                output.mux(packet)
    return path.read_bytes()


def _packets(pictures: Iterable[Pixels], tracks: Sequence[Any]) -> Iterator[Any]:
    frames = [_frame(picture, number) for number, picture in enumerate(pictures)]
    for frame in [*frames, None]:
        for track in tracks:
            for packet in track.encode(frame):
                packet.stream = track
                yield packet


def _frame(picture: Pixels, number: int) -> Any:  # noqa: ANN401 - PyAV has its own types, not for mypy
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    frame.pts, frame.time_base = number, Fraction(1, RATE)
    return frame


def without_packets(stream: bytes, first: int, count: int) -> bytes:
    """Return a transport stream without some of its packets."""
    return stream[: first * TS_PACKET] + stream[(first + count) * TS_PACKET :]


def with_hole(data: bytes, at: float, size: int) -> bytes:
    """Return a file with zeros, from a part of its length on."""
    start = int(at * len(data))
    return data[:start] + bytes(size) + data[start + size :]


def shown_by(data: bytes, matrix: Sequence[int]) -> bytes:
    """Return an MP4 that is to be shown by a matrix: its a, b, c and d, each -1, 0 or 1."""
    a, b, c, d = (65536 * number for number in matrix)
    at = data.index(b"tkhd") + 44
    return data[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + data[at + 36 :]


def with_cover(data: bytes, jpeg: bytes, *, first: bool) -> bytes:
    """Return an MP4, whose `moov` comes last, with a cover picture as its first or its last video stream."""
    handler = _box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    cover = _box(b"covr", _box(b"data", struct.pack(">II", 13, 0) + jpeg))
    told = _box(b"udta", _box(b"meta", bytes(4) + handler + _box(b"ilst", cover)))
    before, moov = data[: data.rindex(b"moov") - 4], data[data.rindex(b"moov") + 4 :]
    parts = [part for part in _boxes(moov) if part[4:8] != b"udta"]
    parts.insert(1 if first else len(parts), told)
    return before + _box(b"moov", b"".join(parts))


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _boxes(data: bytes) -> Iterable[bytes]:
    at = 0
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        yield data[at : at + size]
        at += size
