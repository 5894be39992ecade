"""The edits of the wider lists: each does what it says, the same each time."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks.quality import canvas
from benchmarks.quality.transforms import TRANSFORMS, make_copy, photo_seed
from benchmarks.quality.widened import WIDENED, one_side_cut, turned_and_cut
from neardup.decoding.decode import decode
from tests.support.pictures import generated

SIZES = {
    "filter_vignette": {(120, 80)},
    "gif32": {(120, 80)},
    "screen_photo": {(120, 80)},
    "side_cut30": {(84, 80), (120, 56)},
    "squeezed15": {(102, 80), (120, 68)},
    "sticker": {(120, 80)},
    "webp_jpeg_third": {(40, 27)},
    "white_balance": {(120, 80)},
}


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return Image.fromarray(generated(1, 120, 80))


def test_there_are_14_and_none_is_on_the_list_of_before() -> None:
    assert len(WIDENED) == 14
    assert not set(WIDENED) & set(TRANSFORMS)


@pytest.mark.parametrize("name", WIDENED)
def test_copy_is_the_same_each_time_has_its_size_and_leaves_the_image_alone(name: str, image: Image.Image) -> None:
    before = image.tobytes()
    copy = make_copy(name, image, photo_seed(0, "a.jpg"), WIDENED)
    assert copy == make_copy(name, image, photo_seed(0, "a.jpg"), WIDENED)
    height, width, _ = decode(copy).shape
    assert (width, height) in SIZES.get(name, {(width, height)})
    assert not np.array_equal(decode(copy), np.asarray(image))
    assert image.tobytes() == before


@pytest.mark.parametrize("size", [(100, 100), (16, 300), (300, 16)])
@pytest.mark.parametrize("name", WIDENED)
def test_every_shape_of_photo_has_a_copy(name: str, size: tuple[int, int]) -> None:
    assert decode(make_copy(name, Image.fromarray(generated(2, *size)), 0, WIDENED)).size > 0


@pytest.mark.parametrize(("side", "at"), [(0, (0, 0)), (1, (0, 0)), (2, (-1, -1)), (3, (-1, -1))])
def test_only_the_named_side_is_cut(side: int, at: tuple[int, int], image: Image.Image) -> None:
    cut, whole = np.asarray(one_side_cut(image, side, 0.3)), np.asarray(image)
    assert cut.size == pytest.approx(0.7 * whole.size)
    opposite = (-1, -1) if at == (0, 0) else (0, 0)
    assert np.array_equal(cut[opposite], whole[opposite])
    assert not np.array_equal(cut[at], whole[at])


@pytest.mark.parametrize("degrees", [5, -5, 8])
def test_what_is_turned_has_no_empty_corner_and_its_proportions(degrees: int) -> None:
    turned = turned_and_cut(Image.new("RGB", (300, 200), (200, 200, 200)), degrees)
    assert np.asarray(turned).min() == 200
    assert turned.width / turned.height == pytest.approx(1.5, abs=0.02)
    assert turned.width > 240


def test_a_picture_is_projected_between_its_corners(image: Image.Image) -> None:
    corners = np.array([(30, 20), (90, 20), (90, 60), (30, 60)])
    seen = np.asarray(canvas.projected(image, corners, (1, 2, 3)))
    assert (seen[:19] == (1, 2, 3)).all()
    half = np.asarray(image.resize((60, 40), Image.Resampling.BILINEAR), dtype=int)
    assert np.abs(seen[22:58, 32:88].astype(int) - half[2:-2, 2:-2]).mean() < 2


def test_text_stays_within_its_box() -> None:
    page = Image.new("RGB", (200, 100), "white")
    canvas.draw_text(ImageDraw.Draw(page), (20, 10, 180, 60), np.random.default_rng(0), 9)
    rows, columns = np.nonzero(np.asarray(page)[..., 0] < 128)
    assert 10 <= rows.min() < 25
    assert 40 < rows.max() <= 64
    assert columns.min() >= 20
    assert columns.max() < 180
