from itertools import combinations

import numpy as np
import pytest

from benchmarks.quality.low_texture import CLASSES, COUNT, DRAWN, EVERY, edits, picture
from benchmarks.quality.transforms import jpeg
from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.search.distance import l2_distances

pytestmark = pytest.mark.slow

THIN_STROKES = ["sheet_music", "signature", "handwriting", "plot", "ecg"]
QUICK = [name for name in EVERY if not name.startswith("scroll")]
"""Others take a second to draw."""


@pytest.mark.parametrize("name", QUICK)
def test_pictures_are_the_same_each_time_and_change_with_the_seed(name: str) -> None:
    assert picture(name, 7, 0).tobytes() == picture(name, 7, 0).tobytes()
    assert picture(name, 7, 0).tobytes() != picture(name, 7, 1).tobytes()


@pytest.mark.parametrize("name", QUICK)
def test_pictures_of_a_class_differ_by_more_than_noise(name: str) -> None:
    scenes = [
        np.asarray(EVERY[name].scene(number, np.random.default_rng(number)), dtype=np.int16)[::4, ::4]
        for number in range(COUNT)
    ]
    assert min(np.abs(one - other).max() for one, other in combinations(scenes, 2)) >= 5


def test_solid_colours_lie_50_grey_levels_apart() -> None:
    colours = [np.asarray(picture("solid", number, 0))[0, 0].astype(int) for number in range(COUNT)]
    assert min(np.abs(one - other).max() for one, other in combinations(colours, 2)) >= 50


def test_lamps_stand_a_twenty_fifth_of_the_width_apart() -> None:
    places = []
    for number in range(COUNT):
        light = np.asarray(picture("night_lamp", number, 0).convert("L"), dtype=float)
        light = np.where(light > 100, light, 0)  # the lamp itself, without glow and noise
        rows, columns = np.indices(light.shape)
        places.append(np.array([(light * rows).sum(), (light * columns).sum()]) / light.sum())
    assert min(np.linalg.norm(one - other) for one, other in combinations(places, 2)) > 0.035 * 320


@pytest.mark.parametrize("name", QUICK)
def test_edits_decode_at_the_size_of_the_picture(name: str) -> None:
    copies = edits(name, 3, 0)
    assert ("fresh_noise" in copies) == (EVERY[name].noise > 0)
    width, height = picture(name, 3, 0).size
    assert ("half" in copies) == (name in DRAWN)
    if name in DRAWN:
        assert decode(copies.pop("half")).shape == (height // 2, width // 2, 3)
    assert {decode(copy).shape for copy in copies.values()} == {(height, width, 3)}


def test_fresh_noise_is_the_same_scene() -> None:
    one, other = (np.asarray(picture("dark_indoor", 0, 0, take=take), dtype=float) for take in (0, 1))
    assert not np.array_equal(one, other)
    assert abs(one.mean() - other.mean()) < 0.1


@pytest.mark.parametrize("name", [*CLASSES, *THIN_STROKES])
def test_the_default_tells_pictures_of_a_class_apart_and_finds_their_edits(name: str) -> None:
    descriptor = load_descriptor("dct")
    groups = []
    for number in range(8):  # a seed that nothing was chosen by
        images = [jpeg(picture(name, number, 9)), *edits(name, number, 9).values()]
        pixels = [decode(data, reduce_to_px=descriptor.reduce_to_px) for data in images]
        groups.append(descriptor.describe([descriptor.prepare(each) for each in pixels]))
    originals = np.stack([group[0] for group in groups])
    alike = l2_distances(originals, originals) <= descriptor.default_radius
    assert np.array_equal(alike, np.eye(len(groups), dtype=bool))
    for group in groups:
        assert l2_distances(group[:1], group).max() <= descriptor.default_radius
