"""Photos to train on, and those that are held out to measure by: a photo's name decides, so both stay apart."""

import hashlib
from pathlib import Path

from neardup.errors import Misconfigured

INPUT_PX = 64
"""Side of what the network sees."""
SOURCE_PX = 128
"""Pictures are kept as squares of this side: twice what the network sees, so that a crop loses no detail."""
HELD_OUT_OF_256 = 64
"""A quarter of the photos is never trained on: 5,354 of 21,916 give 14 million pairs to measure false ones by."""
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


def held_out(name: str) -> bool:
    """Tell whether a photo is never trained on, by its file's name alone."""
    return hashlib.sha256(name.encode()).digest()[0] < HELD_OUT_OF_256


def image_files(folder: Path) -> list[Path]:
    """Return the pictures of a folder, by name.

    Raises
    ------
    Misconfigured
        There is no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise Misconfigured(f"--photos: there is no folder {str(folder)!r}")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not files:
        raise Misconfigured(f"--photos: {str(folder)!r} holds no .jpg, .png or .webp")
    return files
