import numpy as np
import pytest
from numpy.typing import NDArray

from bootstrap.calibration.distances import nearest_pairs
from bootstrap.calibration.isolation import without_copies
from neardup.types import Descriptors

DIMENSION = 16


def unit(rows: NDArray[np.float64]) -> Descriptors:
    scaled: Descriptors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    return scaled


def images(count: int, copies: int = 0, moved: float = 0.1, seed: int = 0) -> Descriptors:
    """Return images at random, the first of them once more at about the distance `moved`, at the end."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, DIMENSION))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    steps = rng.standard_normal((copies, DIMENSION))
    steps *= moved / np.linalg.norm(steps, axis=1, keepdims=True)
    return unit(np.concatenate([rows, rows[:copies] + steps]))


@pytest.mark.parametrize("copies", [1, 30])
def test_a_copy_alone_beside_its_original_is_left_out(copies: int) -> None:
    rows = images(500, copies)
    near = nearest_pairs(rows, 400)
    kept = without_copies(rows, near)
    gone = {tuple(pair) for pair in near.rows.tolist()} - {tuple(pair) for pair in kept.rows.tolist()}
    assert gone == {(row, 500 + row) for row in range(copies)}
    assert len(kept.rows) == len(kept.l2_distance) == 400 - copies
    assert (kept.images, kept.floor) == (near.images, near.floor)
    assert kept.l2_distance.tolist() == sorted(kept.l2_distance.tolist())


def test_chance_makes_no_copies() -> None:
    lost = 0
    for seed in range(20):
        rows = images(200, seed=seed)
        near = nearest_pairs(rows, 400)
        lost += len(near.rows) - len(without_copies(rows, near).rows)
    # 0.05 a set are expected, one in all.
    assert lost <= 4


def test_images_that_crowd_are_no_copies() -> None:
    rng = np.random.default_rng(1)
    pocket = rng.standard_normal((1, DIMENSION)) + 0.05 * rng.standard_normal((40, DIMENSION))
    rows = np.concatenate([images(300), unit(pocket)])
    near = nearest_pairs(rows, 300)
    inside = (near.rows >= 300).all(axis=1)
    kept = without_copies(rows, near)
    assert inside.sum() == 300
    assert len(kept.rows) >= 295


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_small_sets_are_left_as_they_are(count: int) -> None:
    rows = images(count) if count else np.empty((0, DIMENSION), dtype=np.float16)
    near = nearest_pairs(rows, 10)
    assert without_copies(rows, near) is near
