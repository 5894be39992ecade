"""Distances and ranks are exact: the rational numbers themselves, whatever the order, batch or machine.

Two facts carry the proof in `neardup.search.distance`, and both are tested: every float16 number is a multiple of
2**-24, and rounding a unit vector to float16 leaves its norm below the bound that keeps all sums under 2**53 units.
"""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neardup.descriptors.base import unit_float16
from neardup.search.cells import Cells
from neardup.search.distance import l2_distances, nearest_l2_distances, squared_l2_distances
from neardup.types import Descriptors

UNITS = 2**48
LARGEST_SUM_IN_UNITS = 2**53


@st.composite
def unit_rows(draw: st.DrawFn, most_rows: int = 6, most_numbers: int = 512) -> Descriptors:
    """Draw float16 unit rows of many shapes: dense, sparse, spiky, with subnormal numbers."""
    dimension = draw(st.integers(1, most_numbers))
    count = draw(st.integers(1, most_rows))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.standard_normal((count, dimension)) * 10.0 ** rng.uniform(-draw(st.integers(0, 9)), 0, dimension)
    values[rng.random((count, dimension)) < draw(st.sampled_from([0.0, 0.5, 0.99]))] = 0.0
    return unit_float16(values.astype(np.float32))


def exact_squared(one: Descriptors, other: Descriptors) -> Fraction:
    pairs = zip(one.tolist(), other.tolist(), strict=True)
    return sum((((Fraction(a) - Fraction(b)) ** 2) for a, b in pairs), Fraction(0))


@settings(max_examples=60)
@given(unit_rows())
def test_squared_distances_are_the_rational_numbers(rows: Descriptors) -> None:
    squared = squared_l2_distances(rows, rows)
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            assert Fraction(float(squared[i, j])) == exact_squared(one, other)


@settings(max_examples=100)
@given(unit_rows(most_rows=30), st.integers(0, 2**32 - 1), st.booleans())
def test_the_nearest_is_that_of_all_distances(rows: Descriptors, seed: int, nearly_alike: bool) -> None:  # noqa: FBT001
    rng = np.random.default_rng(seed)
    if nearly_alike:
        # Distances that float32 cannot tell from one another.
        rows = np.repeat(rows[:1], 40, axis=0)
        which = rng.integers(0, rows.shape[1], 40)
        rows[np.arange(40), which] = np.nextafter(rows[np.arange(40), which], np.float16(0))
    queries = rows[rng.integers(0, len(rows), rng.integers(1, 8))]
    borders = [np.sort(rng.integers(0, len(rows) + 1, 2)) for _ in queries]
    parts = [rows[first : max(end, first + 1)] if first < len(rows) else rows[:1] for first, end in borders]
    found = nearest_l2_distances(queries, np.concatenate(parts), np.cumsum([0, *map(len, parts)]))
    assert found.tolist() == [l2_distances(query[None], part).min() for query, part in zip(queries, parts, strict=True)]


@settings(max_examples=60)
@given(unit_rows(most_rows=40), st.integers(0, 2**32 - 1))
def test_order_and_batch_do_not_change_a_bit(rows: Descriptors, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = squared_l2_distances(rows, rows)
    order, numbers = rng.permutation(len(rows)), rng.permutation(rows.shape[1])
    assert np.array_equal(squared_l2_distances(rows, rows[order]), whole[:, order])
    assert np.array_equal(squared_l2_distances(rows[:, numbers], rows[:, numbers]), whole)
    one_by_one = [[squared_l2_distances(one[None], other[None])[0, 0] for other in rows] for one in rows]
    assert np.array_equal(one_by_one, whole)


@settings(max_examples=60)
@given(unit_rows(most_rows=20))
def test_a_loop_and_a_matrix_product_agree(rows: Descriptors) -> None:
    looped = np.zeros((len(rows), len(rows)))
    for column in rows.T.astype(np.float64):
        looped += np.square(np.subtract.outer(column, column))
    assert np.array_equal(squared_l2_distances(rows, rows), looped)


@settings(max_examples=60)
@given(unit_rows(most_rows=3))
def test_distances_are_the_correctly_rounded_roots(rows: Descriptors) -> None:
    for distance, squared in zip(
        l2_distances(rows, rows).ravel(), squared_l2_distances(rows, rows).ravel(), strict=True
    ):
        root, exact = Fraction(float(distance)), Fraction(float(squared))
        below, above = (Fraction(float(np.nextafter(distance, end))) for end in (-1.0, 3.0))
        assert ((root + below) / 2) ** 2 <= exact <= ((root + above) / 2) ** 2 or root == exact == 0


@pytest.mark.parametrize("dimension", [1, 256, 3072, 25_088, 307_200, 3_145_728])
@pytest.mark.parametrize("shape", ["dense", "even", "subnormal"])
def test_rounding_to_float16_keeps_the_sums_within_the_bound(dimension: int, shape: str) -> None:
    if shape == "dense":
        values = np.random.default_rng(dimension).standard_normal(dimension)
    elif shape == "even":
        values = np.ones(dimension)
    else:
        values = np.concatenate([[1.0], np.full(dimension - 1, 4.4e-8)])  # each is rounded up to 2**-24
    row = unit_float16(values[np.newaxis].astype(np.float32))[0].astype(np.float64)
    in_units = row * 2**24
    assert np.array_equal(in_units, np.round(in_units))
    # |a|^2 + |b|^2 + 2 |a|.|b| bounds every partial sum, whatever its order; b may be as long as a.
    assert 4 * np.square(in_units).sum() < LARGEST_SUM_IN_UNITS


@settings(max_examples=40)
@given(unit_rows(most_rows=8, most_numbers=64), st.integers(0, 2**32 - 1))
def test_ranks_of_cells_are_exact(rows: Descriptors, seed: int) -> None:
    cells = Cells(_centroids(rows, seed))
    ranks = cells.rank(rows)
    for i, row in enumerate(rows):
        exact = [_exact_rank(row, centroid) for centroid in cells.centroids]
        assert [Fraction(float(rank)) for rank in ranks[i]] == exact
        assert cells.assign(row[np.newaxis])[0] == exact.index(min(exact))


@settings(max_examples=40)
@given(unit_rows(most_rows=40), st.integers(0, 2**32 - 1))
def test_an_assignment_does_not_depend_on_its_batch(rows: Descriptors, seed: int) -> None:
    cells = Cells(_centroids(rows, seed))
    together = cells.assign(rows)
    assert [int(cells.assign(row[np.newaxis])[0]) for row in rows] == together.tolist()
    assert cells.assign(rows[::-1]).tolist() == together[::-1].tolist()


def _centroids(rows: Descriptors, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(len(rows)), size=5)
    means = (weights @ rows.astype(np.float64)).astype(np.float32)
    return np.concatenate([means, means[::2]])  # some twice: ties


def _exact_rank(row: Descriptors, centroid: NDArray[np.float32]) -> Fraction:
    pairs = [(Fraction(a), Fraction(b)) for a, b in zip(row.tolist(), centroid.tolist(), strict=True)]
    return sum((b * b / 2 - a * b for a, b in pairs), Fraction(0))
