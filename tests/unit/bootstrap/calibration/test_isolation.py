import numpy as np
import pytest
from numpy.typing import NDArray

from bootstrap.calibration.isolation import MOST_COPIES, originals_of
from neardup.types import Descriptors

DIMENSION = 16


def unit(rows: NDArray[np.float64]) -> Descriptors:
    scaled: Descriptors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    return scaled


def images(count: int, copied: int = 0, copies: int = 1, moved: float = 0.1, seed: int = 0) -> Descriptors:
    """Return images at random; then copies of the first `copied`, each at about the distance `moved`."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, DIMENSION))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    steps = rng.standard_normal((copies, copied, DIMENSION))
    steps *= moved / np.linalg.norm(steps, axis=2, keepdims=True)
    return unit(np.concatenate([rows, (rows[:copied] + steps).reshape(-1, DIMENSION)]))


@pytest.mark.parametrize("copied", [1, 30, 100])
@pytest.mark.parametrize("copies", [1, 3, 10, MOST_COPIES])
def test_copies_are_those_of_their_original(copied: int, copies: int) -> None:
    originals = originals_of(images(500, copied, copies))
    assert originals[500:].tolist() == list(range(copied)) * copies
    # 2 % of what is found may be wrong, as expected.
    assert (originals[:500] != np.arange(500)).sum() <= 0.06 * copied * (copies + 1)


def test_the_first_of_several_copies_stands_for_them() -> None:
    rows = images(500, 10, 3)[::-1]
    originals = originals_of(rows)
    assert (originals <= np.arange(len(rows))).all()
    assert (originals[originals] == originals).all()
    assert len(np.unique(originals)) == 500


def test_chance_makes_no_copies() -> None:
    sets_with_any = sum(bool((originals_of(images(200, seed=seed)) != np.arange(200)).any()) for seed in range(40))
    # 2 % of the sets are expected, 0.8 of them.
    assert sets_with_any <= 4


def test_images_that_crowd_are_no_copies() -> None:
    rng = np.random.default_rng(1)
    pocket = rng.standard_normal((1, DIMENSION)) + 0.05 * rng.standard_normal((40, DIMENSION))
    rows = np.concatenate([images(300), unit(pocket)])
    assert len(np.unique(originals_of(rows))) >= len(rows) - 2


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_small_sets_are_left_as_they_are(count: int) -> None:
    rows = images(count) if count else np.empty((0, DIMENSION), dtype=np.float16)
    assert originals_of(rows).tolist() == list(range(count))


@pytest.mark.parametrize("count", [41, 45, 60])
def test_sets_that_are_just_large_enough_are_looked_at(count: int) -> None:
    assert originals_of(images(count, 2, 2, moved=0.01)).tolist() == [*range(count), 0, 1, 0, 1]


@pytest.mark.parametrize("count", [41, 300])
def test_one_image_again_and_again_is_some_answer(count: int) -> None:
    originals = originals_of(np.repeat(images(1), count, axis=0))
    assert (originals <= np.arange(count)).all()
