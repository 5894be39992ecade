"""Odd and broken files of the real world; they are not part of the project."""

import io
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.errors import BadInput, EmptyImage, TooManyPixels, TruncatedImage, UndecodableImage, UnsupportedFormat
from neardup.search.distance import l2_distances

# Pillow warns of broken metadata around good pixels; warnings are errors in tests, which would refuse these files.
pytestmark = [pytest.mark.data, pytest.mark.filterwarnings("ignore:::PIL")]

ROOT = Path(__file__).resolve().parents[4]
FOLDER = Path(os.environ.get("NEARDUP_DATA") or ROOT / "../shared/data").resolve() / "odd"
REFUSED_SUFFIXES = {".psd", ".ico"}
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


@pytest.mark.parametrize(
    ("name", "opened", "loaded", "reduce_to_px"),
    # Reduced decoding is for JPEG; a HEIC of many megapixels takes seconds.
    [
        pytest.param(*row, reduce_to_px, id=f"{row[0]}-{reduce_to_px}")
        for row in ROWS
        for reduce_to_px in (None, 128)
        if reduce_to_px is None or Path(row[0]).suffix.lower() not in {".heic", ".heif", ".avif"}
    ],
)
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


def test_photos_are_decoded_as_pillow_does() -> None:
    read("README.md")
    photos = sorted((FOLDER.parent / "photos_eval").glob("*.jpg"))[::40]
    assert photos
    for path in photos:
        with Image.open(path) as image:
            image.draft(image.mode, (128, 128))
            expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        assert np.array_equal(decode(path.read_bytes(), reduce_to_px=128), expected), path.name


def test_the_fully_transparent_photo_is_itself() -> None:
    name = "made/rgba_fully_transparent.png"
    assert np.array_equal(decode(read(name)), raw(name)[1][..., :3])


def raw(name: str) -> tuple[Image.Image, NDArray[np.float64]]:
    """Return an image in the mode that its file has, and its numbers."""
    with Image.open(io.BytesIO(read(name))) as image:
        image.load()
        return image, np.array(image, dtype=np.float64)


def on_white(colours: NDArray[np.float64], alpha: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the colours with the part that shines through, of white."""
    part = alpha[..., np.newaxis] / 255
    return colours * part + 255 * (1 - part)


def in_three(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def stretched(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return greys from their darkest to their brightest, but for one in a thousand at either end."""
    black, white = np.quantile(grey, [0.001, 0.999])
    return np.asarray(np.clip(255 * (grey - black) / (white - black), 0, 255))


def of_cmyk(inks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what inks leave of white paper: each takes its share, and black of all."""
    return (255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255


def expected_pixels(name: str) -> NDArray[np.float64]:
    """Return what a file's numbers mean, by arithmetic of our own."""
    image, numbers = raw(name)
    return MEANING[image.mode](numbers, image)


MEANING: dict[str, Callable[[NDArray[np.float64], Image.Image], NDArray[np.float64]]] = {
    "1": lambda numbers, _: in_three(255 * numbers),
    "L": lambda numbers, _: in_three(numbers),
    "I;16": lambda numbers, _: in_three(numbers / 257 if np.ptp(numbers) > 32_767 else stretched(numbers)),
    "F": lambda numbers, _: in_three(numbers if numbers.max() > 1 else 255 * numbers),
    "LA": lambda numbers, _: on_white(in_three(numbers[..., 0]), numbers[..., 1]),
    "RGBA": lambda numbers, _: on_white(numbers[..., :3], numbers[..., 3]),
    "CMYK": lambda numbers, _: of_cmyk(numbers),
    "P": lambda numbers, image: np.array(image.getpalette("RGB"), float).reshape(-1, 3)[numbers.astype(int)],
}


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("made/cmyk.jpg", "CMYK"),
        ("real/cmyk_photo.jpg", "CMYK"),
        ("real/cmyk_adobe.jpg", "CMYK"),
        ("made/rgba.png", "RGBA"),
        ("real/alpha_channel.png", "RGBA"),
        ("real/gray_alpha.png", "LA"),
        ("real/palette.png", "P"),
        ("real/bilevel.png", "1"),
        ("real/marbles.pbm", "1"),
        ("real/baboon.pgm", "L"),
        ("made/gray.jpg", "L"),
        ("made/gray16.png", "I;16"),
        ("real/pil_16bit.cropped.tif", "I;16"),
        ("real/pil_16bit.cropped.jp2", "I;16"),
        ("made/float32.tiff", "F"),
    ],
)
def test_pixels_are_what_the_files_numbers_mean(name: str, mode: str) -> None:
    assert raw(name)[0].mode == mode
    pixels = decode(read(name))
    expected = expected_pixels(name)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= 1.01


def unfiltered(data: bytes, height: int, stride: int, step: int) -> NDArray[np.uint8]:
    """Undo the filters of PNG's rows (ISO/IEC 15948, section 9), uint8 (height, stride)."""
    rows = [bytearray(stride + step)]
    for number in range(height):
        kind, line = data[number * (stride + 1)], data[number * (stride + 1) + 1 : (number + 1) * (stride + 1)]
        before, row = rows[-1], bytearray(stride + step)
        for place, value in enumerate(line, step):
            left, up, corner = row[place - step], before[place], before[place - step]
            guess = left + up - corner
            _, paeth = min((abs(guess - each), at) for at, each in enumerate((left, up, corner)))
            row[place] = (value + (0, left, up, (left + up) // 2, (left, up, corner)[paeth])[kind]) & 255
        rows.append(row)
    return np.array([row[step:] for row in rows[1:]], dtype=np.uint8)


def test_sixteen_bits_of_colour_are_their_higher_eight() -> None:
    data, at, packed = read("made/rgb16.png"), 8, b""
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    assert (bits, colour) == (16, 2)
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        packed += data[at + 8 : at + 8 + length] if data[at + 4 : at + 8] == b"IDAT" else b""
        at += 12 + length
    numbers = unfiltered(zlib.decompress(packed), height, 6 * width, 6)
    expected = numbers.reshape(height, width, 3, 2)[..., 0]
    assert np.abs(decode(data).astype(int) - expected).max() <= 1
