"""What a PNG says besides its picture costs neither the picture nor memory, however long it is."""

import io
import re
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from neardup.decoding.decode import decode
from neardup.errors import UndecodableImage

PICTURE = np.random.default_rng(5).integers(0, 256, (24, 36, 3), dtype=np.uint8)
LONG = b'{"node": 7, "widgets": ["model"]}, ' * 60_000
PROFILE = np.random.default_rng(6).bytes(1_600_000)
TURNED = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/>' + b"<rdf:li>saved</rdf:li>" * 100_000 + b"</x:xmpmeta>"


def png(*more: tuple[bytes, bytes], behind: bool = False) -> bytes:
    """Return the picture with more chunks, before its pixels or behind them."""
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "PNG")
    plain = buffer.getvalue()
    at = len(plain) - 12 if behind else 33
    return plain[:at] + b"".join(chunk(*each) for each in more) + plain[at:]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def xmp(text: bytes, *, packed: bool) -> tuple[bytes, bytes]:
    head = b"XML:com.adobe.xmp\0" + (b"\1" if packed else b"\0") + b"\0\0\0"
    return b"iTXt", head + (zlib.compress(text) if packed else text)


LONG_CHUNKS = {
    "text": (b"tEXt", b"workflow\0" + LONG),
    "packed text": (b"zTXt", b"workflow\0\0" + zlib.compress(LONG)),
    "packed international text": (b"iTXt", b"prompt\0\1\0\0\0" + zlib.compress(LONG)),
    "xmp": xmp(LONG, packed=False),
    "packed xmp": xmp(LONG, packed=True),
}


@pytest.mark.parametrize("kind", LONG_CHUNKS)
def test_long_texts(kind: str) -> None:
    assert np.array_equal(decode(png(LONG_CHUNKS[kind])), PICTURE)
    assert np.array_equal(decode(png(LONG_CHUNKS[kind], behind=True)), PICTURE)


@pytest.mark.parametrize("profile", [PROFILE, bytes(1_500_000)], ids=["of a printer", "zeros"])
def test_a_large_profile(profile: bytes) -> None:
    assert np.array_equal(decode(png((b"iCCP", b"printer\0\0" + zlib.compress(profile)))), PICTURE)


def test_all_of_them_together() -> None:
    assert np.array_equal(decode(png((b"iCCP", b"p\0\0" + zlib.compress(PROFILE)), *LONG_CHUNKS.values())), PICTURE)


@pytest.mark.parametrize("history", [xmp(TURNED, packed=False), xmp(TURNED, packed=True)], ids=["plain", "packed"])
@pytest.mark.parametrize("other", [(b"tEXt", b"a\0b"), LONG_CHUNKS["packed text"]], ids=["short", "long"])
def test_a_long_history_still_tells_which_way_is_up(history: tuple[bytes, bytes], other: tuple[bytes, bytes]) -> None:
    assert np.array_equal(decode(png(other, history)), np.rot90(PICTURE, -1))


def test_short_texts_beside_a_long_one_still_count() -> None:
    exif = b"\nexif\n      26\n" + b"49492a00080000000100120103000100000006000000000000000000"
    raw_profile = (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(exif))
    alone = decode(png(raw_profile))
    assert alone.shape == (36, 24, 3)
    assert np.array_equal(decode(png(raw_profile, LONG_CHUNKS["packed text"])), alone)


def test_texts_that_unpack_to_gigabytes_cost_little() -> None:
    packer = zlib.compressobj(9)
    packed = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(256)), packer.flush()])
    data = png(
        (b"zTXt", b"bomb\0\0" + packed),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed),
        (b"iTXt", b"bomb\0\1\0\0\0" + packed),
        (b"iCCP", b"bomb\0\0" + packed),
    )
    tracemalloc.start()
    pixels = decode(data)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(pixels, PICTURE)
    assert peak_bytes < 64 * 1024 * 1024


def test_a_long_text_that_is_broken_behind_its_middle() -> None:
    kind, body = LONG_CHUNKS["packed text"]
    assert np.array_equal(decode(png((kind, body[:-20] + bytes(20)))), PICTURE)


def test_a_broken_picture_beside_a_long_text_is_still_refused() -> None:
    data = bytearray(png(LONG_CHUNKS["packed text"]))
    (pixels,) = re.finditer(b"IDAT", data)
    data[pixels.end() + 50] ^= 0xFF
    with pytest.raises(UndecodableImage):
        decode(bytes(data))
