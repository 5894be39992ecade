"""The formats that are decoded are a list, which may be changed; what is off it says so."""

import io
import struct
import sys
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, features

from neardup.decoding.decode import decode
from neardup.decoding.formats import FORMATS, MORE_FORMATS, formats_of, has_heif
from neardup.decoding.limits import DecodeLimits
from neardup.errors import TooManyPixels, TruncatedImage, UndecodableImage, UnsupportedFormat
from neardup.types import Pixels


def picture(width: int = 96, height: int = 64) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    channels = [(x * (3 - channel) + y * (1 + channel)) % 256 for channel in range(3)]
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))


def encoded(image_format: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or picture()).save(buffer, image_format, **options)
    return buffer.getvalue()


def mean_difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


class TestTheList:
    @pytest.mark.parametrize(
        ("text", "formats"),
        [
            ("jpeg", ("JPEG",)),
            ("png, jpeg", ("JPEG", "PNG")),
            ("JPG,tif,heic,jp2,pgm", ("JPEG", "TIFF", "PPM", "JPEG2000", "HEIF")),
            ("+ico", (*FORMATS, "ICO")),
            ("+psd,+ICO,-gif", (*(name for name in FORMATS if name != "GIF"), "ICO", "PSD")),
            (", ".join(FORMATS), FORMATS),
            (",".join(MORE_FORMATS).lower(), MORE_FORMATS),
        ],
    )
    def test_names_and_changes(self, text: str, formats: tuple[str, ...]) -> None:
        assert formats_of(text) == formats

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("eps", "Ghostscript"),
            ("+eps", "Ghostscript"),
            ("pdf", "document"),
            ("svg", "document"),
            ("emf", "Windows"),
            ("jpgg", "unknown format 'JPGG': there are JPEG, PNG"),
            ("mpo", "unknown format"),
            ("jpeg,+ico", "begin each with"),
            ("", "no formats are left"),
            ("-" + ",-".join(FORMATS), "no formats are left"),
        ],
    )
    def test_wrong_ones_say_what_is_wrong(self, text: str, says: str) -> None:
        with pytest.raises(ValueError, match=says):
            formats_of(text)

    @pytest.mark.parametrize("name", [name for name in FORMATS if name != "HEIF"])
    def test_each_format_can_be_left_out(self, name: str) -> None:
        image = picture().convert("L") if name == "PPM" else picture()
        data = encoded(name, image)
        assert decode(data, limits=DecodeLimits(formats=(name,))).shape == (64, 96, 3)
        limits = DecodeLimits(formats=tuple(other for other in FORMATS if other != name))
        with pytest.raises(UndecodableImage if name == "PPM" else UnsupportedFormat):
            decode(data, limits=limits)

    @pytest.mark.parametrize("name", [name for name in MORE_FORMATS if name not in {"ICO", "PSD"}])
    def test_more_formats_can_be_asked_for(self, name: str) -> None:
        data = encoded(name)
        with pytest.raises((UnsupportedFormat, UndecodableImage)):
            decode(data)
        pixels = decode(data, limits=DecodeLimits(formats=formats_of(f"+{name}")))
        assert pixels.shape == (64, 96, 3)
        assert mean_difference(pixels, np.asarray(picture())) < 1

    def test_an_icon_can_be_asked_for(self) -> None:
        data = encoded("ICO", picture(32, 32), sizes=[(32, 32)])
        with pytest.raises(UnsupportedFormat, match="ICO"):
            decode(data)
        assert np.array_equal(
            decode(data, limits=DecodeLimits(formats=formats_of("+ico"))), np.asarray(picture(32, 32))
        )

    def test_a_psd_can_be_asked_for(self) -> None:
        # Version 1, 3 channels, 2 by 1 pixels of 8 bits, RGB; no colour table, resources or layers; raw planes.
        header = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, 1, 2, 8, 3)
        data = header + bytes(12) + b"\0\0" + bytes([255, 0, 0, 255, 0, 0])
        assert decode(data, limits=DecodeLimits(formats=formats_of("+psd"))).tolist() == [[[255, 0, 0], [0, 255, 0]]]


@pytest.mark.skipif(not has_heif(), reason="needs the extra heif")
class TestHeif:
    def test_it_comes_close_to_the_pixels(self) -> None:
        assert mean_difference(decode(encoded("HEIF", quality=95)), np.asarray(picture())) < 4

    def test_transparency_lies_on_white(self) -> None:
        image = picture().copy()
        image.putalpha(Image.linear_gradient("L").resize(image.size).point(lambda alpha: 255 * (alpha > 127)))
        assert decode(encoded("HEIF", image, quality=95))[: image.height // 2 - 8].min() >= 245

    def test_the_files_own_rotation_counts_and_not_that_of_its_exif(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        data = encoded("HEIF", quality=95, exif=exif)
        assert b"Exif" in data
        assert mean_difference(decode(data), np.asarray(picture())) < 4

    def test_a_thumbnail_within_does_not_stand_for_the_image(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pillow_heif.options.THUMBNAILS", True)
        data = encoded("HEIF", picture(512, 512), quality=95, thumbnails=[128])
        with Image.open(io.BytesIO(data)) as image:
            assert image.info["thumbnails"] == [128]
        assert decode(data, reduce_to_px=100).shape == (512, 512, 3)

    def test_too_many_pixels_are_refused(self) -> None:
        with pytest.raises(TooManyPixels):
            decode(encoded("HEIF"), limits=DecodeLimits(max_pixels=64 * 96 - 1))

    def test_half_a_file_is_refused(self) -> None:
        data = encoded("HEIF")
        with pytest.raises((UndecodableImage, TruncatedImage)):
            decode(data[: len(data) // 2])

    def test_it_can_be_left_out(self) -> None:
        with pytest.raises(UnsupportedFormat, match="HEIC is not among the formats"):
            decode(encoded("HEIF"), limits=DecodeLimits(formats=formats_of("-heif")))


class TestWithoutLibraries:
    @pytest.fixture
    def without_heif(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        has_heif.cache_clear()
        yield
        has_heif.cache_clear()

    @pytest.mark.usefixtures("without_heif")
    @pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"msf1", b"hevc"])
    def test_heic_names_the_extra(self, brand: bytes) -> None:
        with pytest.raises(UnsupportedFormat, match=r"pip install 'neardup\[heif\]'"):
            decode(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(100))

    @pytest.mark.usefixtures("without_heif")
    def test_other_formats_do_without(self) -> None:
        assert decode(encoded("AVIF")).shape == (64, 96, 3)

    def test_avif_names_what_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("PIL.AvifImagePlugin.SUPPORTED", False)
        check = features.check
        monkeypatch.setattr(features, "check", lambda name: name != "avif" and check(name))
        with pytest.warns(UserWarning, match="AVIF"), pytest.raises(UnsupportedFormat, match="AVIF needs a Pillow"):
            decode(encoded_avif())


def encoded_avif() -> bytes:
    return b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1A" + bytes(100)


class TestTruncated:
    ACCEPT = DecodeLimits(accept_truncated=True)

    @pytest.mark.parametrize("reduce_to_px", [None, 20])
    @pytest.mark.parametrize("options", [{}, {"optimize": True}, {"restart_marker_rows": 1}], ids=str)
    def test_what_is_there_of_a_jpeg_is_decoded(self, reduce_to_px: int | None, options: dict[str, object]) -> None:
        data = encoded("JPEG", picture(160, 160), quality=95, **options)
        whole = decode(data, reduce_to_px=reduce_to_px)
        with pytest.raises(TruncatedImage):
            decode(data[: len(data) // 2], reduce_to_px=reduce_to_px)
        part = decode(data[: len(data) // 2], reduce_to_px=reduce_to_px, limits=self.ACCEPT)
        assert part.shape == whole.shape
        third = len(whole) // 3
        assert np.array_equal(part[:third], whole[:third])
        # The rest is grey, or the colour of the last block before it broke off.
        assert part[-third:].std(axis=(0, 1)).max() < 1

    def test_a_progressive_jpeg_is_decoded_as_far_as_it_came(self) -> None:
        data = encoded("JPEG", picture(160, 160), quality=95, progressive=True)
        part = decode(data[: len(data) * 9 // 10], limits=self.ACCEPT)
        assert mean_difference(part, decode(data)) < 25

    def test_a_cut_at_every_place_gives_pixels_or_truncated(self) -> None:
        data = encoded("JPEG", picture(40, 40))
        decoded = 0
        for size in range(2, len(data)):
            try:
                decoded += decode(data[:size], limits=self.ACCEPT).shape == (40, 40, 3)
            except (TruncatedImage, UndecodableImage):
                continue
        headers = data.index(b"\xff\xda")
        assert len(data) - headers - 20 <= decoded <= len(data) - headers

    def test_whole_images_stay_what_they_are(self) -> None:
        data = encoded("JPEG")
        assert np.array_equal(decode(data, limits=self.ACCEPT), decode(data))

    @pytest.mark.parametrize("image_format", ["PNG", "TIFF", "GIF", "BMP"])
    def test_other_formats_are_refused_all_the_same(self, image_format: str) -> None:
        data = encoded(image_format)
        with pytest.raises(TruncatedImage):
            decode(data[: len(data) // 2], limits=self.ACCEPT)


class TestDeepColour:
    """Sixteen bits a channel are their eight highest."""

    RGB16 = (np.asarray(picture()).astype(np.uint16) << 8) | 0x7F

    def test_png(self) -> None:
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in self.RGB16)
        chunks = [
            (b"IHDR", struct.pack(">IIBBBBB", 96, 64, 16, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(rows)),
            (b"IEND", b""),
        ]
        data = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks
        )
        assert np.array_equal(decode(data), np.asarray(picture()))

    def test_tiff(self) -> None:
        pixels = self.RGB16.astype("<u2").tobytes()
        # Width, height, bits, no compression, RGB, strip at, samples, rows of the strip, bytes of it.
        entries = [
            (256, 3, 1, 96), (257, 3, 1, 64), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 150),
            (277, 3, 1, 3), (278, 3, 1, 64), (279, 4, 1, len(pixels)),
        ]  # fmt: skip
        directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        head = b"II*\0" + struct.pack("<I", 14) + struct.pack("<HHH", 16, 16, 16) + directory + bytes(4)
        data = head.ljust(150, b"\0") + pixels
        assert np.array_equal(decode(data), np.asarray(picture()))


class TestBombs:
    def test_a_gif_whose_first_frame_outgrows_its_screen(self) -> None:
        # A screen of 1 by 1, and a frame of 65,535 by 65,535 on it.
        frame = b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02D\x01\0;"
        with pytest.raises(TooManyPixels):
            decode(b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + frame)

    def test_a_gif_whose_later_frame_does_is_its_first_frame(self) -> None:
        first = encoded("GIF", Image.new("RGB", (4, 4), "red"))[:-1]
        frame = b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02D\x01\0;"
        assert decode(first + frame).shape == (4, 4, 3)

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    def test_real_data_makes_no_difference(self) -> None:
        with pytest.raises(TooManyPixels):
            decode(encoded("PNG", Image.new("1", (20_000, 8_000))))

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    def test_an_icon_with_a_large_picture_in_it(self) -> None:
        inner = encoded("PNG", Image.new("1", (20_000, 20_000)))
        icon = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
        with pytest.raises(TooManyPixels):
            decode(icon, limits=DecodeLimits(formats=formats_of("+ico")))
