"""An image falls to its nearest centroid."""

import numpy as np
import pytest
from numpy.typing import NDArray

from neardup.descriptors.base import unit_float16
from neardup.search.cells import Cells
from neardup.types import Descriptors


def unit_rows(count: int, dimension: int, seed: int = 0) -> Descriptors:
    return unit_float16(np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32))


def nearest_by_brute_force(rows: Descriptors, centroids: NDArray[np.float32]) -> list[int]:
    return [int(np.square(row.astype(np.float64) - centroids.astype(np.float64)).sum(axis=1).argmin()) for row in rows]


@pytest.mark.parametrize("count", [1, 2, 17, 4095, 4096, 4097, 9000])
def test_assignment_is_the_nearest_centroid(count: int) -> None:
    rows, cells = unit_rows(count, 16), Cells(unit_rows(40, 16, seed=1).astype(np.float32))
    assert cells.assign(rows).tolist() == nearest_by_brute_force(rows, cells.centroids)


def test_shorter_centroids_are_no_nearer() -> None:
    # Means of unit vectors are shorter than 1: the inner product alone would prefer the longest.
    cells = Cells(np.array([[0.2, 0.0], [0.9, 0.4]], dtype=np.float32))
    rows = unit_float16(np.array([[1.0, -3.0], [1.0, 0.3]], dtype=np.float32))
    assert cells.assign(rows).tolist() == nearest_by_brute_force(rows, cells.centroids) == [0, 1]


def test_a_tie_goes_to_the_lowest_number() -> None:
    centroids = np.tile(unit_rows(1, 33).astype(np.float32), (50, 1))
    assert Cells(centroids).assign(unit_rows(100, 33, seed=2)).tolist() == [0] * 100


def test_nothing_to_assign() -> None:
    assert Cells(np.eye(3, dtype=np.float32)).assign(np.empty((0, 3), dtype=np.float16)).tolist() == []


def test_one_cell_takes_all() -> None:
    assert Cells(np.zeros((1, 8), dtype=np.float32)).assign(unit_rows(5, 8)).tolist() == [0] * 5


def test_size_and_dimension() -> None:
    cells = Cells(np.zeros((3, 8), dtype=np.float32))
    assert (len(cells), cells.dimension) == (3, 8)


def test_rank_orders_as_distances_do() -> None:
    rows, cells = unit_rows(20, 12), Cells(unit_rows(9, 12, seed=3).astype(np.float32))
    differences = rows.astype(np.float64)[:, np.newaxis] - cells.centroids.astype(np.float64)
    squared = np.square(differences).sum(axis=2)
    assert np.array_equal(cells.rank(rows).argsort(axis=1), squared.argsort(axis=1))


def test_rounding_moves_a_centroid_by_next_to_nothing_and_only_once() -> None:
    centroids = unit_rows(30, 256).astype(np.float32) * np.float32(0.7)
    cells = Cells(centroids)
    assert np.abs(cells.centroids - centroids).max() <= 2.0**-25
    assert np.array_equal(Cells(cells.centroids).centroids, cells.centroids)
    assert cells.centroids.dtype == np.float32


def test_input_is_left_alone() -> None:
    centroids = unit_rows(3, 8).astype(np.float32) / np.float32(3)
    copy = centroids.copy()
    Cells(centroids).assign(unit_rows(4, 8))
    assert np.array_equal(centroids, copy)
