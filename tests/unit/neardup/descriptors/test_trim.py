"""Bars and frames are not part of a picture; what begins little by little is."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor, trim
from neardup.descriptors.trim import trimmed
from neardup.search.distance import l2_distances
from neardup.types import Pixels
from tests.support.pictures import detailed, flat, generated

PICTURE = detailed()
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def framed(picture: Pixels, bars: tuple[int, int, int, int], colour: tuple[int, int, int], *, noise: int = 0) -> Pixels:
    """Return the picture within bars of (top, bottom, left, right) pixels."""
    top, bottom, left, right = bars
    height, width = picture.shape[:2]
    canvas = flat(*colour, width=left + width + right, height=top + height + bottom).astype(np.int16)
    canvas += np.random.default_rng(0).integers(-noise, noise + 1, canvas.shape, dtype=np.int16)
    canvas[top : top + height, left : left + width] = picture
    return canvas.clip(0, 255).astype(np.uint8)


def as_jpeg(pixels: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return decode(buffer.getvalue())


def distance(spec: str, one: Pixels, other: Pixels) -> float:
    descriptor = load_descriptor(spec)
    rows = descriptor.describe([descriptor.prepare(one), descriptor.prepare(other)])
    return float(l2_distances(rows[:1], rows[1:])[0, 0])


@pytest.mark.parametrize("bars", [(25, 25, 0, 0), (0, 0, 30, 30), (20, 20, 30, 30), (1, 1, 1, 1)])
@pytest.mark.parametrize("colour", [BLACK, WHITE, (40, 90, 200)])
def test_bars_and_frames_go(bars: tuple[int, int, int, int], colour: tuple[int, int, int]) -> None:
    assert np.array_equal(trimmed(framed(PICTURE, bars, colour)), PICTURE)


@pytest.mark.parametrize("quality", [30, 50, 95])
def test_bars_are_found_in_a_jpeg(quality: int) -> None:
    found = trimmed(as_jpeg(framed(PICTURE, (25, 25, 0, 0), BLACK), quality))
    assert found.shape[1] == PICTURE.shape[1]
    assert abs(len(found) - len(PICTURE)) <= 2


def test_bars_are_found_under_noise() -> None:
    assert np.array_equal(trimmed(framed(PICTURE, (25, 25, 30, 30), (128, 128, 128), noise=12)), PICTURE)


def test_a_letterboxed_copy_is_a_duplicate_unless_bars_stay() -> None:
    picture = generated(1)
    copy = as_jpeg(framed(picture, (25, 25, 0, 0), BLACK), 80)
    assert distance("dct", picture, copy) < 0.05
    assert distance("dct:notrim", picture, copy) > load_descriptor("dct:notrim").default_radius


@pytest.mark.parametrize("level", [3, 9])
def test_a_picture_that_is_dark_at_one_end_keeps_it(level: int) -> None:
    street = PICTURE.copy()
    street[-30:] = level  # nothing parts it from the bar below
    assert np.array_equal(trimmed(framed(street, (25, 25, 0, 0), BLACK)), street)


def test_one_end_tells_how_long_the_bar_at_the_other_is() -> None:
    street = PICTURE.copy()
    street[-70:] = 3  # so much of it that no step is found within the largest share
    street[-40:-20, 80:120] = 90
    assert np.array_equal(trimmed(framed(street, (25, 25, 0, 0), BLACK)), street)


def test_of_two_bars_the_shorter_counts() -> None:
    assert np.array_equal(trimmed(framed(PICTURE, (10, 40, 0, 0), WHITE)), framed(PICTURE, (0, 30, 0, 0), WHITE))


def test_a_logo_in_a_bar_does_not_save_it() -> None:
    image = framed(PICTURE, (0, 0, 40, 40), BLACK)
    image[5:35, 5:35] = (200, 30, 30)
    assert np.array_equal(trimmed(image), PICTURE)


def test_a_bar_at_one_end_alone_stays() -> None:
    image = framed(PICTURE, (25, 0, 0, 0), WHITE)
    assert trimmed(image).shape == image.shape


@pytest.mark.parametrize("level", [0, 3, 128, 255])
def test_what_is_uniform_as_a_whole_stays_whole(level: int) -> None:
    image = framed(flat(level, level, level, 100, 80), (0, 0, 0, 0), BLACK)
    noisy = np.clip(image + np.random.default_rng(1).integers(-4, 5, image.shape), 0, 255).astype(np.uint8)
    assert trimmed(image).shape == image.shape
    assert trimmed(noisy).shape == image.shape


def test_a_gradient_stays_whole() -> None:
    sky = np.repeat(np.linspace(60, 220, 300)[:, np.newaxis, np.newaxis], 400, axis=1).repeat(3, axis=2)
    assert trimmed(sky.astype(np.uint8)).shape == sky.shape


def test_a_night_with_one_lamp_stays_whole() -> None:
    y, x = np.mgrid[0:240, 0:320]
    lamp = 240 * np.exp(-((x - 160.0) ** 2 + (y - 120.0) ** 2) / 800)
    night = np.repeat((5 + lamp).clip(0, 255).astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
    assert trimmed(night).shape == night.shape


def test_the_lines_of_a_form_are_no_picture() -> None:
    form = flat(255, 255, 255, 200, 300)
    form[40:42], form[-42:-40] = 0, 0
    assert trimmed(form).shape == form.shape


@pytest.mark.parametrize("power", [2, 4, 6])
def test_a_thing_on_a_white_ground_stays_whole(power: int) -> None:
    y, x = np.mgrid[-1:1:200j, -1:1:240j]
    image = flat(255, 255, 255, 240, 200)
    image[np.abs(x / 0.9) ** power + np.abs(y / 0.7) ** power < 1] = (90, 80, 160)
    assert trimmed(image).shape == image.shape


def test_the_bars_of_a_chart_are_no_picture() -> None:
    chart = flat(255, 255, 255, 320, 240)
    for bar in range(10):
        chart[20 + bar % 3 : 220, 20 + 28 * bar : 36 + 28 * bar] = (50, 100, 160)
    assert trimmed(chart).shape == chart.shape


def test_thin_strokes_on_plain_paper_stay_whole() -> None:
    # The last line of paper holds the ends of three strokes already: its mean would be far from white.
    sheet = flat(255, 255, 255, 61, 100)
    for stroke in range(20):
        end = 20 if stroke < 3 else 22
        sheet[end:-end, 3 * stroke] = 0
    assert trimmed(sheet).shape == sheet.shape
    assert trimmed(sheet.transpose(1, 0, 2)).shape == (61, 100, 3)


def test_ruled_paper_is_no_bar() -> None:
    # A rule is near to the margin, and far from the field behind it; margin and field are near to one another.
    sheet = flat(240, 240, 240, 200, 150)
    sheet[24] = sheet[125] = 229
    sheet[25:125] = 252
    sheet[25:125, ::10] = 0
    assert trimmed(sheet).shape == sheet.shape


def test_bars_of_two_colours_are_no_pair() -> None:
    screen = framed(PICTURE, (25, 30, 0, 0), WHITE)
    assert len(trimmed(screen)) == len(screen) - 50
    screen[:25] = (0, 90, 80)
    assert trimmed(screen).shape == screen.shape


@pytest.mark.parametrize("line", [0, 24])
def test_dust_on_a_line_of_a_bar_does_not_save_it(line: int) -> None:
    picture = detailed(61, 100)
    image = framed(picture, (25, 25, 0, 0), WHITE)
    image[line, :3] = 0
    assert np.array_equal(trimmed(image), picture)


def test_a_quarter_of_each_side_is_left() -> None:
    slit = framed(PICTURE[:20], (90, 90, 0, 0), BLACK)
    assert trimmed(slit).shape == slit.shape


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 2), (3, 200)])
def test_every_size_is_taken(size: tuple[int, int]) -> None:
    assert trimmed(generated(0, *size)).size > 0


@given(
    bars=st.tuples(*[st.integers(0, 60)] * 4),
    level=st.integers(0, 255),
    seed=st.integers(0, 4),
)
def test_a_view_of_a_quarter_at_least(bars: tuple[int, int, int, int], level: int, seed: int) -> None:
    image = framed(generated(seed, 80, 60), bars, (level, level, level))
    before = image.copy()
    found = trimmed(image)
    assert np.array_equal(image, before)
    assert np.shares_memory(found, image)
    assert 4 * found.shape[0] >= image.shape[0]
    assert 4 * found.shape[1] >= image.shape[1]


@given(
    length=st.integers(1, trim.SAMPLES),
    level=st.integers(0, 255),
    noise=st.integers(0, 20),
    specks=st.integers(0, 5),
    seed=st.integers(0, 1000),
)
def test_no_plain_line_is_passed_over(length: int, level: int, noise: int, specks: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    line = (level + rng.integers(-noise, noise + 1, (length, 3))).clip(0, 255).astype(np.uint8)
    line[rng.integers(0, length, specks)] = rng.integers(0, 256, 3)
    differing = trim._differing(line[np.newaxis], trim._colour(line))[0]
    assert trim._may_be_plain(line) or differing > 1 - trim.UNIFORM_SHARE


def test_a_line_of_a_picture_is_passed_over() -> None:
    assert not trim._may_be_plain(PICTURE[0])
