"""Edits and layouts that no choice may see: who opens them, and that they are what they say."""

import ast
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.quality.held_out import HELD_OUT
from benchmarks.quality.held_out_layouts import HELD_OUT_LAYOUTS
from benchmarks.quality.low_texture import EVERY, LAYOUTS, picture
from benchmarks.quality.transforms import TRANSFORMS, make_copy, photo_seed
from benchmarks.quality.widened import WIDENED
from neardup.decoding.decode import decode
from tests.support.pictures import generated

ROOT = Path(__file__).resolve().parents[3]
SOURCES = [
    path
    for path in sorted(ROOT.rglob("*.py"))
    if not any(part.startswith(".") or part in {"dist", "build"} for part in path.relative_to(ROOT).parts)
]
MAY_OPEN = {
    "benchmarks.quality.held_out": {"benchmarks/quality/beyond.py"},
    "benchmarks.quality.held_out_layouts": {"benchmarks/quality/layouts.py"},
}
"""What is kept back, and the evaluation that opens it. This file does, too, to see that it is sound."""
PICTURES = 40


def opens(text: str, kept_back: str) -> bool:
    """Say whether a module's source imports what is kept back, names it to import later, or means to by its path."""
    room, _, module = kept_back.rpartition(".")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import) and any(alias.name == kept_back for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
            if kept_back in names or (node.level and module in {str(node.module), *(each.name for each in node.names)}):
                return True
        if isinstance(node, ast.Constant) and node.value in {kept_back, f"{room.replace('.', '/')}/{module}.py"}:
            return True
    return False


@pytest.mark.parametrize("kept_back", MAY_OPEN)
def test_only_the_evaluation_opens_what_is_kept_back(kept_back: str) -> None:
    module = kept_back.rpartition(".")[2]
    texts = {path: path.read_text("utf-8") for path in SOURCES if path != Path(__file__)}
    opening = {path for path, text in texts.items() if module in text and opens(text, kept_back)}
    assert {str(path.relative_to(ROOT)) for path in opening} <= MAY_OPEN[kept_back]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("import benchmarks.quality.held_out", True),
        ("def later():\n  from benchmarks.quality import held_out", True),
        ("from benchmarks.quality.held_out import HELD_OUT as others", True),
        ("from .held_out import HELD_OUT", True),
        ("from . import held_out", True),
        ("import_module('benchmarks.quality.held_out')", True),
        ("runpy.run_path('benchmarks/quality/held_out.py')", True),
        ("from training.photos import held_out", False),
        ("from benchmarks.quality.held_out_layouts import HELD_OUT_LAYOUTS", False),
        ("figures['held_out']", False),
    ],
)
def test_the_check_sees_who_opens_it(text: str, *, seen: bool) -> None:
    assert opens(text, "benchmarks.quality.held_out") == seen


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return Image.fromarray(generated(1, 120, 80))


def test_there_are_many_kinds_and_none_is_on_another_list() -> None:
    assert len(HELD_OUT) >= 16
    assert not set(HELD_OUT) & {*TRANSFORMS, *WIDENED}


@pytest.mark.parametrize("name", HELD_OUT)
def test_copy_is_the_same_each_time_differs_and_leaves_the_image_alone(name: str, image: Image.Image) -> None:
    before = image.tobytes()
    copy = make_copy(name, image, photo_seed(0, "a.jpg"), HELD_OUT)
    assert copy == make_copy(name, image, photo_seed(0, "a.jpg"), HELD_OUT)
    assert not np.array_equal(decode(copy), np.asarray(image))
    assert image.tobytes() == before


@pytest.mark.parametrize("name", sorted(set(HELD_OUT) - {"stretched"}))
def test_what_is_drawn_depends_on_the_photo(name: str, image: Image.Image) -> None:
    seeds = [photo_seed(0, f"{letter}.jpg") for letter in "abcd"]
    assert len({make_copy(name, image, seed, HELD_OUT) for seed in seeds}) > 1


@pytest.mark.parametrize("size", [(100, 100), (16, 300), (300, 16)])
@pytest.mark.parametrize("name", HELD_OUT)
def test_every_shape_of_photo_has_a_copy(name: str, size: tuple[int, int]) -> None:
    assert decode(make_copy(name, Image.fromarray(generated(2, *size)), 0, HELD_OUT)).size > 0


def test_there_are_many_layouts_and_none_is_among_those_for_choices() -> None:
    assert len(HELD_OUT_LAYOUTS) >= 12
    assert not set(HELD_OUT_LAYOUTS) & set(EVERY)
    assert set(LAYOUTS) < set(EVERY)


@pytest.mark.parametrize("name", HELD_OUT_LAYOUTS)
def test_pictures_are_the_same_each_time_and_change_with_the_seed(name: str) -> None:
    first, again, other = (picture(name, 7, seed, among=HELD_OUT_LAYOUTS).tobytes() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("name", HELD_OUT_LAYOUTS)
def test_pictures_of_a_layout_differ_by_what_is_seen_at_300_px(name: str) -> None:
    shown = []
    for number in range(PICTURES):
        small = picture(name, number, 0, among=HELD_OUT_LAYOUTS).convert("L")
        small.thumbnail((300, 300))
        shown.append(np.asarray(small, dtype=np.int16))
    changed = [np.mean(np.abs(one - other) > 60) for one, other in combinations(shown, 2)]
    assert min(changed) > 0.005, "two are alike but for half a percent of what is seen"
