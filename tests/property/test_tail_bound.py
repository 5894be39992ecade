"""What holds for the bound of a tail whatever the distances."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.calibration.tail import NearPairs, TailBound, tail_bound

IMAGES = 60
PAIRS = IMAGES * (IMAGES - 1) // 2


@st.composite
def nearest(draw: st.DrawFn) -> NearPairs:
    """Return pairs of a tail that may be anything: steep, flat, with ties and jumps, with a floor or none."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    exponent = draw(st.floats(0.2, 60.0))
    floor = draw(st.sampled_from([0.0, 0.05]))
    l2 = floor + 1e-6 + rng.uniform(size=PAIRS) ** (1.0 / exponent)
    if draw(st.booleans()):
        l2 = np.ceil(l2 * 20.0) / 20.0 + 1e-3
    l2[: draw(st.integers(0, 200))] *= draw(st.floats(0.5, 1.0))
    l2 = np.maximum(l2, floor + 1e-6)
    order = np.argsort(l2, kind="stable")
    rows = np.stack(np.triu_indices(IMAGES, 1), axis=1)[order]
    return NearPairs(l2[order], rows, IMAGES, floor)


def bound_of(near: NearPairs, rate: float, confidence: float = 0.95) -> TailBound:
    bound = tail_bound(near, rate, confidence)
    assert bound is not None
    return bound


RATES = st.floats(1e-9, 1e-3)


@given(nearest(), RATES)
@settings(max_examples=60)
def test_the_bound_is_finite_and_below_the_estimate(near: NearPairs, rate: float) -> None:
    bound = bound_of(near, rate)
    assert np.isfinite(bound.radius)
    assert 0.0 <= bound.radius <= bound.fit.radius_at(rate) * (1 + 1e-9)
    assert 0.0 < bound.fit.rate <= 1.0


@given(nearest(), RATES, st.floats(0.1, 10.0))
@settings(max_examples=60)
def test_the_unit_of_distance_does_not_matter(near: NearPairs, rate: float, factor: float) -> None:
    scaled = NearPairs(near.l2_distance * factor, near.rows, near.images, near.floor * factor)
    assert np.isclose(bound_of(scaled, rate).radius, factor * bound_of(near, rate).radius, rtol=1e-4, atol=1e-12)


@given(nearest(), RATES)
@settings(max_examples=60)
def test_more_confidence_is_a_smaller_radius(near: NearPairs, rate: float) -> None:
    assert bound_of(near, rate, 0.99).radius <= bound_of(near, rate, 0.9).radius


@given(nearest(), RATES)
@settings(max_examples=60)
def test_the_names_of_images_do_not_matter(near: NearPairs, rate: float) -> None:
    renamed = NearPairs(near.l2_distance, (IMAGES - 1 - near.rows)[:, ::-1], near.images, near.floor)
    assert np.isclose(bound_of(renamed, rate).radius, bound_of(near, rate).radius, rtol=1e-9)
