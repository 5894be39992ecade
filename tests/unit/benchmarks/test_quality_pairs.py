import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality.__main__ import command
from benchmarks.quality.evaluate import _recall, evenly
from benchmarks.quality.pairs import near_pairs, nearest_other, point_at_rate, precision_recall
from benchmarks.quality.report import BEGIN, END, with_figures
from benchmarks.quality.tools import HashTool, OwnTool
from benchmarks.quality.transforms import CORE_UPRIGHT, TRANSFORMS
from tests.support.pictures import generated

ROOT = Path(__file__).parents[3]
PAGE, RESULTS = ROOT / "docs/quality.md", ROOT / "benchmarks/results/quality.json"


def test_point_stops_below_the_first_pair_too_many() -> None:
    point = point_at_rate([0.1, 0.2, 0.3, 0.4], pairs=20, rate=0.1, whole=False)
    assert (point.allowed, point.within, point.rate) == (2, 2, 0.1)
    assert point.threshold == np.nextafter(0.3, 0)


def test_point_with_ties_takes_all_of_them_or_none() -> None:
    point = point_at_rate([3, 5, 5, 5, 9], pairs=30, rate=0.1, whole=True)
    assert (point.allowed, point.threshold, point.within) == (3, 4, 1)
    assert point.rate == 1 / 30


def test_point_of_identical_pairs_has_no_threshold() -> None:
    point = point_at_rate([0, 0, 5], pairs=10, rate=0.1, whole=True)
    assert point.threshold is None
    assert point.rate == 0


def test_point_needs_more_distances_than_are_allowed() -> None:
    with pytest.raises(ValueError, match="2 smallest distances cannot tell where 2"):
        point_at_rate([1, 2], pairs=20, rate=0.1, whole=True)


@given(st.lists(st.integers(0, 20), min_size=2, max_size=60), st.floats(0.01, 0.9))
def test_point_is_the_largest_threshold_that_keeps_the_rate(distances: list[int], rate: float) -> None:
    point = point_at_rate(sorted(distances), len(distances), rate, whole=True)
    within = {far: sum(distance <= far for distance in distances) for far in range(-1, 21)}
    best = max(far for far, count in within.items() if count <= point.allowed)
    assert point.threshold == (None if best < 0 else best)
    assert point.within == within[best]


def test_near_pairs_are_those_of_all_pairs_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.quality.pairs.BLOCK_ROWS", 4)
    rows = np.random.default_rng(0).integers(0, 2, size=(11, 16)).astype(np.float16)
    bits = [(int(np.sum(rows[i] != rows[j])), i, j) for i in range(11) for j in range(i + 1, 11)]
    near = near_pairs(rows, 9, 6)
    assert near.pairs == 55
    assert near.within == sum(far <= 6 for far, _, _ in bits)
    assert near.squared.tolist() == sorted(far for far, _, _ in bits)[:9]
    assert all(
        (far, i, j) in bits for far, i, j in zip(near.squared, near.left.tolist(), near.right.tolist(), strict=True)
    )
    nearest = [min(far for far, i, j in bits if row in {i, j}) for row in range(11)]
    assert nearest_other(rows).tolist() == nearest


def test_precision_counts_a_negative_for_each_copy() -> None:
    curve = precision_recall(np.array([1.0, 2.0, 4.0, np.inf]), np.array([3.0, 5.0]))
    assert curve == [
        (1.0, 1.0, 0.25),
        (2.0, 1.0, 0.5),
        (3.0, 0.5, 0.5),
        (4.0, 0.75 / 1.25, 0.75),
        (5.0, 0.75 / 1.75, 0.75),
    ]


def test_recall_includes_the_threshold_and_misses_what_has_no_row() -> None:
    distances = np.full((2, len(TRANSFORMS)), 0.5)
    distances[0, 0] = np.inf
    found = _recall(distances, 0.5)
    assert found["jpeg80"] == 0.5
    assert found["crop20"] == found["beyond"] == 1.0
    assert found["core20"] == pytest.approx(1 - 0.5 / len(CORE_UPRIGHT))
    assert set(_recall(distances, None).values()) == {0.0}


def test_hash_distances_are_bits_and_own_ones_l2() -> None:
    bits = HashTool("h", 4, 1, lambda pixels: pixels[0, 0, 0] > np.arange(4))
    row = bits.describe(np.full((1, 1, 3), 2, dtype=np.uint8))
    assert row is not None
    assert row.tolist() == [1, 1, 0, 0]
    assert bits.distances(np.array([3.0])).tolist() == [3.0]
    own = OwnTool("pixels:4")
    assert own.distances(np.array([0.25])).tolist() == [0.5]
    assert own.squared(0.5) == 0.25
    described = own.describe(generated(0))
    assert described is not None
    assert described.shape == (own.numbers,)


def test_even_sample_takes_both_ends() -> None:
    assert evenly([Path(str(number)) for number in range(11)], 3) == [Path("0"), Path("5"), Path("10")]


def test_command_repeats_the_run_but_not_where_it_writes() -> None:
    assert command(["--out", "x.json", "--photos", "200", "--write-docs"]) == 'make quality ARGS="--photos 200"'
    assert command([]) == "make quality"


def test_page_shows_the_figures_of_the_results() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_figures(page, json.loads(RESULTS.read_text())) == page
    assert page.count(BEGIN.partition("{}")[2]) == page.count(END) == 16
