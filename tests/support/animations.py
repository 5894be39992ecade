"""Animations as Pillow does not write them: cropped frames, each way of clearing up, pictures that are not shown."""

import io
import struct
import zlib
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Frame:
    """A frame: its picture, where it lies, and the number by which its format says what happens to its place after."""

    image: Image.Image
    left: int = 0
    top: int = 0
    after: int = 0
    duration_ms: int = 100


def _encoded(image: Image.Image, image_format: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, lossless=True)
    return buffer.getvalue()


def gif(size: tuple[int, int], frames: list[Frame]) -> bytes:
    """Return a GIF; a frame has its own palette, and `after` is its disposal method."""
    return b"".join([b"GIF89a", struct.pack("<2H3B", *size, 0, 0, 0), *map(_gif_frame, frames), b";"])


def _gif_frame(frame: Frame) -> bytes:
    alone = _encoded(frame.image.convert("P", palette=Image.Palette.ADAPTIVE), "GIF")
    flags = alone[10]
    behind_palette = 13 + (3 << (flags & 7) + 1)
    assert alone[behind_palette : behind_palette + 1] == b","
    control = b"!\xf9\x04" + struct.pack("<BHBB", frame.after << 2, frame.duration_ms // 10, 0, 0)
    interlaced = alone[behind_palette + 9] & 0x40
    place = struct.pack("<4HB", frame.left, frame.top, *frame.image.size, 0x80 | interlaced | flags & 7)
    return control + b"," + place + alone[13:behind_palette] + alone[behind_palette + 10 : -1]


def png(size: tuple[int, int], frames: list[Frame], not_shown: Image.Image | None = None) -> bytes:
    """Return an animated PNG of RGB frames; `after` is the disposal, and `not_shown` for viewers without animation."""
    head = _chunk(b"IHDR", struct.pack(">2I5B", *size, 8, 2, 0, 0, 0)) + _chunk(
        b"acTL", struct.pack(">2I", len(frames), 0)
    )
    pieces = [] if not_shown is None else [_chunk(b"IDAT", _png_pixels(not_shown))]
    number = 0
    for frame in frames:
        place = struct.pack(">4I", *frame.image.size, frame.left, frame.top)
        delay = struct.pack(">2H2B", frame.duration_ms, 1000, frame.after, 0)
        pieces.append(_chunk(b"fcTL", struct.pack(">I", number) + place + delay))
        number += 1
        if not pieces[:-1]:
            pieces.append(_chunk(b"IDAT", _png_pixels(frame.image)))
            continue
        pieces.append(_chunk(b"fdAT", struct.pack(">I", number) + _png_pixels(frame.image)))
        number += 1
    return b"".join([b"\x89PNG\r\n\x1a\n", head, *pieces, _chunk(b"IEND", b"")])


def _png_pixels(image: Image.Image) -> bytes:
    rows = image.convert("RGB").tobytes()
    row = 3 * image.width
    return zlib.compress(b"".join(b"\0" + rows[start : start + row] for start in range(0, len(rows), row)))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def webp(size: tuple[int, int], frames: list[Frame]) -> bytes:
    """Return an animated WebP that says it has no alpha; `after` is 1 where a frame's place is cleared."""
    chunks = _riff(b"VP8X", struct.pack("<I", 2) + _three(size[0] - 1) + _three(size[1] - 1))
    chunks += _riff(b"ANIM", bytes(6)) + b"".join(_riff(b"ANMF", _webp_frame(frame)) for frame in frames)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _webp_frame(frame: Frame) -> bytes:
    width, height = frame.image.size
    numbers = (frame.left // 2, frame.top // 2, width - 1, height - 1, frame.duration_ms)
    return b"".join(map(_three, numbers)) + bytes([frame.after]) + _encoded(frame.image.convert("RGB"), "WEBP")[12:]


def _three(number: int) -> bytes:
    return struct.pack("<I", number)[:3]


def _riff(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
