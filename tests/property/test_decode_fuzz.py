"""Whatever bytes come: pixels or BadInput, and nothing else."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from neardup.decoding import formats, jpeg
from neardup.decoding.decode import decode
from neardup.decoding.limits import DecodeLimits
from neardup.errors import BadInput, reasons

# Pillow warns of broken metadata; in tests warnings are errors, which would hide what happens in service.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

SIGNATURES = (
    b"",
    b"\xff\xd8\xff\xe0",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\x20\0\0\0WEBPVP8 ",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"P6\n2 2\n255\n",
    b"P7\n",
    b"\0\0\0\x0cjP  \r\n\x87\n",
    b"\0\0\0\x20ftypavif",
    b"\0\0\0\x20ftypheic",
)
FORMATS = tuple(name for name in formats.FORMATS if name != formats.HEIF)
LIMITS = DecodeLimits(max_pixels=1_000_000)
QUICK = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def _encoded(image_format: str) -> bytes:
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, image_format, exif=exif)
    return buffer.getvalue()


ENCODED = {image_format: _encoded(image_format) for image_format in FORMATS}


def decodes_or_says_why_not(data: bytes, reduce_to_px: int | None) -> None:
    try:
        pixels = decode(data, reduce_to_px=reduce_to_px, limits=LIMITS)
    except BadInput as error:
        said: tuple[str, str] = (type(error).reason, str(error))
    else:
        said = (str(pixels.dtype), str(pixels.shape[2:]))
    assert said[0] == "uint8" or said[0] in reasons()
    assert said[1]


@QUICK
@given(st.sampled_from(SIGNATURES), st.binary(max_size=400), st.none() | st.integers(1, 64))
def test_random_bytes(signature: bytes, rest: bytes, reduce_to_px: int | None) -> None:
    decodes_or_says_why_not(signature + rest, reduce_to_px)


@QUICK
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12),
    st.none() | st.integers(1, 64),
)
def test_mutated_images(image_format: str, mutations: list[tuple[float, int]], reduce_to_px: int | None) -> None:
    data = bytearray(ENCODED[image_format])
    for where, value in mutations:
        data[int(where * len(data))] = value
    decodes_or_says_why_not(bytes(data), reduce_to_px)


@QUICK
@given(
    st.sampled_from(("JPEG", "PNG", "TIFF", "GIF", "WEBP")),
    st.floats(0, 0.3),
    st.lists(st.integers(0, 255), min_size=1, max_size=16),
)
def test_mutated_headers(image_format: str, where: float, values: list[int]) -> None:
    data = bytearray(ENCODED[image_format])
    start = int(where * len(data))
    data[start : start + len(values)] = bytes(values)
    decodes_or_says_why_not(bytes(data), None)


@QUICK
@given(st.sampled_from(FORMATS), st.floats(0, 1), st.binary(max_size=20))
def test_cut_images(image_format: str, where: float, tail: bytes) -> None:
    data = ENCODED[image_format]
    decodes_or_says_why_not(data[: int(where * len(data))] + tail, None)


def _what_comes_of(data: bytes, reduce_to_px: int | None) -> tuple[object, ...]:
    try:
        pixels = decode(data, reduce_to_px=reduce_to_px, limits=LIMITS)
    except BadInput as error:
        return type(error), str(error)
    return pixels.shape, pixels.tobytes()


def _jpeg(**options: object) -> bytes:
    noise = np.random.default_rng(2).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((72, 54), Image.Resampling.BICUBIC).save(buffer, "JPEG", **options)
    return buffer.getvalue()


JPEGS = (_jpeg(), _jpeg(progressive=True), _jpeg(restart_marker_blocks=2), _jpeg(subsampling=0, quality=95))


@QUICK
@given(
    st.sampled_from(JPEGS),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 3), st.binary(max_size=3)), max_size=3),
    st.none() | st.integers(1, 64),
)
def test_a_damaged_jpeg_comes_to_the_same_both_ways(
    data: bytes, damages: list[tuple[float, int, bytes]], reduce_to_px: int | None
) -> None:
    for where, missing, more in damages:
        at = 2 + int(where * (len(data) - 2))
        data = data[:at] + more + data[at + missing :]
    as_it_is = _what_comes_of(data, reduce_to_px)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(jpeg, "flawless", lambda *_: None)
        assert _what_comes_of(data, reduce_to_px) == as_it_is
