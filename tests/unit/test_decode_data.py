"""Odd and broken files of the real world; they are not part of the project."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neardup.decode import decode
from neardup.descriptors import load_descriptor
from neardup.distance import l2_distances
from neardup.errors import BadInput, EmptyImage, TooManyPixels, TruncatedImage, UndecodableImage, UnsupportedFormat

# Pillow warns of broken metadata around good pixels; warnings are errors in tests, which would refuse these files.
pytestmark = [pytest.mark.data, pytest.mark.filterwarnings("ignore:::PIL")]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("NEARDUP_DATA") or ROOT / "../shared/data").resolve() / "odd"
REFUSED_SUFFIXES = {".heic", ".heif", ".psd", ".ico"}
ERRORS_BY_WORD = {
    "DecompressionBombError": TooManyPixels,
    "truncated": TruncatedImage,
    "Truncated": TruncatedImage,
}

TWINS = [
    ("made/orientation6.jpg", "made/orientation6_upright_twin.jpg"),
    ("made/progressive.jpg", "made/baseline_twin.jpg"),
    ("made/UPPER.JPG", "made/exact_copy_of_UPPER.jpeg"),
    ("made/UPPER.JPG", "made/png_named.jpg"),
    ("made/UPPER.JPG", "made/jpeg_named.png"),
    ("made/UPPER.JPG", "made/trailing_garbage.jpg"),
    ("made/UPPER.JPG", "made/no_extension"),
    ("made/lossy.webp", "made/lossless.webp"),
    ("made/avif.avif", "made/lossless.webp"),
    ("made/rgb_lzw.tiff", "made/rgb.bmp"),
    ("made/rgb_lzw.tiff", "made/photo.ppm"),
    ("made/rgb_lzw.tiff", "made/photo.jp2"),
    ("made/rgb_lzw.tiff", "made/multipage.tiff"),
    ("made/gray.jpg", "made/float32.tiff"),
    ("real/exif_orientation_3.jpg", "real/exif_orientation_6.jpg"),
    ("real/exif_orientation_3.jpg", "real/exif_orientation_8.jpg"),
]


def read(name: str) -> bytes:
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"no {path}: NEARDUP_DATA names the folder with the photos")
    return path.read_bytes()


def rows_of_the_readme() -> Iterator[tuple[str, str, str]]:
    """Yield each file's name, what opening and what loading it says."""
    readme = FOLDER / "README.md"
    for line in readme.read_text("utf-8").splitlines() if readme.is_file() else []:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 6 and re.match(r"(real|made|synthetic)/", cells[0]):
            yield cells[0], cells[3], cells[4]


def error_expected(name: str, opened: str, loaded: str) -> type[BadInput] | None:
    if Path(name).suffix.lower() in REFUSED_SUFFIXES:
        return UnsupportedFormat
    if name.endswith("zero_byte.jpg"):
        return EmptyImage
    said = f"{opened} {loaded}"
    if loaded == "ok":
        return None
    found = (error for word, error in ERRORS_BY_WORD.items() if word in said)
    return next(found, UndecodableImage)


ROWS = list(rows_of_the_readme())


def test_the_odd_files_are_there() -> None:
    read("README.md")
    assert len(ROWS) > 90


@pytest.mark.parametrize(("name", "opened", "loaded"), ROWS, ids=[row[0] for row in ROWS])
@pytest.mark.parametrize("reduce_to_px", [None, 128])
def test_each_decodes_or_says_why_not(name: str, opened: str, loaded: str, reduce_to_px: int | None) -> None:
    data = read(name)
    expected = error_expected(name, opened, loaded)
    if expected:
        with pytest.raises(expected):
            decode(data, reduce_to_px=reduce_to_px)
    else:
        pixels = decode(data, reduce_to_px=reduce_to_px)
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_twins_match(one: str, other: str) -> None:
    dct = load_descriptor("dct")
    prepared = [dct.prepare(decode(read(name), reduce_to_px=dct.reduce_to_px)) for name in (one, other)]
    descriptors = dct.describe(prepared)
    assert l2_distances(descriptors[:1], descriptors[1:])[0, 0] <= dct.default_radius


def test_the_fully_transparent_photo_is_white() -> None:
    assert (decode(read("made/rgba_fully_transparent.png")) == 255).all()
