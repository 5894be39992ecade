"""PNGs with more text than Pillow takes: workflows of image generators, histories of editing, profiles of printers."""

import struct
import zlib
from collections.abc import Iterator

_SIGNATURE_BYTES = 8
_XMP = b"XML:com.adobe.xmp"
_LARGEST_TEXT_BYTES = 1024 * 1024
"""Unpacked, as Pillow has it."""
_LARGEST_XMP_BYTES = 16 * 1024 * 1024
"""Which way is up may be told behind a long history."""


def is_too_much_text(error: BaseException | None) -> bool:
    """Tell whether Pillow refused a PNG for the size of what it says besides its picture."""
    return isinstance(error, ValueError) and "MAX_TEXT_" in str(error)


def without_long_texts(data: bytes) -> bytes:
    """Return a PNG without profile and long texts, none of which is needed; but a long XMP packet unpacked."""
    chunks = (_kept(kind, data[start:end]) for kind, start, end in _chunks(data))
    return data[:_SIGNATURE_BYTES] + b"".join(chunks)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each chunk, where it begins and where it ends: the last may end behind the data."""
    at = _SIGNATURE_BYTES
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], at, end
        at = end


def _kept(kind: bytes, chunk: bytes) -> bytes:
    if kind == b"iCCP":
        return b""
    if kind not in {b"tEXt", b"zTXt", b"iTXt"}:
        return chunk
    try:
        name, text = _text(kind, chunk[8:-4])
    except zlib.error:
        return b""
    except (ValueError, IndexError):  # Pillow passes over it
        return chunk
    if len(text) <= _LARGEST_TEXT_BYTES:
        return chunk
    return _unpacked(name, text) if name == _XMP and len(text) <= _LARGEST_XMP_BYTES else b""


def _text(kind: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Return name and text of a chunk, of what is packed not much more than is kept."""
    name, rest = body.split(b"\0", 1)
    if kind == b"tEXt":
        return name, rest
    if kind == b"iTXt":
        is_packed, (_, _, text) = bool(rest[0]), rest[2:].split(b"\0", 2)
    else:
        is_packed, text = True, rest[1:]
    return name, zlib.decompressobj().decompress(text, _LARGEST_XMP_BYTES + 1) if is_packed else text


def _unpacked(name: bytes, text: bytes) -> bytes:
    chunk = b"iTXt" + name + bytes(5) + text
    return struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
