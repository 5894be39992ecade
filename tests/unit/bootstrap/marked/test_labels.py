from pathlib import Path

import numpy as np
import pytest

from bootstrap.marked.labels import LabelledPair, errors_at, fewest_errors, read_labels
from neardup.errors import Misconfigured


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "pairs.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("head", ["", "image_a,image_b,same|different\r\n", "\ufeffimage_a,image_b,said\n"])
def test_pairs_are_read(tmp_path: Path, head: str) -> None:
    marks = read_labels(write(tmp_path, f'{head}a.jpg, b.jpg ,same\n\n"c,1",d,different\n'))
    assert [(mark.images, mark.same) for mark in marks] == [(("a.jpg", "b.jpg"), True), (("c,1", "d"), False)]
    assert marks[0].line == (2 if head else 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no pair in it"),
        ("image_a,image_b,x\n", "there is no pair in it"),
        ("a,b,same\na,b\n", "line 2: it has 2 columns, it should have 3"),
        ("a,b,same\na,c,alike\n", "line 2: the third column is 'alike', it should be same or different"),
        ("a,,same\n", "line 1: an image has no name"),
        ("a,a,same\n", "line 1: both images are 'a'"),
        ("a,b,same\nb,a,different\n", "line 2: line 1 says the opposite of the same two images"),
        ('a,b,same\n"a,b,same\n', "line 2: unexpected end of data"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
    ],
)
def test_wrong_lines_are_told_with_their_number(tmp_path: Path, text: str | bytes, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(Misconfigured) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_all_wrong_lines_are_told_up_to_twenty(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        read_labels(write(tmp_path, "a\n" * 25))
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[-1].endswith("and 5 more")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"--pairs: cannot read .*No such file"):
        read_labels(tmp_path / "no.csv")


def marks_of(same: list[bool]) -> list[LabelledPair]:
    return [LabelledPair(line, (f"a{line}", f"b{line}"), each) for line, each in enumerate(same)]


def test_errors_are_counted_by_kind_and_the_radius_is_inclusive() -> None:
    marks = marks_of([True, True, False, False])
    distances = np.array([0.1, 0.4, 0.2, 0.3])
    assert errors_at(marks, distances, 0.2) == {
        "radius": 0.2,
        "right": 2,
        "same_missed": 1,
        "different_taken_for_duplicates": 1,
    }


@pytest.mark.parametrize("seed", range(20))
def test_no_radius_has_fewer_errors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    marks = marks_of((rng.uniform(size=12) < 0.5).tolist())
    distances = np.round(rng.uniform(size=12), 1)  # ties, and zeros
    best = fewest_errors(marks, distances)
    right = [errors_at(marks, distances, radius)["right"] for radius in np.linspace(0, 1, 101)]
    assert best["right"] == max(right)
    assert best == errors_at(marks, distances, best["radius"])


@pytest.mark.parametrize(("other", "radius"), [(0.5, 0.41235), (0.4123456, 0.4123411)])
def test_the_best_radius_includes_its_pair_as_one_writes_it(other: float, radius: float) -> None:
    best = fewest_errors(marks_of([True, False]), np.array([0.4123411, other]))
    assert (best["radius"], best["right"]) == (radius, 2)
