import numpy as np
import pytest
from scipy.special import betaincinv

from bootstrap.calibration.distances import nearest_pairs
from bootstrap.calibration.tail import NearPairs, TailBound, _fits, enough_pairs, tail_bound
from neardup.types import Descriptors

RATE = 1e-6


def independent(exponent: float, images: int, floor: float = 0.0, seed: int = 0) -> NearPairs:
    """Return the nearest pairs where every distance is drawn alone, from F(r) = r ** exponent."""
    rng = np.random.default_rng(seed)
    rows = np.stack(np.triu_indices(images, 1), axis=1)
    l2 = rng.uniform(size=len(rows)) ** (1.0 / exponent)
    order = np.argsort(l2)
    order = order[l2[order] > floor][: enough_pairs(images, RATE)]
    return NearPairs(l2[order], rows[order], images, floor)


def bound_of(near: NearPairs, rate: float = RATE, confidence: float = 0.95) -> TailBound:
    bound = tail_bound(near, rate, confidence)
    assert bound is not None
    return bound


@pytest.mark.parametrize("exponent", [2.0, 8.0, 30.0])
@pytest.mark.parametrize(("part_hidden", "tolerance"), [(0.0, 0.15), (3e-5, 0.2), (1e-3, 0.6)])
def test_a_power_law_is_found(exponent: float, part_hidden: float, tolerance: float) -> None:
    near = independent(exponent, 800, floor=part_hidden ** (1.0 / exponent))
    fit = _fits(near, RATE)[-1]
    assert fit.pairs == (800 if part_hidden == 1e-3 else 400)  # at 400, the floor hides more than half
    assert fit.exponent == pytest.approx(exponent, rel=tolerance)
    # The law says rate = radius ** exponent; what the floor hides is part of the rate.
    assert np.log(fit.rate_at(fit.threshold)) == pytest.approx(exponent * np.log(fit.threshold), abs=0.5)


def test_the_bound_lies_below_the_truth_and_not_far() -> None:
    true = RATE ** (1.0 / 8.0)
    ratios = [bound_of(independent(8.0, 300, seed=seed)).radius / true for seed in range(20)]
    assert np.mean(np.array(ratios) <= 1.0) >= 0.9
    assert np.median(ratios) > 0.6


def test_where_pairs_are_plenty_it_is_the_quantile_with_a_margin() -> None:
    rate = 1e-3
    wanted = enough_pairs(1500, rate)
    rows = np.stack(np.triu_indices(1500, 1), axis=1)
    l2 = np.random.default_rng(3).uniform(size=len(rows)) ** (1.0 / 8.0)
    order = np.argsort(l2)[:wanted]
    held = NearPairs(l2[order], rows[order], 1500)
    radius = bound_of(held, rate).radius
    quantile = l2[order][int(rate * held.pairs)]
    # 1,124 pairs: one deviation of their count is 3 %, of the radius an eighth of that.
    assert 0.98 * quantile < radius < quantile


def test_an_image_that_resembles_many_makes_the_bound_more_careful() -> None:
    near = independent(8.0, 300)
    hub = near.rows.copy()
    hub[::2, 0] = 0
    lopsided = NearPairs(near.l2_distance, hub, near.images)
    assert bound_of(lopsided, 1e-3).radius < 0.95 * bound_of(near, 1e-3).radius


@pytest.mark.parametrize("images", [0, 1, 2, 20])
def test_too_few_pairs_give_no_bound(images: int) -> None:
    rows = np.stack(np.triu_indices(images, 1), axis=1)
    near = NearPairs(np.linspace(0.5, 1.0, len(rows)), rows, images)
    assert tail_bound(near, RATE, 0.95) is None


def test_distances_that_are_all_the_same_are_no_error() -> None:
    rows = np.stack(np.triu_indices(100, 1), axis=1)
    near = NearPairs(np.full(len(rows), np.sqrt(2.0)), rows, 100)
    radius = bound_of(near).radius
    assert 1.0 < radius <= np.sqrt(2.0)


def test_pairs_crowded_at_the_floor_give_a_small_radius() -> None:
    # As of a fixed camera: the nearer, the more. Nobody knows what lies below the floor.
    rows = np.stack(np.triu_indices(100, 1), axis=1)
    l2 = np.sort(0.1 + 0.001 * np.random.default_rng(0).exponential(size=len(rows)))
    assert bound_of(NearPairs(l2, rows, 100, 0.1)).radius < 0.1


def test_radius_and_rate_are_each_others_inverse() -> None:
    fit = bound_of(independent(5.0, 300)).fit
    assert fit.rate_at(fit.radius_at(1e-7)) == pytest.approx(1e-7)
    assert fit.rate_at(0.0) == 0.0
    assert fit.rate_at(1e6) == 1.0


def sphere_radius(dimension: int) -> float:
    """Return the true radius; see benchmarks/calibration_coverage.py."""
    sine = np.sqrt(betaincinv((dimension - 1) / 2.0, 0.5, 2.0 * RATE))
    return float(2.0 * np.sin(np.arcsin(sine) / 2.0))


def on_sphere(dimension: int, images: int, rng: np.random.Generator) -> Descriptors:
    rows = rng.standard_normal((images, dimension))
    unit: Descriptors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    return unit


@pytest.mark.parametrize(("dimension", "least_ratio"), [(6, 0.45), (12, 0.6), (24, 0.7)])
def test_images_on_a_sphere_are_covered(dimension: int, least_ratio: float) -> None:
    """A nominal 95 % holds in about that many seeds: 60 draws of 150 images, whose true radius is known."""
    rng = np.random.default_rng(dimension)
    drawn = (on_sphere(dimension, 150, rng) for _ in range(60))
    bounds = [bound_of(nearest_pairs(rows, enough_pairs(150, RATE))).radius for rows in drawn]
    ratios = np.array(bounds) / sphere_radius(dimension)
    assert (ratios <= 1.0).mean() >= 0.93
    assert least_ratio < np.median(ratios) < 1.0
