"""What is no image, too large or of a refused format is refused with its reason, before it costs anything."""

import io
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neardup.decoding.decode import decode
from neardup.decoding.limits import DecodeLimits
from neardup.errors import (
    BadInput,
    EmptyImage,
    TooManyBytes,
    TooManyPixels,
    TruncatedImage,
    UndecodableImage,
    UnsupportedFormat,
)


def encoded(image_format: str, size: tuple[int, int] = (64, 48)) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, image_format)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_declaring(width: int, height: int) -> bytes:
    """Return a PNG of a few dozen bytes whose header declares this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(b"\0" * 1000)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


class TestLimits:
    def test_no_bytes(self) -> None:
        with pytest.raises(EmptyImage):
            decode(b"")

    def test_bytes_at_the_limit_pass(self) -> None:
        data = encoded("PNG")
        assert decode(data, limits=DecodeLimits(max_bytes=len(data))).shape == (48, 64, 3)

    def test_one_byte_too_many(self) -> None:
        data = encoded("PNG")
        with pytest.raises(TooManyBytes, match=f"{len(data)} bytes, the limit is {len(data) - 1}"):
            decode(data, limits=DecodeLimits(max_bytes=len(data) - 1))

    def test_pixels_at_the_limit_pass(self) -> None:
        assert decode(encoded("JPEG"), limits=DecodeLimits(max_pixels=64 * 48)).shape == (48, 64, 3)

    def test_one_pixel_too_many(self) -> None:
        with pytest.raises(TooManyPixels, match=f"64x48 pixels, the limit is {64 * 48 - 1}"):
            decode(encoded("JPEG"), limits=DecodeLimits(max_pixels=64 * 48 - 1))

    def test_the_limit_counts_before_a_reduction(self) -> None:
        with pytest.raises(TooManyPixels):
            decode(encoded("JPEG", (800, 800)), reduce_to_px=100, limits=DecodeLimits(max_pixels=700 * 700))

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    @pytest.mark.parametrize("size", [(60_000, 60_000), (12_000, 8_000), (9_000, 8_000)])
    def test_a_bomb_is_refused_by_its_header(self, size: tuple[int, int]) -> None:
        # Beyond Pillow's own limit, between its warning and its limit, and below both.
        decode(encoded("PNG"))
        tracemalloc.start()
        with pytest.raises(TooManyPixels):
            decode(png_declaring(*size))
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak_bytes < 1_000_000

    def test_a_small_header_with_too_little_data_is_no_bomb(self) -> None:
        with pytest.raises(TruncatedImage):
            decode(png_declaring(200, 200))


MEASURE = """
import resource, sys
from neardup.decoding.decode import decode
data = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode(data)
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


@pytest.mark.parametrize("image", [Image.new("RGBA", (4000, 3000), (9, 9, 9, 9)), Image.new("F", (4000, 3000), 0.5)])
def test_a_pixel_costs_at_most_16_bytes(image: Image.Image, tmp_path: Path) -> None:
    file = tmp_path / "large.tif"
    image.save(file, "TIFF", compression="tiff_lzw")
    measured = subprocess.run([sys.executable, "-c", MEASURE, file], capture_output=True, check=True, text=True)
    assert int(measured.stdout) <= 16 * 4000 * 3000


class TestBrokenFiles:
    @pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF", "GIF", "BMP", "PPM"])
    @pytest.mark.parametrize("reduce_to_px", [None, 16])
    def test_half_a_file_is_truncated(self, image_format: str, reduce_to_px: int | None) -> None:
        data = encoded(image_format)
        with pytest.raises(TruncatedImage):
            decode(data[: len(data) // 2], reduce_to_px=reduce_to_px)

    @pytest.mark.parametrize("image_format", ["WEBP", "AVIF", "JPEG2000"])
    def test_half_a_file_is_bad_input_in_every_format(self, image_format: str) -> None:
        data = encoded(image_format)
        with pytest.raises(BadInput):
            decode(data[: len(data) // 2])

    def test_a_png_with_a_wrong_checksum_is_not_decoded_in_part(self) -> None:
        data = bytearray(encoded("PNG"))
        data[data.index(b"IDAT") + 2000] ^= 0xFF
        with pytest.raises(UndecodableImage):
            decode(bytes(data))

    @pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
    def test_garbage_after_the_image_does_no_harm(self, image_format: str) -> None:
        data = encoded(image_format)
        assert np.array_equal(decode(data + b"garbage" * 100), decode(data))

    @pytest.mark.parametrize(
        "data",
        [b"\x00", b"hello, I am no image", b"<html><body>404 not found</body></html>", b"\xff\xd8\xff", bytes(1000)],
        ids=["one byte", "text", "html", "start of a JPEG", "zeros"],
    )
    def test_what_is_no_image_is_undecodable(self, data: bytes) -> None:
        with pytest.raises(UndecodableImage):
            decode(data)

    def test_the_detail_holds_the_first_bytes_only(self) -> None:
        with pytest.raises(UndecodableImage) as caught:
            decode(b"A" * 10_000_000)
        assert len(str(caught.value)) < 200


class TestRefusedFormats:
    @pytest.mark.parametrize(
        ("data", "name"),
        [
            (b"8BPS\x00\x01", "PSD"),
            (b"\x00\x00\x01\x00\x01\x00", "ICO"),
            (b"qoif\x00\x00\x00\x01", "QOI"),
            (b"DDS |\x00\x00\x00", "DDS"),
            (b"%!PS-Adobe-3.0 EPSF-3.0", "EPS"),
            (b"%PDF-1.7", "PDF"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
            (b"<?xml version='1.0'?><svg/>", "SVG"),
            (b"\xff\x0a\x00\x10", "JPEG XL"),
            (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
            (b"II\xbc\x01\x20\x00\x00\x00", "JPEG XR"),
        ],
        ids=["psd", "ico", "qoi", "dds", "eps", "pdf", "svg", "svg in xml", "jxl", "jxl in boxes", "jxr"],
    )
    def test_the_reason_names_the_format(self, data: bytes, name: str) -> None:
        with pytest.raises(UnsupportedFormat, match=name):
            decode(data + bytes(200))

    @pytest.mark.parametrize("image_format", ["ICO", "TGA", "PCX", "SGI", "DDS", "EPS"])
    def test_formats_that_pillow_knows_and_we_do_not(self, image_format: str) -> None:
        with pytest.raises(BadInput):
            decode(encoded(image_format))
