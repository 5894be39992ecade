import io

import pytest
from PIL import Image

from neardup.decoding.formats import FORMATS, has_heif
from neardup.decoding.header import count_pixels

WRITTEN = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")


def encoded(name: str, width: int = 40, height: int = 30) -> io.BytesIO:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 100, 50)).save(buffer, name)
    return buffer


@pytest.mark.parametrize("name", WRITTEN)
def test_pixels_of_every_format(name: str) -> None:
    assert count_pixels(encoded(name)) == 1200


def test_pixels_of_heic() -> None:
    if not has_heif():
        pytest.skip("extra heif is not installed")
    assert count_pixels(encoded("HEIF")) == 1200
    assert count_pixels(encoded("HEIF"), tuple(name for name in FORMATS if name != "HEIF")) == 0


def test_the_header_is_enough() -> None:
    assert count_pixels(io.BytesIO(encoded("JPEG", 4000, 3000).getvalue()[:700])) == 12_000_000


@pytest.mark.parametrize("data", [b"", b"text, no picture", encoded("PNG").getvalue()[:12], b"\xff\xd8\xff\xe0"])
def test_what_has_no_header_has_no_pixels(data: bytes) -> None:
    assert count_pixels(io.BytesIO(data)) == 0


def test_formats_that_are_not_decoded_are_not_read() -> None:
    assert count_pixels(encoded("GIF"), ("JPEG",)) == 0


def test_a_large_picture_is_measured_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow warns above it
    assert count_pixels(encoded("PNG")) == 1200


def test_what_pillow_refuses_for_its_size_is_larger_than_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # it refuses twice as much
    assert count_pixels(encoded("PNG")) == 1000 > count_pixels(encoded("PNG", 20, 30))
