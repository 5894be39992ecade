"""From encoded bytes to RGB pixels, the same way for seeds and for the stream."""

import io
import logging
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from neardup.errors import (
    EmptyImage,
    NeardupError,
    TooManyBytes,
    TooManyPixels,
    TruncatedImage,
    UndecodableImage,
    UnsupportedFormat,
)
from neardup.types import Pixels

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Formats that are decoded. Rare ones (PSD, ICO, EPS, ...) stay out: each is attack surface that no camera needs.

Pillow opens an MPO, the stereo JPEG of some cameras, as JPEG; its own name has no decoder (KeyError for all others).
"""

BACKGROUND_RGB = (255, 255, 255)
"""Transparent pixels are composited on white, as a web page would show them."""

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

# Signatures of formats that we know and refuse, so that the reason says so.
_REFUSED_SIGNATURES = {
    b"8BPS": "PSD",
    b"\x00\x00\x01\x00": "ICO",
    b"%!PS": "EPS",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"<?xml": "XML or SVG",
}
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis")


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What an image may cost, checked on its length and its header before anything is allocated.

    Attributes
    ----------
    max_bytes
        Encoded size.
    max_pixels
        Width times height as the header declares them. Pillow itself refuses more than 178,956,970.
    """

    max_bytes: int = 32 * 1024 * 1024
    max_pixels: int = 64_000_000


def decode(data: bytes, *, reduce_to_px: int | None = None, limits: DecodeLimits | None = None) -> Pixels:
    """Decode one image to upright RGB pixels.

    The first frame of an animation counts, the EXIF orientation is applied, transparency is composited on white.

    Parameters
    ----------
    data
        The encoded image.
    reduce_to_px
        A JPEG may be decoded at a half, quarter or eighth of its size as long as both sides keep this many pixels:
        several times faster where only a thumbnail is described. None decodes at full size.
    limits
        Byte and pixel limits; the defaults when None.

    Returns
    -------
    ndarray
        uint8 (height, width, 3).

    Raises
    ------
    BadInput
        Of the kind that names the reason: empty, too large, refused format, truncated, undecodable.
    """
    limits = limits or DecodeLimits()
    _check_bytes(data, limits)
    try:
        with _open(data, limits) as image:
            return _to_pixels(image, reduce_to_px)
    except NeardupError:
        raise
    except Exception as exc:  # decoders raise whatever their parser met: OSError, SyntaxError, IndexError, ...
        raise _translated(exc) from exc


def _check_bytes(data: bytes, limits: DecodeLimits) -> None:
    if not data:
        raise EmptyImage("the image has no bytes")
    if len(data) > limits.max_bytes:
        raise TooManyBytes(f"{len(data)} bytes, the limit is {limits.max_bytes}")


def _open(data: bytes, limits: DecodeLimits) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise TooManyPixels(str(exc)) from exc
    except UnidentifiedImageError as exc:
        raise _unidentified(data) from exc
    if image.width * image.height > limits.max_pixels:
        size = f"{image.width}x{image.height} pixels"
        image.close()
        raise TooManyPixels(f"{size}, the limit is {limits.max_pixels} in all")
    return image


def _unidentified(data: bytes) -> UnsupportedFormat | UndecodableImage:
    for signature, name in _REFUSED_SIGNATURES.items():
        if data.startswith(signature):
            return UnsupportedFormat(f"{name} is not among the formats decoded ({', '.join(FORMATS)})")
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return UnsupportedFormat("HEIC is not among the formats decoded")
    return UndecodableImage(f"no decoder finds an image in what begins with {data[:16]!r}")


def _translated(exc: Exception) -> TruncatedImage | UndecodableImage:
    text = f"{type(exc).__name__}: {exc}"
    truncated = isinstance(exc, EOFError) or "truncated" in text.lower()
    return TruncatedImage(text) if truncated else UndecodableImage(text)


def _to_pixels(image: Image.Image, reduce_to_px: int | None) -> Pixels:
    if reduce_to_px is not None:
        image.draft(image.mode, (reduce_to_px, reduce_to_px))
    # Before the EXIF is read: a TIFF turns itself upright as it loads, and looking for the EXIF of a PNG loads it
    # and swallows what is wrong with it.
    image.load()
    orientation = _orientation(image)
    rgb = _to_rgb(image)
    if orientation in _ORIENTATION_TO_TRANSPOSE:
        rgb = rgb.transpose(_ORIENTATION_TO_TRANSPOSE[orientation])
    return np.asarray(rgb, dtype=np.uint8)


def _orientation(image: Image.Image) -> int | None:
    # Cameras write broken EXIF around good pixels: an unreadable orientation means upright.
    try:
        value = image.getexif().get(EXIF_ORIENTATION)
    except Exception:  # the EXIF parser raises anything; the pixels are what counts
        logging.getLogger(__name__).debug("unreadable EXIF ignored", exc_info=True)
        return None
    return value if isinstance(value, int) else None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return _grey_of_deep(image)
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        canvas = Image.new("RGB", rgba.size, BACKGROUND_RGB)
        canvas.paste(rgba, mask=rgba)
        return canvas
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey_of_deep(image: Image.Image) -> Image.Image:
    # Pillow clips deep greys at 255 instead of scaling them: a 16-bit X-ray would come out white.
    values = np.array(image, dtype=np.float32)  # a copy to change in place: a large image fits only so often
    brightest = float(values.max(where=np.isfinite(values), initial=0.0))
    np.nan_to_num(values, copy=False, posinf=brightest)
    np.clip(values, 0.0, brightest, out=values)
    values /= _white_of_deep(image.mode, brightest) / 255.0
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")


def _white_of_deep(mode: str, brightest: float) -> float:
    """Return the value that counts as white; the mode alone does not say which range a file uses."""
    if mode == "F" and brightest <= 1.0:
        return 1.0
    if not mode.startswith("I;16") and brightest <= 255.0:  # noqa: PLR2004 - 8 bits in a deep file
        return 255.0
    return max(65535.0, brightest)
