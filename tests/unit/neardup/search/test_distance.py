"""The radius is inclusive, and smaller is more alike."""

import math
from typing import Any

import numpy as np
import pytest

from neardup.descriptors.base import unit_float16
from neardup.index.base import IndexMeta, decision_of
from neardup.search.distance import l2_distances, similarity, squared_l2_distances
from neardup.types import Descriptors, Match, Member, Verdict


def rows(*values: list[float]) -> Descriptors:
    return np.array(values, dtype=np.float16)


AXES = rows([1, 0, 0], [0, 1, 0], [-1, 0, 0])


def test_known_distances() -> None:
    assert l2_distances(AXES[:1], AXES).tolist() == [[0.0, math.sqrt(2), 2.0]]


def test_shapes_and_type() -> None:
    distances = squared_l2_distances(AXES[:2], AXES)
    assert distances.shape == (2, 3)
    assert distances.dtype == np.float64


def test_nothing_to_compare() -> None:
    assert l2_distances(AXES[:0], AXES).shape == (0, 3)
    assert l2_distances(AXES, AXES[:0]).shape == (3, 0)


def test_an_image_lies_at_zero_from_itself() -> None:
    random = unit_float16(np.random.default_rng(0).standard_normal((50, 256)).astype(np.float32))
    assert (np.diag(squared_l2_distances(random, random)) == 0.0).all()


def test_input_is_left_alone() -> None:
    queries, members = AXES[:1].copy(), AXES.copy()
    squared_l2_distances(queries, members)
    assert np.array_equal(queries, AXES[:1])
    assert np.array_equal(members, AXES)


@pytest.mark.parametrize(("l2_distance", "expected"), [(0.0, 1.0), (1.0, 0.5), (math.sqrt(2), 0.0), (2.0, 0.0)])
def test_similarity_of_known_distances(l2_distance: float, expected: float) -> None:
    assert similarity(l2_distance) == pytest.approx(expected, abs=1e-12)


def test_similarity_falls_as_distance_grows() -> None:
    values = [similarity(distance) for distance in np.linspace(0, 2, 201)]
    assert values == sorted(values, reverse=True)
    assert all(0.0 <= value <= 1.0 for value in values)


def test_similarity_is_the_cosine() -> None:
    one, other = unit_float16(np.array([[3, 1, 2], [2, 2, 1]], dtype=np.float32))
    distance = float(l2_distances(one[np.newaxis], other[np.newaxis])[0, 0])
    assert similarity(distance) == pytest.approx(float(one.astype(float) @ other.astype(float)), abs=1e-3)


@pytest.mark.parametrize(
    ("radius", "verdict"),
    [
        pytest.param(np.nextafter(0.5, 1), Verdict.DUPLICATE, id="just inside"),
        pytest.param(0.5, Verdict.DUPLICATE, id="on the radius"),
        pytest.param(np.nextafter(0.5, 0), Verdict.UNIQUE, id="just outside"),
    ],
)
def test_the_radius_is_inclusive(radius: float, verdict: Verdict) -> None:
    meta: dict[str, Any] = {"name": "n", "generation": 1, "descriptor": "d", "fingerprint": "f", "dimension": 3}
    match = Match(Member("k", "first", AXES[0]), 0.5)
    decision = decision_of(match, IndexMeta(radius=float(radius), **meta), 7)
    assert decision.verdict is verdict
    assert decision.duplicate_of == ("first" if verdict is Verdict.DUPLICATE else None)
    assert (decision.l2_distance, decision.cluster, decision.generation) == (0.5, 7, 1)


def test_nothing_to_match_is_unique_without_a_distance() -> None:
    decision = decision_of(None, IndexMeta("n", 1, "d", "f", 3, radius=2.0), None)
    assert (decision.verdict, decision.duplicate_of, decision.l2_distance) == (Verdict.UNIQUE, None, None)
