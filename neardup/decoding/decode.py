"""From encoded bytes to RGB pixels, the same way for seeds and for the stream."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from PIL import AvifImagePlugin, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from neardup.decoding import jpeg, png, tiff
from neardup.decoding.deep_grey import grey_of_deep, is_deep
from neardup.decoding.formats import HEIF, has_heif, may_be_heif, unidentified
from neardup.decoding.frames import what_is_seen, with_alpha_of_frames
from neardup.decoding.limits import DecodeLimits
from neardup.decoding.xmp import without_xmp
from neardup.errors import (
    BadInput,
    DecodeMemory,
    EmptyImage,
    NeardupError,
    TooManyBytes,
    TooManyPixels,
    TruncatedImage,
    UndecodableImage,
)
from neardup.types import Pixels

BACKGROUND_RGB = (255, 255, 255)
"""Transparent pixels are composited on white, as a web page would show them."""
ELSE_RGB = (0, 0, 0)
"""What white drawings are composited on."""

EXIF_ORIENTATION = 0x0112

_ORIENTATION_TO_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

PALE_GREY_LEVELS = 32
"""What spans less than this on white may be a white drawing: it is looked at on other grounds, too."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded image.

    Attributes
    ----------
    pixels
        uint8 (height, width, 3).
    frames
        How many frames or pages its file has, 1,000 at most.
    """

    pixels: Pixels
    frames: int


def decode(data: bytes, *, reduce_to_px: int | None = None, limits: DecodeLimits | None = None) -> Pixels:
    """Return the pixels of one image, uint8 (height, width, 3), upright and in RGB; see `decode_file`."""
    return decode_file(data, reduce_to_px=reduce_to_px, limits=limits).pixels


def decode_file(data: bytes, *, reduce_to_px: int | None = None, limits: DecodeLimits | None = None) -> Decoded:
    """Decode one image to upright RGB pixels.

    Of an animation or several pages the first with contrast counts (`neardup.decoding.frames`), the EXIF orientation is
    applied, transparency is composited on white (on
    black what white would swallow).

    Parameters
    ----------
    data
        The encoded image.
    reduce_to_px
        A JPEG may be decoded at a half, quarter or eighth of its size as long as both sides keep this many pixels:
        several times faster where only a thumbnail is described. None decodes at full size.
    limits
        Byte and pixel limits; the defaults when None.

    Raises
    ------
    BadInput
        Of the kind that names the reason: empty, too large, refused format, truncated, undecodable.
    """
    limits = limits or DecodeLimits()
    check_bytes(data, limits)
    try:
        return _decoded(data, reduce_to_px, limits)
    except UndecodableImage as exc:
        if png.is_too_much_text(exc.__cause__):
            return _decoded(png.without_long_texts(data), reduce_to_px, limits)
        is_unknown = isinstance(exc.__cause__, UnidentifiedImageError)
        if not is_unknown or (turned_over := tiff.with_black_as_zero(data)) is None:
            raise
    negative = _decoded(turned_over, reduce_to_px, limits)
    return replace(negative, pixels=255 - negative.pixels)


def pixels_of(image: Image.Image) -> Pixels:
    """Return the pixels of an image that Pillow has opened or made, upright and in RGB like those of `decode`.

    Raises
    ------
    BadInput
        Its data cannot be decoded, or it has no pixels.
    """
    if not image.width * image.height:
        raise UndecodableImage(f"{image.width}x{image.height} pixels: there is nothing to see")
    with _as_bad_input():
        return _to_pixels(image)


def _decoded(data: bytes, reduce_to_px: int | None, limits: DecodeLimits) -> Decoded:
    data = with_alpha_of_frames(data)
    with _as_bad_input(), _open(data, limits) as image:
        # Pillow's name for it is MPO if it holds more pictures.
        if isinstance(image, JpegImageFile):
            if (pixels := jpeg.flawless(image, data, reduce_to_px)) is not None:
                return Decoded(_upright_pixels(pixels, _orientation(image)), 1)
            jpeg.load(image, data, reduce_to_px, accept_truncated=limits.accept_truncated)
        seen = what_is_seen(image, data, _to_rgb, limits.max_pixels)
        return Decoded(_to_pixels(seen.image), seen.frames)


@contextmanager
def _as_bad_input() -> Iterator[None]:
    try:
        yield
    except NeardupError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise TooManyPixels(str(exc)) from exc
    except MemoryError as exc:
        raise DecodeMemory("decoding asked for more memory than it may have") from exc
    except Exception as exc:  # decoders raise whatever their parser met: OSError, SyntaxError, IndexError, ...
        raise _translated(exc) from exc


def limit_pillow(limits: DecodeLimits) -> None:
    """Let Pillow refuse, in all of this process, what is too large: its decoders see some sizes before we do."""
    Image.MAX_IMAGE_PIXELS = (limits.max_pixels + 1) // 2  # it warns at this, and refuses at twice of it
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # images are decoded side by side already


def check_bytes(data: bytes, limits: DecodeLimits) -> None:
    """Refuse an image by its length.

    Raises
    ------
    EmptyImage, TooManyBytes
        It has none, or too many.
    """
    if not data:
        raise EmptyImage("the image has no bytes")
    if len(data) > limits.max_bytes:
        raise TooManyBytes(f"{len(data)} bytes, the limit is {limits.max_bytes}")


def _open(data: bytes, limits: DecodeLimits) -> Image.Image:
    image = _identified(data, limits.formats)
    if image.width * image.height > limits.max_pixels:
        size = f"{image.width}x{image.height} pixels"
        image.close()
        raise TooManyPixels(f"{size}, the limit is {limits.max_pixels} in all")
    return image


def _identified(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=[name for name in formats if name != HEIF])
    except UnidentifiedImageError as exc:
        if HEIF not in formats or not may_be_heif(data) or not has_heif():
            raise unidentified(data, formats) from exc
    try:
        return Image.open(io.BytesIO(data), formats=[HEIF])
    except UnidentifiedImageError as exc:
        raise unidentified(data, formats) from exc


def _translated(exc: Exception) -> BadInput:
    text = f"{type(exc).__name__}: {exc}"
    said = text.lower()
    if "out of memory" in said or "memory allocation" in said:
        return DecodeMemory(text)
    return TruncatedImage(text) if isinstance(exc, EOFError) or "truncated" in said else UndecodableImage(text)


def _to_pixels(image: Image.Image) -> Pixels:
    # Before the EXIF is read: a TIFF turns itself upright as it loads, and looking for the EXIF of a PNG loads it
    # and swallows what is wrong with it.
    with without_xmp(image):
        image.load()
    orientation = _orientation(image)
    return np.asarray(_upright(_to_rgb(image), orientation), dtype=np.uint8)


def _upright(rgb: Image.Image, orientation: int | None) -> Image.Image:
    return rgb.transpose(_ORIENTATION_TO_TRANSPOSE[orientation]) if orientation in _ORIENTATION_TO_TRANSPOSE else rgb


def _upright_pixels(pixels: Pixels, orientation: int | None) -> Pixels:
    if orientation not in _ORIENTATION_TO_TRANSPOSE:
        return pixels
    return np.asarray(_upright(Image.fromarray(pixels), orientation), dtype=np.uint8)


def _orientation(image: Image.Image) -> int | None:
    # Cameras write broken EXIF around good pixels: an unreadable orientation means upright.
    try:
        with without_xmp(image):
            value = image.getexif().get(EXIF_ORIENTATION)
    except Exception:  # the EXIF parser raises anything; the pixels are what counts
        logging.getLogger(__name__).debug("unreadable EXIF ignored", exc_info=True)
        return None
    return value if isinstance(value, int) else None


def _to_rgb(image: Image.Image) -> Image.Image:
    if is_deep(image.mode):
        return grey_of_deep(image)
    if image.has_transparency_data:
        return _opaque(image if image.mode == "RGBA" else image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _opaque(rgba: Image.Image) -> Image.Image:
    """Return an image on white; on black, or without its transparency, where white would leave nothing to see."""
    on_white = _on(BACKGROUND_RGB, rgba)
    if _span(on_white) >= PALE_GREY_LEVELS:
        return on_white
    lowest, highest = _extrema(rgba)[3]
    # One transparency all over draws nothing, and where it is complete, most likely nobody has written it.
    other = rgba.convert("RGB") if lowest == highest else _on(ELSE_RGB, rgba)
    return other if _span(other) >= PALE_GREY_LEVELS else on_white


def _on(ground: tuple[int, int, int], rgba: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", rgba.size, ground)
    canvas.paste(rgba, mask=rgba)
    return canvas


def _span(rgb: Image.Image) -> int:
    """Return over how many levels the channel spreads that spreads most."""
    return max(highest - lowest for lowest, highest in _extrema(rgb))


def _extrema(image: Image.Image) -> tuple[tuple[int, int], ...]:
    """Return the lowest and the highest value of each channel of several."""
    return cast("tuple[tuple[int, int], ...]", image.getextrema())
