"""Every kind of image comes out as the same upright RGB pixels."""

import io
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from neardup.decoding.decode import EXIF_ORIENTATION, decode
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.search.distance import l2_distances
from neardup.types import Pixels
from tests.support.odd_files import TRANSPOSE_OF_A_CAMERA

TRANSPOSE_THAT_A_CAMERA_UNDOES = {1: None, **TRANSPOSE_OF_A_CAMERA}


def picture(width: int = 60, height: int = 40) -> Image.Image:
    """Return a smooth RGB picture without any symmetry."""
    rng = np.random.default_rng(7)
    small = Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def oriented(image: Image.Image, value: object, image_format: str, **options: object) -> bytes:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = value
    return encoded(image, image_format, exif=exif, **options)


def bmp_with_alpha(image: Image.Image, alpha: int) -> bytes:
    """Return a BMP of 32 bits whose header says that the fourth byte is alpha (BITMAPV4HEADER)."""
    image = image.copy()
    image.putalpha(alpha)
    pixels = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", "BGRA")
    bits_and_sizes = struct.pack("<IiiHHIIiiII", 108, *image.size, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = bits_and_sizes + masks + bytes(108 - len(bits_and_sizes) - len(masks))
    return b"BM" + struct.pack("<IHHI", 14 + 108 + len(pixels), 0, 0, 14 + 108) + head + pixels


def mean_difference(one: Pixels, other: Pixels) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


RGB = np.asarray(picture())
GREY = np.asarray(picture().convert("L"))
GREY_AS_RGB = np.repeat(GREY[:, :, np.newaxis], 3, axis=2)


class TestModes:
    @pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP", "PPM"])
    def test_lossless_formats_give_the_very_pixels(self, image_format: str) -> None:
        assert np.array_equal(decode(encoded(picture(), image_format)), RGB)

    @pytest.mark.parametrize("image_format", ["JPEG", "WEBP", "AVIF", "JPEG2000", "MPO"])
    def test_lossy_formats_come_close(self, image_format: str) -> None:
        assert mean_difference(decode(encoded(picture(), image_format)), RGB) < 5

    @pytest.mark.parametrize("image_format", ["PNG", "TIFF", "JPEG", "WEBP"])
    def test_pixels_are_uint8_rgb(self, image_format: str) -> None:
        pixels = decode(encoded(picture(), image_format))
        assert pixels.dtype == np.uint8
        assert pixels.shape == (40, 60, 3)

    def test_bilevel(self) -> None:
        image = picture().convert("1")
        assert np.array_equal(decode(encoded(image, "PNG")), np.asarray(image.convert("RGB")))

    def test_grey(self) -> None:
        assert np.array_equal(decode(encoded(Image.fromarray(GREY), "PNG")), GREY_AS_RGB)

    def test_palette(self) -> None:
        image = picture().quantize(16)
        assert np.array_equal(decode(encoded(image, "PNG")), np.asarray(image.convert("RGB")))

    def test_a_transparent_palette_entry_is_white(self) -> None:
        image = picture().quantize(16)
        hidden = np.asarray(image) == 3
        pixels = decode(encoded(image, "PNG", transparency=3))
        assert hidden.any()
        assert (pixels[hidden] == 255).all()
        assert np.array_equal(pixels[~hidden], np.asarray(image.convert("RGB"))[~hidden])

    def test_palette_with_an_alpha_for_each_entry(self) -> None:
        image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "P")
        image.putpalette([255, 0, 0, 0, 0, 255])
        pixels = decode(encoded(image, "PNG", transparency=bytes([0, 255])))
        assert pixels.tolist() == [[[255, 255, 255], [0, 0, 255]]]

    def test_grey_with_alpha_lies_on_white(self) -> None:
        image = Image.merge("LA", [Image.new("L", (2, 1), 100), Image.fromarray(np.array([[0, 255]], dtype=np.uint8))])
        assert decode(encoded(image, "PNG")).tolist() == [[[255] * 3, [100] * 3]]

    def test_half_transparent_black_on_white_is_grey(self) -> None:
        pixels = decode(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG"))
        assert np.abs(pixels.astype(int) - 127).max() <= 1

    def test_opaque_alpha_changes_nothing(self) -> None:
        image = picture().copy()
        image.putalpha(255)
        assert np.array_equal(decode(encoded(image, "PNG")), RGB)

    def test_cmyk_jpeg(self) -> None:
        pixels = decode(encoded(picture().convert("CMYK"), "JPEG", quality=98))
        assert mean_difference(pixels, RGB) < 5

    def test_cmyk_tiff(self) -> None:
        assert np.array_equal(decode(encoded(picture().convert("CMYK"), "TIFF")), RGB)


class TestDrawings:
    """A drawing is to be seen: on white, or else on black; and where all is transparent, the transparency is wrong."""

    @staticmethod
    def drawing(shape: str, colour: int, alpha: int = 255) -> Image.Image:
        image = Image.new("RGBA", (128, 128), (0, 0, 0, 0))
        draw = ImageDraw.Draw(image)
        {"ring": draw.ellipse, "box": draw.rectangle}[shape]((30, 20, 100, 90), fill=(colour, colour, colour, alpha))
        return image

    @pytest.mark.parametrize("descriptor", [load_descriptor("dct"), load_descriptor("copynet")])
    @pytest.mark.parametrize("colour", [255, 250, 0])
    @pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF"])
    def test_two_drawings_are_two_in_every_colour(self, descriptor: Descriptor, colour: int, image_format: str) -> None:
        pixels = [decode(encoded(self.drawing(shape, colour), image_format)) for shape in ("ring", "box")]
        vectors = descriptor.describe([descriptor.prepare(each) for each in pixels])
        assert l2_distances(vectors[:1], vectors[1:])[0, 0] > descriptor.default_radius / 2
        assert all(np.ptp(each) > 200 for each in pixels)

    def test_a_white_palette_entry_beside_a_transparent_one(self) -> None:
        image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "P")
        image.putpalette([255, 255, 255, 255, 255, 255])
        assert decode(encoded(image, "PNG", transparency=0)).tolist() == [[[0] * 3, [255] * 3]]

    def test_a_faint_shadow_stays_on_white(self) -> None:
        image = self.drawing("ring", 0, alpha=20)
        assert decode(encoded(image, "PNG"))[:, :, 0].min() == 255 - 20

    def test_white_on_white_with_an_opaque_alpha_is_white(self) -> None:
        image = Image.new("RGBA", (8, 8), "white")
        assert (decode(encoded(image, "PNG")) == 255).all()

    @pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF"])
    def test_of_one_colour_and_fully_transparent_is_white(self, image_format: str) -> None:
        image = Image.new("RGBA", (60, 40), (200, 30, 30, 0))
        assert (decode(encoded(image, image_format)) == 255).all()

    @pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
    @pytest.mark.parametrize("alpha", [0, 1])
    def test_a_picture_whose_alpha_nobody_wrote_is_itself(self, image_format: str, alpha: int) -> None:
        image = picture().copy()
        image.putalpha(alpha)
        assert np.array_equal(decode(encoded(image, image_format)), RGB)

    @pytest.mark.parametrize("alpha", [0, 255])
    def test_so_is_a_bmp(self, alpha: int) -> None:
        data = bmp_with_alpha(picture(), alpha)
        with Image.open(io.BytesIO(data)) as image:
            assert image.mode == "RGBA"
        assert np.array_equal(decode(data), RGB)


class TestDeepGrey:
    """Pillow clips at 255 what has more than 8 bits; a 16-bit picture must look like its 8-bit twin."""

    @pytest.mark.parametrize("image_format", ["PNG", "TIFF", "JPEG2000"])
    def test_16_bits(self, image_format: str) -> None:
        image = Image.fromarray(GREY.astype(np.uint16) * 257)
        assert image.mode == "I;16"
        assert mean_difference(decode(encoded(image, image_format)), GREY_AS_RGB) < 1

    def test_16_bits_are_scaled_even_when_the_picture_is_dark(self) -> None:
        image = Image.fromarray(np.full((4, 4), 200, dtype=np.uint16))
        assert (decode(encoded(image, "PNG")) == 0).all()

    def test_16_bits_big_endian(self) -> None:
        big_endian = Image.frombytes("I;16B", (60, 40), (GREY.astype(">u2") * 257).tobytes())
        assert np.array_equal(decode(encoded(big_endian, "TIFF")), GREY_AS_RGB)

    @pytest.mark.parametrize(
        "values",
        [
            pytest.param(GREY.astype(np.int32), id="8-bit range"),
            pytest.param(GREY.astype(np.int32) * 257, id="16-bit range"),
        ],
    )
    def test_32_bit_integers(self, values: NDArray[np.int32]) -> None:
        assert np.array_equal(decode(encoded(Image.fromarray(values), "TIFF")), GREY_AS_RGB)

    def test_integers_beyond_16_bits_are_scaled_by_the_brightest_but_for_outliers(self) -> None:
        values = (GREY.astype(np.float64) * (2**31 - 1) / 255).astype(np.int32)
        pixels = decode(encoded(Image.fromarray(values), "TIFF"))
        expected = np.minimum(GREY_AS_RGB * 255.0 / np.percentile(GREY, 99.9), 255)
        assert np.abs(pixels - expected).max() <= 1

    def test_negative_integers_are_black(self) -> None:
        assert (decode(encoded(Image.fromarray(np.full((2, 2), -5, dtype=np.int32)), "TIFF")) == 0).all()

    @pytest.mark.parametrize("scale", [1 / 255, 1, 257], ids=["0 to 1", "0 to 255", "0 to 65535"])
    def test_floats(self, scale: float) -> None:
        values = GREY.astype(np.float32) * np.float32(scale)
        assert mean_difference(decode(encoded(Image.fromarray(values), "TIFF")), GREY_AS_RGB) <= 1

    @pytest.mark.filterwarnings("error")
    def test_floats_that_are_no_numbers(self) -> None:
        values = np.array([[np.nan, -np.inf, np.inf, 255.0, -3e38]], dtype=np.float32)
        pixels = decode(encoded(Image.fromarray(values), "TIFF"))
        assert pixels[0, :, 0].tolist() == [0, 0, 255, 255, 0]

    def test_a_file_full_of_nan_is_black(self) -> None:
        values = np.full((2, 2), np.nan, dtype=np.float32)
        assert (decode(encoded(Image.fromarray(values), "TIFF")) == 0).all()


class TestOrientation:
    @pytest.mark.parametrize("value", TRANSPOSE_THAT_A_CAMERA_UNDOES)
    @pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
    def test_all_values_match_the_upright_twin(self, value: int, image_format: str) -> None:
        assert np.array_equal(decode(oriented(_turned(value), value, image_format)), RGB)

    @pytest.mark.parametrize("value", TRANSPOSE_THAT_A_CAMERA_UNDOES)
    @pytest.mark.parametrize("image_format", ["JPEG", "WEBP", "AVIF", "MPO"])
    def test_all_values_match_in_lossy_formats(self, value: int, image_format: str) -> None:
        assert mean_difference(decode(oriented(_turned(value), value, image_format)), RGB) < 6

    @pytest.mark.parametrize("value", [5, 6, 7, 8])
    def test_a_compressed_tiff_is_turned_once(self, value: int) -> None:
        data = oriented(_turned(value), value, "TIFF", compression="tiff_lzw")
        assert np.array_equal(decode(data), RGB)

    def test_a_reduced_jpeg_is_turned_too(self) -> None:
        image = picture(600, 400).transpose(Image.Transpose.ROTATE_90)
        assert decode(oriented(image, 6, "JPEG"), reduce_to_px=100).shape == (100, 150, 3)

    @pytest.mark.parametrize("value", [0, 9, 65535])
    def test_an_unknown_value_means_upright(self, value: int) -> None:
        assert np.array_equal(decode(oriented(picture(), value, "PNG")), RGB)

    def test_a_value_of_another_type_means_upright(self) -> None:
        header, one_entry, text_6 = b"II*\0\x08\0\0\0", b"\x01\0", b"\x12\x01\x02\0\x02\0\0\x006\0\0\0"
        exif = b"Exif\0\0" + header + one_entry + text_6 + bytes(4)
        assert Image.open(io.BytesIO(encoded(picture(), "PNG", exif=exif))).getexif() == {EXIF_ORIENTATION: "6"}
        assert np.array_equal(decode(encoded(picture(), "PNG", exif=exif)), RGB)

    def test_unreadable_exif_does_not_cost_the_image(self) -> None:
        data = encoded(picture(), "PNG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xffgarbage")
        assert np.array_equal(decode(data), RGB)


def _turned(value: int) -> Image.Image:
    transpose = TRANSPOSE_THAT_A_CAMERA_UNDOES[value]
    return picture() if transpose is None else picture().transpose(transpose)


class TestAnimations:
    @pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_the_first_frame_counts(self, image_format: str) -> None:
        frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
        data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:])
        pixels = decode(data)
        assert pixels.shape == (16, 16, 3)
        assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 3

    def test_a_transparent_gif_lies_on_white(self) -> None:
        image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "P")
        image.putpalette([0, 0, 0, 255, 0, 0])
        assert decode(encoded(image, "GIF", transparency=0)).tolist() == [[[255] * 3, [255, 0, 0]]]


class TestReduction:
    @pytest.mark.parametrize("size", [(2000, 1000), (1000, 2000), (513, 512), (256, 255), (4000, 130), (100, 40)])
    def test_both_sides_keep_what_was_asked_for(self, size: tuple[int, int]) -> None:
        height, width, _ = decode(encoded(picture(*size), "JPEG"), reduce_to_px=128).shape
        assert min(width, height) >= min(128, *size)
        assert width / height == pytest.approx(size[0] / size[1], rel=0.02)

    def test_a_large_jpeg_gets_smaller(self) -> None:
        assert decode(encoded(picture(2000, 1000), "JPEG"), reduce_to_px=125).shape == (125, 250, 3)

    def test_a_reduced_image_looks_the_same(self) -> None:
        data = encoded(picture(800, 600), "JPEG", quality=95)
        whole, reduced = decode(data), decode(data, reduce_to_px=200)
        shrunk = np.asarray(Image.fromarray(whole).resize(reduced.shape[1::-1], Image.Resampling.BOX))
        assert reduced.shape == (300, 400, 3)
        assert mean_difference(shrunk, reduced) < 1

    @pytest.mark.parametrize("image_format", ["PNG", "WEBP", "GIF", "TIFF"])
    def test_other_formats_keep_their_size(self, image_format: str) -> None:
        assert decode(encoded(picture(600, 400), image_format), reduce_to_px=50).shape == (400, 600, 3)

    def test_grey_and_cmyk_jpegs_are_reduced_alike(self) -> None:
        for mode in ("L", "CMYK"):
            assert decode(encoded(picture(800, 800).convert(mode), "JPEG"), reduce_to_px=100).shape == (100, 100, 3)


def test_many_threads_decode_as_one_does() -> None:
    images = [
        encoded(picture(300, 200), "JPEG"),
        encoded(picture(200, 300), "PNG"),
        encoded(picture(), "WEBP"),
        oriented(picture(), 6, "TIFF", compression="tiff_lzw"),
        encoded(picture(), "GIF"),
    ]
    expected = [decode(data) for data in images]
    with ThreadPoolExecutor(16) as pool:
        decoded = list(pool.map(decode, images * 20))
    assert all(np.array_equal(pixels, expected[index % len(images)]) for index, pixels in enumerate(decoded))


def test_decoding_leaves_its_input_alone() -> None:
    data = encoded(picture(), "JPEG")
    copy = bytes(bytearray(data))
    decode(data)
    assert data == copy
