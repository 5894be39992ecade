import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.quality.transforms import CORE, CORE_UPRIGHT, TRANSFORMS, make_copy, photo_seed
from neardup.decoding.decode import decode
from tests.support.pictures import generated

SIZES = {
    "half": (60, 40),
    "crop5": (114, 76),
    "crop10": (108, 72),
    "crop20": (96, 64),
    "letterbox": (120, 106),
    "rotate90": (80, 120),
    "pad_square": (120, 120),
    "meme": (120, 96),
    "aspect": (96, 80),
    "combination": (57, 38),
    "screenshot": (124, 90),
}


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return Image.fromarray(generated(1, 120, 80))


def test_core_list_has_22_transforms_and_20_that_keep_the_layout() -> None:
    assert len(CORE) == 22
    assert set(CORE) - set(CORE_UPRIGHT) == {"flip", "rotate90"}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_copy_is_the_same_each_time_has_its_size_and_leaves_the_image_alone(name: str, image: Image.Image) -> None:
    before = image.tobytes()
    copy = make_copy(name, image, photo_seed(0, "a.jpg"))
    assert copy == make_copy(name, image, photo_seed(0, "a.jpg"))
    height, width, channels = decode(copy).shape
    assert (width, height, channels) == (*SIZES.get(name, image.size), 3)
    assert image.tobytes() == before


@pytest.mark.parametrize("name", ["timestamp", "logo", "noise8", "meme", "grading", "watermark"])
def test_what_is_drawn_depends_on_the_photo_and_on_the_seed(name: str, image: Image.Image) -> None:
    seeds = [photo_seed(0, "a.jpg"), photo_seed(0, "b.jpg"), photo_seed(1, "a.jpg")]
    assert len({make_copy(name, image, seed) for seed in seeds}) == 3


@pytest.mark.parametrize("name", TRANSFORMS)
def test_only_png_leaves_every_pixel_as_it_was(name: str, image: Image.Image) -> None:
    copy = decode(make_copy(name, image, 0))
    original = np.asarray(image)
    assert np.array_equal(copy, original) == (name == "png")


@pytest.mark.parametrize("seed", range(8))
def test_exif_twin_is_stored_turned_and_decodes_upright(seed: int, image: Image.Image) -> None:
    twin = make_copy("exif_twin", image, seed)
    with Image.open(io.BytesIO(twin)) as stored:
        assert stored.getexif()[0x0112] in {3, 6, 8}
    difference = np.abs(decode(twin).astype(int) - np.asarray(image))
    assert difference.mean() < 2.0
