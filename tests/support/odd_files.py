"""Odd, broken and hostile image files, made on the spot, the same on every machine: with what is to become of each."""

import functools
import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from neardup.decoding.formats import has_heif

SIZE = (320, 240)
TRANSPOSE_OF_A_CAMERA = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""By EXIF orientation: how the pixels lie that a reader is to turn back."""


@dataclass(frozen=True)
class OddFile:
    """A file, and what is to become of it.

    Attributes
    ----------
    reason
        Of its dead letter; None when it is decoded.
    picture
        What it shows: files of one picture are duplicates of one another. Empty for a picture of its own.
    """

    name: str
    data: bytes
    reason: str | None = None
    picture: str = ""


def scene(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return an RGB picture that looks like no other."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, image_format: str, more: Sequence[Image.Image] = (), **options: object) -> bytes:
    """Return an image in a format, with more frames or pages if there are any."""
    if more:
        options |= {"save_all": True, "append_images": [frame.copy() for frame in more]}
    buffer = io.BytesIO()
    # Of a copy: Pillow leaves the settings of one encoder in the image, for the next to stumble over.
    image.copy().save(buffer, image_format, **options)
    return buffer.getvalue()


@functools.cache
def odd_files() -> list[OddFile]:
    """Return all of them, made once, the plain picture before its conversions."""
    return [*_conversions(), *_greys(), *_plain(), *_broken(), *_bombs(), *_foreign()]


def _conversions() -> Iterator[OddFile]:
    picture = scene(1)
    opaque = picture.copy()
    opaque.putalpha(255)
    others = [scene(2), scene(3)]
    jpeg = encoded(picture, "JPEG", quality=90)
    files = {
        "plain.jpg": jpeg,
        "progressive.jpg": encoded(picture, "JPEG", quality=85, progressive=True),
        "colour-444.jpg": encoded(picture, "JPEG", quality=98, subsampling=0),
        "quality-10.jpg": encoded(picture, "JPEG", quality=10),
        "cmyk.jpg": encoded(picture.convert("CMYK"), "JPEG", quality=95),
        "trailing-garbage.jpg": jpeg + bytes(range(256)) * 20,
        "stereo.mpo": encoded(picture, "MPO", others),
        "no-end-marker.jpg": jpeg[:-2],
        "plain.png": encoded(picture, "PNG"),
        "deep.png": _png16(picture),
        "opaque.png": encoded(opaque, "PNG"),
        "palette.png": encoded(picture.quantize(128), "PNG"),
        "palette.gif": encoded(picture.quantize(128), "GIF"),
        "lossy.webp": encoded(picture, "WEBP", quality=80),
        "lossless.webp": encoded(picture, "WEBP", lossless=True),
        "plain.bmp": encoded(picture, "BMP"),
        "plain.ppm": encoded(picture, "PPM"),
        "lzw.tiff": encoded(picture, "TIFF", compression="tiff_lzw"),
        "cmyk.tiff": encoded(picture.convert("CMYK"), "TIFF"),
        "pages.tiff": encoded(picture, "TIFF", others),
        "plain.jp2": encoded(picture, "JPEG2000"),
        "plain.avif": encoded(picture, "AVIF", quality=80, speed=10),
        "animated.gif": encoded(picture, "GIF", others),
        "animated.webp": encoded(picture, "WEBP", others),
        "animated.png": encoded(picture, "PNG", others),
        "bad-exif.png": encoded(picture, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage"),
    }
    if has_heif():
        files["plain.heic"] = encoded(picture, "HEIF", quality=80)
    for value, transpose in TRANSPOSE_OF_A_CAMERA.items():
        exif = Image.Exif()
        exif[0x0112] = value
        files[f"orientation-{value}.jpg"] = encoded(picture.transpose(transpose), "JPEG", quality=90, exif=exif)
    for name, data in files.items():
        yield OddFile(name, data, picture="scene")


def _png16(image: Image.Image) -> bytes:
    """Return a PNG of sixteen bits a channel, which Pillow does not write."""
    pixels = np.asarray(image).astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return _png(image.width, image.height, 16, 2, zlib.compress(rows))


def _png(width: int, height: int, bits: int, colour: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _greys() -> Iterator[OddFile]:
    grey = ImageOps.grayscale(scene(4))
    values = np.asarray(grey)
    with_alpha = grey.convert("LA")
    files = {
        "grey.png": encoded(grey, "PNG"),
        "grey.jpg": encoded(grey, "JPEG", quality=90),
        "grey.pgm": encoded(grey, "PPM"),
        "grey-alpha.png": encoded(with_alpha, "PNG"),
        "grey16.png": encoded(Image.fromarray(values.astype(np.uint16) * 257), "PNG"),
        "grey16.tiff": encoded(Image.fromarray(values.astype(np.uint16) * 257), "TIFF"),
        "grey32.tiff": encoded(Image.fromarray(values.astype(np.int32) * 257), "TIFF"),
        "float.tiff": encoded(Image.fromarray(values.astype(np.float32) / np.float32(255)), "TIFF"),
        "grey12of16.png": encoded(Image.fromarray(values.astype(np.uint16) * 16), "PNG"),
        "kelvin.tiff": encoded(Image.fromarray(values.astype(np.float32) * np.float32(0.06) + 283), "TIFF"),
    }
    for name, data in files.items():
        yield OddFile(name, data, picture="grey scene")


def _plain() -> Iterator[OddFile]:
    hidden = scene(5).copy()
    hidden.putalpha(0)
    yield OddFile("white.png", encoded(Image.new("RGB", SIZE, "white"), "PNG"), picture="white")
    empty = Image.new("RGBA", SIZE)
    yield OddFile("fully-transparent.png", encoded(empty, "PNG"), picture="white")
    yield OddFile("fully-transparent.webp", encoded(empty, "WEBP"), picture="white")
    yield OddFile("alpha-of-zeros.png", encoded(hidden, "PNG"), picture="hidden scene")
    yield OddFile("alpha-of-zeros.tiff", encoded(hidden, "TIFF"), picture="hidden scene")
    yield OddFile("black.png", encoded(Image.new("RGB", SIZE), "PNG"))
    yield OddFile("bilevel.png", encoded(scene(6).convert("1"), "PNG"))
    yield OddFile("wrong-name.svg", encoded(scene(7), "JPEG"))
    for name, size in {"strip.png": (20_000, 1), "strip-64.jpg": (20_000, 64), "column.jpg": (1, 20_000)}.items():
        yield OddFile(name, encoded(scene(8 + size[0] + size[1], size), name[-3:].replace("jpg", "jpeg")))
    for image_format in ("PNG", "JPEG", "GIF"):
        dot = Image.new("RGB", (1, 1), "red")
        yield OddFile(f"dot.{image_format.lower()}", encoded(dot, image_format), picture="a red dot")


def _broken() -> Iterator[OddFile]:
    jpeg, png = encoded(scene(10), "JPEG"), encoded(scene(10), "PNG")
    flipped = bytearray(png)
    flipped[png.index(b"IDAT") + 1000] ^= 0xFF
    yield OddFile("empty.jpg", b"", "empty")
    yield OddFile("half.jpg", jpeg[: len(jpeg) // 2], "truncated")
    yield OddFile("nearly-all.jpg", jpeg[: len(jpeg) * 95 // 100], "truncated")
    yield OddFile("half-with-end-marker.jpg", jpeg[: len(jpeg) // 2].rstrip(b"\xff") + b"\xff\xd9", "truncated")
    yield OddFile("head.jpg", jpeg[:100], "truncated")
    yield OddFile("half.png", png[: len(png) // 2], "truncated")
    yield OddFile("flipped.png", bytes(flipped), "undecodable")
    yield OddFile("text.jpg", b"This is no image. " * 20, "undecodable")
    yield OddFile("page.png", b"<html><body>404 not found</body></html>", "undecodable")
    yield OddFile("signature.jpg", b"\xff\xd8\xff\xe0" + bytes(200), "undecodable")


def _bombs() -> Iterator[OddFile]:
    """Yield what declares far more than it holds, and what really holds it."""
    jpeg = bytearray(encoded(Image.new("RGB", (16, 16)), "JPEG"))
    struct.pack_into(">HH", jpeg, jpeg.index(b"\xff\xc0") + 5, 65_500, 65_500)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x02D\x01\0;"
    screen = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    canvas = struct.pack("<I", 16_383 - 1)[:3] * 2
    webp = bytearray(encoded(Image.new("RGBA", (16, 16), (1, 2, 3, 4)), "WEBP", exif=b"Exif\0\0"))
    at = webp.index(b"VP8X") + 12
    webp[at : at + 6] = canvas
    bmp = bytearray(encoded(Image.new("RGB", (16, 16)), "BMP"))
    struct.pack_into("<ii", bmp, 18, 60_000, 60_000)
    tiff = bytearray(encoded(Image.new("L", (16, 16)), "TIFF"))
    for tag in (256, 257):
        entry = tiff.index(struct.pack("<HH", tag, 4)) if struct.pack("<HH", tag, 4) in tiff else -1
        entry = tiff.index(struct.pack("<HH", tag, 3)) if entry < 0 else entry
        struct.pack_into("<HHII", tiff, entry, tag, 4, 1, 60_000)
    lines = zlib.compressobj(9)
    one_bit = lines.compress(bytes(20_000 * (1 + 20_000 // 8))) + lines.flush()
    for name, data in {
        "bomb.png": _png(60_000, 60_000, 8, 2, zlib.compress(bytes(1000))),
        "real-bomb.png": _png(20_000, 20_000, 1, 0, one_bit),
        "bomb.jpg": bytes(jpeg),
        "bomb.gif": b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0) + bytes(6) + frame,
        "bomb-by-extents.gif": screen + frame,
        "bomb.webp": bytes(webp),
        "bomb.bmp": bytes(bmp),
        "bomb.tiff": bytes(tiff),
        "bomb.ppm": b"P6\n60000 60000\n255\n" + bytes(100),
    }.items():
        yield OddFile(name, data, "too-many-pixels")
    first = encoded(scene(11).quantize(64), "GIF")
    yield OddFile("bomb-in-the-second-frame.gif", first[:-1] + frame)


def _foreign() -> Iterator[OddFile]:
    jpeg = encoded(scene(12), "JPEG")
    yield OddFile("arithmetic.jpg", jpeg.replace(b"\xff\xc0", b"\xff\xc9", 1), "unsupported-format")
    yield OddFile("layers.psd", b"8BPS\0\1" + bytes(200), "unsupported-format")
    yield OddFile("icon.ico", encoded(Image.new("RGB", (32, 32)), "ICO"), "unsupported-format")
    yield OddFile("program.eps", encoded(Image.new("RGB", (8, 8)), "EPS"), "unsupported-format")
    yield OddFile("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported-format")
    yield OddFile("document.pdf", b"%PDF-1.7\n" + bytes(200), "unsupported-format")
    if not has_heif():
        yield OddFile("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "unsupported-format")
