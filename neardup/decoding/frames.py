"""Which picture of an animation or of a file of pages counts, put together as viewers do, and how many there are.

The first one often shows nothing: animations fade in, stickers begin empty, scans have cover sheets. What counts is the
first with contrast, within a bound.
"""

import io
import logging
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from PIL import Image

from neardup.decoding.xmp import without_xmp

ENOUGH_OF_A_FRAME, ENOUGH_OF_A_PAGE = 12.0, 6.0
"""Coarse contrast of a picture that counts, in grey levels; see `coarse_contrast`.

From the first on a descriptor takes it for a photo (`neardup.descriptors.faint`). Pages have less: a form 7, the cover
sheet of a fax 5.
"""
MOST_FRAMES = 100
MOST_MS = 5000.0
"""What is looked at lies within so many frames, or pages, and begins within so long: a fade takes a second or two.

A third bound is on pixels, those of the largest still: no animation costs more than twice as much as that.
"""
MOST_COUNTED = 1000
"""A file is read frame by frame to count them: of more, so many are told."""
_MORE_GREY_LEVELS = 1.0
"""Of two frames with little contrast the later one counts if it has so much more: noise does not choose."""
_BLOCKS = 8
_SHORTEST_MS, _BROWSERS_MS = 10, 100.0
"""Browsers show a frame that is to last no longer than the first for as long as the second."""

_WEBP_FLAGS = 20
_WEBP_ANIMATED, _WEBP_ALPHA = 0x02, 0x10
_TIFF_SUBFILE_TYPE = 254
_TIFF_REDUCED, _TIFF_MASK = 1, 4
_GIF_HEAD, _GIF_IMAGE_HEAD, _GIF_CONTROL_HEAD = 13, 10, 6
_GIF_END, _GIF_EXTENSION, _GIF_IMAGE, _GIF_CONTROL = 0x3B, 0x21, 0x2C, 0xF9
_PNG_CONTROL = 26
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

ToRgb = Callable[[Image.Image], Image.Image]
"""Makes what a viewer shows of an image, on white."""
Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""
Place = TypeVar("Place")


@dataclass(frozen=True, slots=True)
class Seen:
    """What counts of a file: a picture, as Pillow has it, and how many frames or pages there are."""

    image: Image.Image
    frames: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A frame as its file holds it.

    Attributes
    ----------
    alone
        A file of this frame alone, in pieces.
    box
        Its place on the canvas.
    replaces
        Whether it takes the place of what is there, or lies over it.
    clears, restores
        What is done to its place before the next: it becomes transparent; it becomes what it was.
    duration_ms
        How long it is shown.
    """

    alone: list[bytes]
    box: Box
    replaces: bool
    clears: bool
    restores: bool
    duration_ms: float


def what_is_seen(image: Image.Image, data: bytes, to_rgb: ToRgb, most_pixels: int) -> Seen:
    """Return the first picture with contrast; if none has enough, the one with the most.

    A frame that cannot be decoded is left out, with all behind it; if it is the first, the image comes back as it is.

    Parameters
    ----------
    image
        What Pillow opened.
    data
        What it was opened from.
    to_rgb
        Makes what is shown of a frame.
    most_pixels
        Of all frames that are looked at together; the first is looked at anyway.
    """
    if image.format == "GIF":
        return _of_parts(image, _gif_parts(data), to_rgb, most_pixels)
    if image.format == "PNG" and getattr(image, "is_animated", False):
        return _of_parts(image, _png_parts(data), to_rgb, most_pixels)
    if image.format == "TIFF" and getattr(image, "is_animated", False):
        return _of_places(image, _pages(image), to_rgb, most_pixels)
    frames = image.n_frames if image.format in {"WEBP", "AVIF", "HEIF"} else 1  # type: ignore[attr-defined]
    if frames == 1 or image.format == "HEIF":  # a HEIC names the one of its pictures that counts
        return Seen(image, frames)
    return _of_places(image, range(frames), to_rgb, most_pixels)


def with_alpha_of_frames(data: bytes) -> bytes:
    """Return an animated WebP marked as having alpha; anything else comes back as it is.

    Where no frame reaches there is nothing to be seen, also in a file that calls its frames opaque: Pillow makes it
    black.
    """
    is_extended = data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X" and len(data) > _WEBP_FLAGS
    if not is_extended or data[_WEBP_FLAGS] & (_WEBP_ANIMATED | _WEBP_ALPHA) != _WEBP_ANIMATED:
        return data
    return data[:_WEBP_FLAGS] + bytes([data[_WEBP_FLAGS] | _WEBP_ALPHA]) + data[_WEBP_FLAGS + 1 :]


def coarse_contrast(shown: Image.Image) -> float:
    """Return the standard deviation of an RGB image's 8 x 8 blocks over all channels, in grey levels."""
    blocks = np.asarray(shown.resize((_BLOCKS, _BLOCKS), Image.Resampling.BOX), dtype=np.float64)
    return float(np.sqrt(blocks.var(axis=(0, 1)).mean()))


def _first_with_contrast(
    looked_at: Iterable[tuple[Place, Image.Image]], enough: float, most_pixels: int
) -> Place | None:
    """Return where the picture that counts is; None if there is none."""
    chosen, most, pixels = None, -_MORE_GREY_LEVELS, 0
    try:
        for place, shown in islice(looked_at, MOST_FRAMES):
            if (contrast := coarse_contrast(shown)) >= most + _MORE_GREY_LEVELS:
                chosen, most = place, contrast
            pixels += shown.width * shown.height
            if most >= enough or pixels + shown.width * shown.height > most_pixels:
                break
    except MemoryError:
        raise
    except Exception:  # decoders raise anything; what was seen before counts
        logging.getLogger(__name__).debug("frames behind an undecodable one ignored", exc_info=True)
    return chosen


# --- frames that Pillow puts together ---


def _of_places(image: Image.Image, places: list[int] | range, to_rgb: ToRgb, most_pixels: int) -> Seen:
    def looked_at() -> Iterator[tuple[int, Image.Image]]:
        for place in places:
            image.seek(place)
            if place and image.width * image.height > most_pixels:
                return
            with without_xmp(image):
                image.load()
            if image.info.get("timestamp", 0) > MOST_MS:
                return
            yield place, to_rgb(image)

    enough = ENOUGH_OF_A_PAGE if image.format == "TIFF" else ENOUGH_OF_A_FRAME
    image.seek((_first_with_contrast(looked_at(), enough, most_pixels) if len(places) > 1 else None) or 0)
    return Seen(image, len(places))


def _pages(image: Image.Image) -> list[int]:
    """Return which directories of a TIFF are pages: neither smaller forms of others, nor masks."""
    pages, number = [0], 1
    try:
        while len(pages) < MOST_COUNTED:
            image.seek(number)
            if not image.tag_v2.get(_TIFF_SUBFILE_TYPE, 0) & (_TIFF_REDUCED | _TIFF_MASK):  # type: ignore[attr-defined]
                pages.append(number)
            number += 1
    except Exception:  # an EOFError behind the last; in a broken file whatever its parser met
        logging.getLogger(__name__).debug("no directory %d", number, exc_info=True)
    return pages


# --- frames that are put together here: where nothing is to be seen, Pillow's are black, or of a colour ---


def _of_parts(image: Image.Image, parts: Iterator[_Part], to_rgb: ToRgb, most_pixels: int) -> Seen:
    found = list(islice(parts, MOST_COUNTED))
    is_plain = image.format == "GIF" and len(found) == 1 and found[0].box == (0, 0, *image.size)
    if is_plain or image.mode.startswith("I"):
        return Seen(image, max(1, len(found)))
    frames = ((frame, frame) for frame in _composited(image.size, found, to_rgb, most_pixels))
    chosen = _first_with_contrast(frames, ENOUGH_OF_A_FRAME, most_pixels)
    if chosen is None:
        return Seen(image, max(1, len(found)))
    image.load()  # the EXIF of a PNG may stand behind its pixels
    if "exif" in image.info:
        chosen.info["exif"] = image.info["exif"]
    return Seen(chosen, len(found))


def _composited(size: tuple[int, int], parts: list[_Part], to_rgb: ToRgb, most_pixels: int) -> Iterator[Image.Image]:
    """Iterate over what is shown of the frames that begin in time, RGB."""
    canvas = Image.new("RGBA", size)
    begins_ms = 0.0
    for part in parts:
        left, top, right, bottom = part.box
        if begins_ms > MOST_MS or (right - left) * (bottom - top) > most_pixels:
            return
        with Image.open(io.BytesIO(b"".join(part.alone)), formats=["GIF", "PNG"]) as opened:
            frame = opened.convert("RGBA")
        before = canvas.copy() if part.restores else canvas
        if part.replaces:
            canvas.paste(frame, part.box)
        else:
            canvas.alpha_composite(frame, (left, top))
        yield to_rgb(canvas)
        canvas = before
        if part.clears:
            canvas.paste((0, 0, 0, 0), part.box)
        begins_ms += part.duration_ms


def _duration_ms(told_ms: float) -> float:
    return told_ms if told_ms > _SHORTEST_MS else _BROWSERS_MS


def _gif_parts(data: bytes) -> Iterator[_Part]:
    """Iterate over the frames of a GIF; one that is cut off is the last.

    Source: Graphics Interchange Format, version 89a, CompuServe, 1990, sections 17 to 23.
    """
    head = data[: _GIF_HEAD + _palette_bytes(data[10])]
    at, control = len(head), b""
    while at + _GIF_IMAGE_HEAD < len(data) and data[at] != _GIF_END:
        end = at + 1
        if data[at] == _GIF_EXTENSION:
            end = _behind_blocks(data, at + 2)
            control = data[at:end] if data[at + 1] == _GIF_CONTROL else control
        elif data[at] == _GIF_IMAGE:
            end = _behind_blocks(data, at + _GIF_IMAGE_HEAD + _palette_bytes(data[at + 9]) + 1)
            yield _gif_part(head, control, data[at:end])
            control = b""
        at = end


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _behind_blocks(data: bytes, at: int) -> int:
    while at < len(data) and data[at]:
        at += data[at] + 1
    return at + 1


def _gif_part(head: bytes, control: bytes, frame: bytes) -> _Part:
    left, top, width, height = struct.unpack_from("<4H", frame, 1)
    alone = [head[:6], struct.pack("<2H", width, height), head[10:], control, frame[:1], bytes(4), frame[5:], b";"]
    flags, hundredths = struct.unpack_from("<BH", control, 3) if len(control) >= _GIF_CONTROL_HEAD else (0, 0)
    after = flags >> 2 & 7
    box = (left, top, left + width, top + height)
    return _Part(alone, box, False, after == 2, after == 3, _duration_ms(10 * hundredths))  # noqa: FBT003, PLR2004


def _png_parts(data: bytes) -> Iterator[_Part]:
    """Iterate over the frames of an animated PNG; the picture for viewers that know no animation is none of them.

    Source: Portable Network Graphics, third edition, W3C, section 11.3.6.
    """
    head, control = b"", b""
    palette: list[bytes] = []
    pixels: list[bytes] = []
    for kind, body in _png_chunks(data):
        if kind == b"IHDR":
            head = body
        elif kind in {b"PLTE", b"tRNS"}:
            palette.append(_png_chunk(kind, body))
        elif kind in {b"IDAT", b"fdAT"} and len(control) >= _PNG_CONTROL:
            pixels.append(_png_chunk(b"IDAT", body[4:] if kind == b"fdAT" else body))
        elif kind in {b"fcTL", b"IEND"}:
            if pixels:
                yield _png_part(head, palette, control, pixels)
            control, pixels = body, []


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG_SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += 12 + length
    yield b"IEND", b""


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png_part(head: bytes, palette: list[bytes], control: bytes, pixels: list[bytes]) -> _Part:
    width, height, left, top, delay, unit, after, blend = struct.unpack_from(">4I2H2B", control, 4)
    sized = _png_chunk(b"IHDR", struct.pack(">2I", width, height) + head[8:])
    alone = [_PNG_SIGNATURE, sized, *palette, *pixels, _png_chunk(b"IEND", b"")]
    box = (left, top, left + width, top + height)
    return _Part(alone, box, blend == 0, after == 1, after == 2, _duration_ms(1000 * delay / (unit or 100)))  # noqa: PLR2004
