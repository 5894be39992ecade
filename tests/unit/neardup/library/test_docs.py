"""The library's page and docstrings: every name is told, and every example gives what it shows."""

import ast
import doctest
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import neardup
from tests.support.small_pictures import make_photos

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "library.md"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def is_ours(value: object) -> bool:
    return getattr(value, "__module__", "").startswith("neardup.library.")


OURS = [name for name in neardup.__all__ if is_ours(getattr(neardup, name))]


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)


def test_the_page_shows_what_happens() -> None:
    text = PAGE.read_text("utf-8")
    assert len(doctest.DocTestParser().get_examples(text)) > 20
    parsed = doctest.DocTestParser().get_doctest(text, {}, "library.md", str(PAGE), 0)
    assert passes(parsed)


def passes(parsed: doctest.DocTest) -> bool:
    said: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=FLAGS).run(parsed, out=said.append)
    assert not failed, "".join(said)
    return True


def documented() -> Iterator[tuple[str, object]]:
    for name in OURS:
        value = getattr(neardup, name)
        yield name, value
        if inspect.isclass(value):
            own = {each: made for each, made in vars(value).items() if not each.startswith("_")}
            yield from ((f"{name}.{each}", getattr(value, each)) for each, made in own.items() if callable_of(made))


def callable_of(value: object) -> bool:
    return inspect.isfunction(value) or isinstance(value, classmethod)


@pytest.mark.parametrize("name", [name for name, _ in documented()])
def test_every_docstring_has_an_example_that_holds(name: str) -> None:
    text = inspect.getdoc(dict(documented())[name]) or ""
    assert "\nExamples\n--------\n" in text
    parsed = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert len(parsed.examples) > 1
    assert passes(parsed)


def test_the_docstrings_are_all_looked_at() -> None:
    assert {"Index.add", "Index.query", "Index.save", "Index.load", "describe", "compare", "find_duplicates"} <= {
        name for name, _ in documented()
    }


def test_every_public_name_stands_on_the_page() -> None:
    named = set(re.findall(r"`([\w.]+)`", PAGE.read_text("utf-8")))
    assert set(neardup.__all__) <= named


def test_what_is_public_is_the_same_for_readers_of_types() -> None:
    [block] = [node for node in ast.parse(inspect.getsource(neardup)).body if isinstance(node, ast.If)][:1]
    typed = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    loaded = {name for names in neardup._NAMES_OF.values() for name in names}
    assert typed == loaded == set(neardup.__all__) - {"__version__"}
    assert set(neardup.__all__) <= set(dir(neardup))


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'find_duplicate'"):
        getattr(neardup, "find_duplicate")  # noqa: B009 - mypy would see it


def test_importing_it_loads_nothing_heavy() -> None:
    script = "import sys, neardup; dir(neardup); print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True, cwd=ROOT)
    assert not set(done.stdout.split()) & {"numpy", "PIL", "scipy", "sklearn", "redis", "kafka", "tensorflow"}


SCRIPT = """
from pathlib import Path
from typing import assert_type

import numpy as np
import numpy.typing as npt
from PIL import Image

import neardup

found = neardup.find_duplicates("photos", radius=0.3, match_flips=True, workers=2)
assert_type(found, neardup.FoundDuplicates[str])
for group in found:
    assert_type(group.kept, str)
    for duplicate in group.duplicates:
        assert_type(duplicate.distance, float)
        assert_type(duplicate.symmetry, neardup.Symmetry)
images: list[neardup.ImageLike] = ["a.jpg", Path("b.jpg"), b"", Image.new("L", (1, 1))]
images.append(np.zeros((1, 1), dtype=np.uint8))
assert_type(neardup.find_duplicates(images), neardup.FoundDuplicates[int])
assert_type(neardup.find_duplicates(["a.jpg"]).kept, tuple[int, ...])
assert_type(neardup.describe(images), npt.NDArray[np.float16])
assert_type(neardup.find_duplicates(neardup.describe("a.jpg")), neardup.FoundDuplicates[int])
assert_type(neardup.compare("a.jpg", b"").verdict, neardup.Verdict)
index = neardup.Index(descriptor="dct", local_change=2.5)
assert_type(index.add("a.jpg", "a"), neardup.Answer)
assert_type(index.add(images), list[neardup.Answer])
assert_type(index.query(images[0]).duplicate_of, str | None)
assert_type(neardup.Index.load("x"), neardup.Index)
"""


@pytest.mark.slow
def test_types_are_precise_for_whoever_uses_it(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(SCRIPT)
    (tmp_path / "wrong.py").write_text("import neardup\nneardup.find_duplicate('photos')\nneardup.Index('dct')\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml"]
    command += ["--cache-dir", str(ROOT / ".mypy_cache"), str(tmp_path / "user.py"), str(tmp_path / "wrong.py")]
    done = subprocess.run(command, capture_output=True, check=False, text=True, cwd=ROOT)
    errors = [line.partition("wrong.py:")[2][:2] for line in done.stdout.splitlines() if ": error: " in line]
    assert errors == ["2:", "3:"], done.stdout + done.stderr
