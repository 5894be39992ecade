"""A scene is one picture in every depth, and its negative is not."""

import io
import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, ImageFileDirectory_v2, TiffImageFile

from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.errors import UndecodableImage
from neardup.search.distance import l2_distances
from neardup.types import Pixels

Grey = NDArray[np.float64]


def scene(number: int, darkest: float = 0.0, brightest: float = 255.0) -> Grey:
    """Return a scene in whole grey levels, float64 (120, 160)."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    values = np.asarray(smooth, dtype=np.float64)
    values = (values - values.min()) / np.ptp(values)
    return np.asarray(np.round(darkest + values * (brightest - darkest)))


SCENE = scene(1)
AS_RGB = np.repeat(SCENE.astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
DEPTHS = {
    "10 bits": (4.01, 0.0, np.uint16),
    "12 bits": (16.06, 0.0, np.uint16),
    "14 bits": (64.25, 0.0, np.uint16),
    "16 bits": (257.0, 0.0, np.uint16),
    "fractions": (1 / 255, 0.0, np.float32),
    "thermal": (6.0, 28_315.0, np.uint16),
    "raw thermal": (3.0, 7_200.0, np.uint16),
    "kelvin": (0.06, 283.15, np.float32),
    "Celsius": (0.06, 10.0, np.float32),
    "frost": (0.06, -20.0, np.float32),
    "Hounsfield": (8.0, -1000.0, np.int32),
    "millimetres": (20.0, 500.0, np.int32),
    "far beyond": (4.0, 2.0e9, np.int32),
}
every_depth = pytest.mark.parametrize("depth", DEPTHS)
every_descriptor = pytest.mark.parametrize("descriptor", [load_descriptor("dct"), load_descriptor("copynet")])


def encoded(values: NDArray[np.generic], image_format: str = "TIFF", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, image_format, **options)
    return buffer.getvalue()


def in_depth(grey: Grey, depth: str) -> NDArray[np.generic]:
    scale, offset, kind = DEPTHS[depth]
    return (offset + grey * scale).astype(kind)


def tiff_of_white_zero(pixels: bytes, byte_order: str, bits: int, *, is_float: bool = False) -> bytes:
    """Return a TIFF of the scene's size, of one strip."""
    height, width = SCENE.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, PHOTOMETRIC_INTERPRETATION: 0, 273: 200, 277: 1}
    tags |= {278: height, 279: len(pixels), 339: 3 if is_float else 1}
    head = {"<": b"II*\0", ">": b"MM\0*"}[byte_order] + struct.pack(f"{byte_order}IH", 8, len(tags))
    for tag, value in tags.items():
        is_long = tag in {273, 279}
        number = struct.pack(f"{byte_order}I" if is_long else f"{byte_order}HH", *([value] if is_long else [value, 0]))
        head += struct.pack(f"{byte_order}HHI", tag, 4 if is_long else 3, 1) + number
    return head.ljust(200, b"\0") + pixels


def distance(descriptor: Descriptor, one: Pixels, other: Pixels) -> float:
    vectors = descriptor.describe([descriptor.prepare(pixels) for pixels in (one, other)])
    return float(l2_distances(vectors[:1], vectors[1:])[0, 0])


@every_depth
@every_descriptor
def test_a_scene_is_one_picture_in_every_depth(depth: str, descriptor: Descriptor) -> None:
    pixels = decode(encoded(in_depth(SCENE, depth)))
    assert distance(descriptor, pixels, AS_RGB) < descriptor.default_radius / 2


@every_depth
@every_descriptor
def test_three_scenes_are_three(depth: str, descriptor: Descriptor) -> None:
    first, second, third = (decode(encoded(in_depth(scene(number), depth))) for number in (1, 2, 3))
    for one, other in ((first, second), (first, third), (second, third)):
        assert distance(descriptor, one, other) > descriptor.default_radius


@pytest.mark.parametrize("depth", ["10 bits", "12 bits", "14 bits", "16 bits"])
@pytest.mark.parametrize(("darkest", "brightest"), [(0, 255), (20, 230), (60, 200), (2, 140)])
def test_a_picture_of_a_usual_depth_looks_as_in_8_bits(depth: str, darkest: int, brightest: int) -> None:
    # Somewhat pale or dark ones, too: stretched, they would be other pictures than their copies.
    grey = scene(4, darkest, brightest)
    for image_format in ("PNG", "TIFF"):
        pixels = decode(encoded(in_depth(grey, depth), image_format))
        assert np.abs(pixels[:, :, 0] - grey).max() <= 1


class TestNegatives:
    @pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
    @pytest.mark.parametrize("depth", ["12 bits", "16 bits", "thermal"])
    def test_white_is_zero(self, depth: str, compression: str | None) -> None:
        values = in_depth(SCENE, depth)
        negative = values.max() - values
        tags = ImageFileDirectory_v2()
        tags[PHOTOMETRIC_INTERPRETATION] = 0
        data = encoded(negative, tiffinfo=tags, compression=compression)
        with TiffImageFile(io.BytesIO(data)) as image:
            assert image.tag_v2[PHOTOMETRIC_INTERPRETATION] == 0
        assert np.abs(decode(data).astype(int) - AS_RGB).max() <= 2

    @pytest.mark.parametrize("byte_order", "<>")
    @pytest.mark.parametrize("kind", ["u2", "f4"])
    def test_either_byte_order(self, byte_order: str, kind: str) -> None:
        values = (255 - SCENE) * (257 if kind == "u2" else 1 / 255)
        data = tiff_of_white_zero(
            values.astype(byte_order + kind).tobytes(), byte_order, 8 * int(kind[1]), is_float=kind == "f4"
        )
        assert np.abs(decode(data).astype(int) - AS_RGB).max() <= 1

    def test_twelve_bits_side_by_side(self) -> None:
        values = np.round((255 - SCENE) * 4095 / 255).astype(np.uint32).reshape(-1, 2)
        both = values[:, 0] << 12 | values[:, 1]
        packed = np.stack([both >> 16, both >> 8 & 255, both & 255], axis=1).astype(np.uint8).tobytes()
        assert np.abs(decode(tiff_of_white_zero(packed, "<", 12)).astype(int) - AS_RGB).max() <= 1

    def test_a_broken_tiff_is_still_refused(self) -> None:
        with pytest.raises(UndecodableImage):
            decode(tiff_of_white_zero(bytes(1000), ">", 13))


class TestOutliers:
    @pytest.mark.parametrize("value", [0, 65_535])
    @pytest.mark.parametrize("depth", ["12 bits", "thermal"])
    def test_dead_and_hot_pixels(self, depth: str, value: int) -> None:
        values = in_depth(SCENE, depth)
        spots = values.copy()
        spots[::17, ::100] = value
        difference = np.abs(decode(encoded(spots)).astype(int) - decode(encoded(values)))
        assert np.median(difference) <= 1

    @pytest.mark.parametrize("filling", [np.nan, np.inf, -np.inf, -9999.0, -3.4028235e38, 3.4028235e38])
    def test_what_was_not_measured(self, filling: float) -> None:
        values = in_depth(SCENE, "Celsius")
        whole = decode(encoded(values)).astype(int)
        values[:, :20] = filling
        assert np.abs(decode(encoded(values))[:, 20:] - whole[:, 20:]).max() <= 6

    def test_a_ground_with_little_on_it(self) -> None:
        values = np.full((120, 160), 1000, dtype=np.uint16)
        values[50:53, 60:63] = 1400
        pixels = decode(encoded(values))
        assert pixels.min() == 0
        assert (pixels[50:53, 60:63] == 255).all()
