"""A JPEG that holds all of its picture is decoded, whatever its end looks like; one that does not is truncated."""

import io
import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from neardup.decoding import jpeg as jpegs
from neardup.decoding.decode import decode
from neardup.decoding.limits import DecodeLimits
from neardup.errors import TruncatedImage, UnsupportedFormat

END = b"\xff\xd9"
KINDS: dict[str, dict[str, object]] = {
    "baseline": {},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "restarts in rows": {"restart_marker_rows": 1, "subsampling": 0},
    "progressive restarts": {"progressive": True, "restart_marker_rows": 1},
    "grey": {"mode": "L"},
    "cmyk": {"mode": "CMYK"},
}
every_kind = pytest.mark.parametrize("kind", KINDS)
reduced_or_not = pytest.mark.parametrize("reduce_to_px", [None, 40])


def picture(mode: str = "RGB", size: tuple[int, int] = (330, 250)) -> Image.Image:
    """Return a picture with detail everywhere."""
    noise = np.random.default_rng(3).integers(0, 256, (size[1] // 5, size[0] // 5, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode)


def jpeg(kind: str) -> bytes:
    options = dict(KINDS[kind])
    buffer = io.BytesIO()
    picture(str(options.pop("mode", "RGB"))).save(buffer, "JPEG", quality=85, **options)
    return buffer.getvalue()


def start_of_pixels(data: bytes) -> int:
    return data.index(b"\xff\xda") + 14


def cut(data: bytes, share: float) -> bytes:
    """Return a JPEG with a part of its pixels; never between the two bytes of a marker."""
    start = start_of_pixels(data)
    at = start + int((len(data) - start) * share)
    return data[: at - (data[at - 1] == 0xFF)]


class TestWhole:
    @every_kind
    @reduced_or_not
    def test_without_its_end_marker(self, kind: str, reduce_to_px: int | None) -> None:
        data = jpeg(kind)
        assert data.endswith(END)
        whole = decode(data, reduce_to_px=reduce_to_px)
        assert np.array_equal(decode(data[:-2], reduce_to_px=reduce_to_px), whole)
        assert np.array_equal(decode(data[:-1], reduce_to_px=reduce_to_px), whole)

    @every_kind
    def test_pixels_are_those_of_pillow(self, kind: str) -> None:
        data = jpeg(kind)
        with Image.open(io.BytesIO(data)) as image:
            assert np.array_equal(decode(data), np.asarray(image.convert("RGB")))
        with Image.open(io.BytesIO(data)) as image:
            image.draft(image.mode, (40, 40))
            assert np.array_equal(decode(data, reduce_to_px=40), np.asarray(image.convert("RGB")))

    @every_kind
    @pytest.mark.parametrize("padding", [b"\xff", b"\xff" * 7, bytes(300), b"padding" * 20, b"\xff\xd0"])
    def test_padding_before_the_end_marker_does_no_harm(self, kind: str, padding: bytes) -> None:
        data = jpeg(kind)
        assert np.array_equal(decode(data[:-2] + padding + END), decode(data))

    @every_kind
    def test_what_follows_the_picture_does_no_harm(self, kind: str) -> None:
        data = jpeg(kind)
        for more in (b"trailer" * 100, jpeg("baseline"), jpeg("progressive")[:500]):
            assert np.array_equal(decode(data + more), decode(data))

    @every_kind
    def test_the_next_picture_ends_one_without_an_end_marker(self, kind: str) -> None:
        data = jpeg(kind)
        assert np.array_equal(decode(data[:-2] + jpeg("baseline")), decode(data))

    @every_kind
    def test_a_thumbnail_in_the_header_is_not_the_picture(self, kind: str) -> None:
        data = jpeg(kind)
        thumbnail = io.BytesIO()
        picture(size=(64, 48)).save(thumbnail, "JPEG")
        held = b"JFXX\0\x10" + thumbnail.getvalue()
        segment = b"\xff\xe0" + struct.pack(">H", 2 + len(held)) + held
        assert np.array_equal(decode(data[:2] + segment + data[2:-2]), decode(data))

    @pytest.mark.parametrize("kind", ["progressive", "progressive restarts"])
    def test_a_marker_without_a_header_between_scans(self, kind: str) -> None:
        data = jpeg(kind)
        last_scan = data.rindex(b"\xff\xda")
        assert np.array_equal(decode(data[:last_scan] + b"\xff\x01" + data[last_scan:-2]), decode(data))

    @pytest.mark.parametrize("end", [b"", END])
    def test_a_scan_for_each_channel(self, end: bytes) -> None:
        data, planes = one_scan_a_channel()
        assert np.abs(decode(data + end)[:, :, 0].astype(int) - planes).max() <= 2


def at_once(data: bytes, reduce_to_px: int | None = None) -> NDArray[np.uint8] | None:
    with Image.open(io.BytesIO(data)) as image:
        return jpegs.flawless(image, data, reduce_to_px)


class TestFlawless:
    @pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "cmyk"])
    @pytest.mark.parametrize("reduce_to_px", [None, 1, 16, 31, 32, 62, 63, 125, 126, 400])
    def test_the_pixels_of_the_long_way(self, kind: str, reduce_to_px: int | None) -> None:
        data = jpeg(kind)
        # Without its end marker it has a flaw, and takes the long way.
        assert at_once(data[:-2], reduce_to_px) is None
        pixels = at_once(data, reduce_to_px)
        assert pixels is not None
        assert np.array_equal(pixels, decode(data[:-2], reduce_to_px=reduce_to_px))

    @pytest.mark.parametrize("sides", [(1, 1), (7, 7), (7, 300), (8, 8), (9, 17), (23, 15)])
    @pytest.mark.parametrize("reduce_to_px", [None, 1, 2, 3, 8])
    def test_small_pictures(self, sides: tuple[int, int], reduce_to_px: int | None) -> None:
        buffer = io.BytesIO()
        picture(size=(330, 250)).resize(sides).save(buffer, "JPEG", quality=90)
        data = buffer.getvalue()
        assert np.array_equal(decode(data, reduce_to_px=reduce_to_px), decode(data[:-2], reduce_to_px=reduce_to_px))

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_upright(self, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        buffer = io.BytesIO()
        picture().save(buffer, "JPEG", exif=exif)
        data = buffer.getvalue()
        assert at_once(data) is not None
        assert np.array_equal(decode(data), decode(data[:-2]))

    def test_a_flaw_is_seen_to(self) -> None:
        data = jpeg("baseline")
        for flawed in (data[:-2] + b"padding" + END, cut(data, 0.97) + END, data[:-2] + data, jpeg("cmyk")):
            assert at_once(flawed) is None

    def test_kinds_that_are_refused_are_not_decoded(self) -> None:
        assert at_once(jpeg("baseline").replace(b"\xff\xc0", b"\xff\xc9", 1)) is None


class TestBroken:
    @every_kind
    @pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
    @pytest.mark.parametrize("end", [b"", END], ids=["no end", "end"])
    @reduced_or_not
    def test_broken_off(self, kind: str, share: float, end: bytes, reduce_to_px: int | None) -> None:
        with pytest.raises(TruncatedImage):
            decode(cut(jpeg(kind), share) + end, reduce_to_px=reduce_to_px)

    @every_kind
    def test_broken_off_at_every_byte_of_the_end(self, kind: str) -> None:
        # Up to 8 bytes before it, the last unit may be a guess.
        data = jpeg(kind)
        for missing in range(40, 200, 7):
            with pytest.raises(TruncatedImage):
                decode(data[: -2 - missing] + END, reduce_to_px=40)

    @every_kind
    def test_a_hole(self, kind: str) -> None:
        data = jpeg(kind)
        start = start_of_pixels(data) + 1500
        before, behind = data[:start], data[start + 3000 :]
        with pytest.raises(TruncatedImage):
            decode(before.rstrip(b"\xff") + behind.lstrip(b"\0"), reduce_to_px=40)

    @pytest.mark.parametrize("kind", ["baseline", "optimised", "grey"])
    def test_zeros_in_place_of_a_block_of_the_disk(self, kind: str) -> None:
        data = jpeg(kind)
        start = start_of_pixels(data) + 1500
        with pytest.raises(TruncatedImage):
            decode(data[:start].rstrip(b"\xff") + bytes(4096) + data[start + 4096 :].lstrip(b"\0"), reduce_to_px=40)

    @every_kind
    def test_no_pixels_at_all(self, kind: str) -> None:
        data = jpeg(kind)
        with pytest.raises(TruncatedImage):
            decode(data[: data.index(b"\xff\xda")])

    def test_a_channel_is_missing(self) -> None:
        data, _ = one_scan_a_channel()
        with pytest.raises(TruncatedImage):
            decode(data[: data.rindex(b"\xff\xda") + 200] + END)

    @every_kind
    @pytest.mark.parametrize("end", [b"", END], ids=["no end", "end"])
    def test_what_is_there_is_shown_if_that_is_accepted(self, kind: str, end: bytes) -> None:
        data = jpeg(kind)
        shown = decode(cut(data, 0.6) + end, limits=DecodeLimits(accept_truncated=True)).astype(int)
        whole = decode(data)
        assert np.abs(shown[:48] - whole[:48]).mean() < 12
        if "progressive" not in kind:
            assert np.array_equal(shown[:48], whole[:48])
            assert (np.ptp(shown[-16:], axis=(0, 1)) == 0).all()


class TestRareKinds:
    @pytest.mark.parametrize("end", [b"", END])
    @pytest.mark.parametrize("reduce_to_px", [None, 16, 128])
    def test_lossless(self, end: bytes, reduce_to_px: int | None) -> None:
        grey = np.asarray(picture("L"))
        pixels = decode(lossless(grey) + end, reduce_to_px=reduce_to_px)
        assert np.array_equal(pixels, np.repeat(grey[:, :, np.newaxis], 3, axis=2))

    def test_lossless_and_broken_off(self) -> None:
        data = lossless(np.asarray(picture("L")))
        with pytest.raises(TruncatedImage):
            decode(cut(data, 0.5) + END)

    @pytest.mark.parametrize(
        ("frame", "why"),
        [
            (b"\xff\xc9", "with arithmetic coding"),
            (b"\xff\xca", "with arithmetic coding"),
            (b"\xff\xc5", "with a hierarchy of sizes"),
            (b"\xff\xf7", "of the kind JPEG-LS"),
        ],
    )
    @reduced_or_not
    def test_what_is_not_decoded_says_why(self, frame: bytes, why: str, reduce_to_px: int | None) -> None:
        with pytest.raises(UnsupportedFormat, match=f"a JPEG {why}"):
            decode(jpeg("baseline").replace(b"\xff\xc0", frame, 1), reduce_to_px=reduce_to_px)

    @pytest.mark.parametrize(("at", "value", "why"), [(4, 12, "of 12 bits a channel"), (9, 2, "of 2 channels")])
    def test_depth_and_channels_say_why(self, at: int, value: int, why: str) -> None:
        data = bytearray(jpeg("baseline"))
        data[data.index(b"\xff\xc0") + at] = value
        with pytest.raises(UnsupportedFormat, match=f"a JPEG {why}"):
            decode(bytes(data))


def one_scan_a_channel() -> tuple[bytes, NDArray[np.int_]]:
    """Return a baseline JPEG without end marker whose channels follow one another, and the one that R, G and B are."""
    grey = jpeg("grey")
    start = grey.index(b"\xff\xda")
    frame = grey.index(b"\xff\xc0")
    tables, height_and_width = grey[grey.index(b"\xff\xdb") : frame], grey[frame + 5 : frame + 9]
    channels = b"".join(bytes([number, 0x11, 0]) for number in b"RGB")
    more_tables = grey[frame + 2 + int.from_bytes(grey[frame + 2 : frame + 4]) : start]
    header = b"\xff\xc0" + struct.pack(">HB", 17, 8) + height_and_width + b"\x03" + channels
    pixels = grey[start + 10 : -2]
    scans = b"".join(b"\xff\xda\x00\x08\x01" + bytes([number]) + b"\x00\x00\x3f\x00" + pixels for number in b"RGB")
    return grey[:2] + tables + header + more_tables + scans, decode(grey)[:, :, 0].astype(int)


def lossless(grey: NDArray[np.uint8]) -> bytes:
    """Return a lossless JPEG without end marker (T.81, annex H), each pixel told by the one to its left."""
    values = grey.astype(int)
    left = np.concatenate([np.concatenate([[[128]], values[:-1, :1]]), values[:, :-1]], axis=1)
    bits = "".join(map(_coded, (values - left).reshape(-1).tolist()))
    bits += "1" * (-len(bits) % 8)
    pixels = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\x00")
    height, width = grey.shape
    frame = b"\xff\xc3" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    # Nine categories, of four bits each.
    table = b"\xff\xc4" + struct.pack(">HB", 2 + 17 + 9, 0) + bytes([0, 0, 0, 9, *[0] * 12, *range(9)])
    return b"\xff\xd8" + frame + table + b"\xff\xda\x00\x08\x01\x01\x00\x01\x00\x00" + pixels


def _coded(difference: int) -> str:
    category = abs(difference).bit_length()
    more = difference if difference > 0 else difference + (1 << category) - 1
    return f"{category:04b}" + (f"{more:0{category}b}" if category else "")
