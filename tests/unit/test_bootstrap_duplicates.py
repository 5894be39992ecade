import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

import bootstrap.duplicates
from bootstrap.duplicates import find_duplicates, rows_by_cell
from neardup.descriptors.base import unit_float16
from neardup.distance import l2_distances
from neardup.types import Descriptors


def descriptors_of(rows: NDArray[np.float32]) -> Descriptors:
    return unit_float16(rows)


def brute_force(descriptors: Descriptors, cells: NDArray[np.intp], radius: float) -> list[int]:
    """Apply the rule word by word: duplicate of the nearest earlier unique image of the cell within the radius."""
    l2 = cdist(descriptors.astype(np.float64), descriptors.astype(np.float64))
    unique_of: list[int] = []
    for row in range(len(descriptors)):
        earlier = [other for other in range(row) if unique_of[other] == other and cells[other] == cells[row]]
        near = [other for other in earlier if l2[row, other] <= radius]
        unique_of.append(min(near, key=lambda other: (l2[row, other], other), default=row))
    return unique_of


@st.composite
def seed_sets(draw: st.DrawFn) -> tuple[Descriptors, NDArray[np.intp], float]:
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, dimension = draw(st.integers(1, 60)), draw(st.integers(1, 6))
    rows = descriptors_of(random.integers(-2, 3, (count, dimension)).astype(np.float32))
    cells = random.integers(0, draw(st.integers(1, 4)), count)
    # A radius that is exactly a distance in the set is the interesting one.
    distances = cdist(rows.astype(np.float64), rows.astype(np.float64)).ravel()
    return rows, cells, float(draw(st.sampled_from([0.0, 0.3, 1.0, 2.0, *distances[:20]])))


@given(seed_sets(), st.integers(1, 9), st.integers(1, 9))
@settings(deadline=None, max_examples=150)
def test_equals_brute_force_whatever_the_blocks(
    seed_set: tuple[Descriptors, NDArray[np.intp], float], block_rows: int, chunk_rows: int
) -> None:
    rows, cells, radius = seed_set
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bootstrap.duplicates, "_BLOCK_ROWS", block_rows)
        patched.setattr(bootstrap.duplicates, "_CHUNK_ROWS", chunk_rows)
        found = find_duplicates(rows, cells, radius)
    expected = brute_force(rows, cells, radius)
    assert found.unique_of.tolist() == expected
    l2 = cdist(rows.astype(np.float64), rows.astype(np.float64))
    assert found.l2_distance.tolist() == [l2[row, unique] for row, unique in enumerate(expected)]


def test_radius_is_inclusive() -> None:
    rows = descriptors_of(np.array([[1, 0], [0.8, 0.6]], dtype=np.float32))
    (l2,) = cdist(rows[:1].astype(np.float64), rows[1:].astype(np.float64))[0]
    cells = np.zeros(2, dtype=np.intp)
    assert find_duplicates(rows, cells, np.nextafter(l2, 0)).unique_of.tolist() == [0, 1]
    assert find_duplicates(rows, cells, l2).unique_of.tolist() == [0, 0]
    assert find_duplicates(rows, cells, np.nextafter(l2, 3)).unique_of.tolist() == [0, 0]


def test_there_are_no_chains() -> None:
    angles = np.array([0.0, 0.1, 0.2, 0.3])
    rows = descriptors_of(np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32))
    found = find_duplicates(rows, np.zeros(4, dtype=np.intp), 0.15)
    assert found.unique_of.tolist() == [0, 0, 2, 2]
    assert found.groups() == {0: [1], 2: [3]}
    assert found.is_unique.tolist() == [True, False, True, False]


def test_cells_are_not_compared_with_one_another() -> None:
    rows = descriptors_of(np.ones((4, 3), dtype=np.float32))
    assert find_duplicates(rows, np.array([5, 2, 5, 2]), 0.5).unique_of.tolist() == [0, 1, 0, 1]


def test_many_copies_of_one_image_take_little_time() -> None:
    rows = np.repeat(descriptors_of(np.ones((1, 256), dtype=np.float32)), 30_000, axis=0)
    found = find_duplicates(rows, np.zeros(30_000, dtype=np.intp), 0.1)
    assert not found.unique_of.any()
    assert not found.l2_distance.any()


def test_wide_descriptors_are_compared_in_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def measured(queries: Descriptors, rows: Descriptors) -> NDArray[np.float64]:
        asked.append((queries.nbytes, rows.nbytes))
        return l2_distances(queries, rows)

    monkeypatch.setattr(bootstrap.duplicates, "l2_distances", measured)
    random = np.random.default_rng(0)
    rows = descriptors_of(random.normal(size=(40, 307_200)).astype(np.float32))
    assert find_duplicates(rows, np.zeros(40, dtype=np.intp), 0.1).is_unique.all()
    # In float64 they take four times as much as in float16.
    assert max(max(pair) for pair in asked) * 4 <= bootstrap.duplicates._BLOCK_BYTES


def test_rows_by_cell_are_in_order_and_skip_empty_cells() -> None:
    assert [rows.tolist() for rows in rows_by_cell(np.array([3, 0, 3, 0, 7]))] == [[1, 3], [0, 2], [4]]
