import numpy as np
import pytest

from bootstrap.calibration import distances
from bootstrap.calibration.distances import apart, in_order_of_digest, most_images, nearest_pairs
from neardup.search.distance import l2_distances
from neardup.types import Descriptors


def unit_rows(count: int, dimension: int = 12, seed: int = 0) -> Descriptors:
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    unit: Descriptors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    return unit


@pytest.fixture(params=[16, 2048])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, and one."""
    monkeypatch.setattr(distances, "_BLOCK", request.param)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("floor", [0.0, 0.6])
def test_the_nearest_pairs_are_those_of_brute_force(floor: float) -> None:
    rows = unit_rows(90)
    near = nearest_pairs(rows, 200, floor)
    ones, twos = np.triu_indices(90, 1)
    expected = l2_distances(rows, rows)[ones, twos]
    expected = np.sort(expected[expected > floor])[:200]
    assert near.l2_distance.tolist() == pytest.approx(expected.tolist(), abs=0)
    again = l2_distances(rows, rows)[near.rows[:, 0], near.rows[:, 1]]
    assert again.tolist() == near.l2_distance.tolist()
    assert (near.images, near.pairs, near.floor) == (90, 4005, floor)
    assert (near.rows[:, 0] < near.rows[:, 1]).all()


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("reach", [0.0, 0.7, 2.0])
def test_what_is_apart_is_what_greedy_choice_keeps(reach: float) -> None:
    rows = unit_rows(90)
    rows[40], rows[70] = rows[3], rows[3]
    l2 = l2_distances(rows, rows)
    kept: list[int] = []
    for row in range(90):
        if not kept or l2[row, kept].min() > reach:
            kept.append(row)
    assert apart(rows, reach).tolist() == kept


def test_all_pairs_when_there_are_fewer_than_asked_for() -> None:
    assert len(nearest_pairs(unit_rows(5), 1000).l2_distance) == 10
    assert len(nearest_pairs(unit_rows(1), 1000).l2_distance) == 0


def test_the_order_depends_on_the_images_alone() -> None:
    rows = unit_rows(40)
    shuffled = rows[np.random.default_rng(1).permutation(40)]
    assert (rows[in_order_of_digest(rows)] == shuffled[in_order_of_digest(shuffled)]).all()
    assert in_order_of_digest(rows).tolist() != list(range(40))


def test_each_descriptor_comes_once_in_the_order() -> None:
    rows = unit_rows(10)
    assert sorted(in_order_of_digest(np.concatenate([rows, rows])).tolist()) == list(range(10))


def test_long_descriptors_are_sampled_more() -> None:
    assert most_images(256) >= 19_000
    assert most_images(25_088) == 2000
