"""Which image formats are decoded: an allow-list, what may be added to it, and what a refusal says."""

import functools
import importlib

from neardup.decoding.jpeg_markers import frame_of, refusal_of
from neardup.errors import UndecodableImage, UnsupportedFormat

HEIF = "HEIF"
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", HEIF)
"""Formats that are decoded, as Pillow calls them. PPM stands for PBM and PGM, too; HEIF needs an extra of ours.

Rare ones (PSD, ICO, ...) stay out unless asked for: each is attack surface that no camera needs. Pillow opens an MPO,
the stereo JPEG of some cameras, as JPEG; its own name has no decoder (KeyError for all others).
"""
MORE_FORMATS = ("DDS", "ICO", "PCX", "PSD", "QOI", "SGI", "TGA")
"""Formats that may be asked for."""

_NEVER = {
    "EPS": "EPS is a program, which Pillow hands to Ghostscript: convert such files beforehand",
    "PDF": "PDF is a document: convert its pages beforehand",
    "SVG": "SVG is a document: convert such files beforehand",
    "WMF": "WMF can be drawn only on Windows: convert such files beforehand",
}
_ALIASES = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": HEIF, "JP2": "JPEG2000", "PGM": "PPM", "PBM": "PPM", "EMF": "WMF"}

# Signatures of formats that we know and refuse, so that the reason says so.
_SIGNATURES = {
    b"8BPS": "PSD",
    b"\x00\x00\x01\x00": "ICO",
    b"qoif": "QOI",
    b"DDS ": "DDS",
    b"%!PS": "EPS",
    b"\xc5\xd0\xd3\xc6": "EPS",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"<?xml": "XML or SVG",
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"\x00\x00\x00\x0cjP  ": "JPEG2000",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"II\xbc\x01": "JPEG XR",
}
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")


def formats_of(text: str) -> tuple[str, ...]:
    """Parse ``jpeg,png`` (these alone), ``+ico,+psd`` (these, too) or ``-gif`` (all but this); case does not count.

    Returns
    -------
    tuple
        Names as Pillow has them, in the order of `FORMATS` and `MORE_FORMATS`.

    Raises
    ------
    ValueError
        A name is unknown, or of a format that is never decoded; names and changes are mixed; nothing is left.
    """
    items = [item.strip().upper() for item in text.split(",") if item.strip()]
    changes = [item for item in items if item[0] in "+-"]
    if changes and len(changes) != len(items):
        raise ValueError("name all formats, or begin each with + or -")
    chosen = set(FORMATS) if changes else set()
    for item in items:
        change = chosen.discard if item[0] == "-" else chosen.add
        change(_known(item.lstrip("+-").strip()))
    if not chosen:
        raise ValueError("no formats are left")
    return tuple(name for name in (*FORMATS, *MORE_FORMATS) if name in chosen)


def _known(name: str) -> str:
    name = _ALIASES.get(name, name)
    if name in _NEVER:
        raise ValueError(_NEVER[name])
    if name not in {*FORMATS, *MORE_FORMATS}:
        raise ValueError(f"unknown format {name!r}: there are {', '.join((*FORMATS, *MORE_FORMATS))}")
    return name


def may_be_heif(data: bytes) -> bool:
    """Return whether a file starts like HEIC or a relative; some AVIF files do, too."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS


@functools.cache
def has_heif() -> bool:
    """Make Pillow open HEIF, if the extra for it is installed; return whether it is."""
    try:
        pillow_heif = importlib.import_module("pillow_heif")
    except ImportError:
        return False
    # One thread: images are decoded side by side already.
    pillow_heif.register_heif_opener(thumbnails=False, decode_threads=1)
    return True


def unidentified(data: bytes, formats: tuple[str, ...]) -> UnsupportedFormat | UndecodableImage:
    """Return the error for bytes that match none of the formats."""
    from PIL import features  # noqa: PLC0415 - whoever only names formats does without

    name = _name_of(data)
    if name == HEIF and name in formats and not has_heif():
        return UnsupportedFormat("HEIC needs an extra that is not installed: pip install 'neardup[heif]'")
    if name == "AVIF" and name in formats and not features.check("avif"):
        return UnsupportedFormat("AVIF needs a Pillow that was built with it, as its wheels are")
    if name is not None and name not in formats:
        shown = "HEIC" if name == HEIF else name
        return UnsupportedFormat(f"{shown} is not among the formats decoded ({', '.join(formats)})")
    if name == "JPEG" and (frame := frame_of(data)) and (refusal := refusal_of(frame)):
        return refusal
    return UndecodableImage(f"no decoder recognises data that begins with {data[:16]!r}")


def _name_of(data: bytes) -> str | None:
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS + _AVIF_BRANDS:
        return HEIF if data[8:12] in _HEIF_BRANDS else "AVIF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((name for signature, name in _SIGNATURES.items() if data.startswith(signature)), None)
