import numpy as np
import pytest

from bootstrap.calibration.counted import counted_bound, most_pairs
from bootstrap.calibration.tail import NearPairs

IMAGES = 400


def pairs(l2: list[float], rows: list[tuple[int, int]], images: int = IMAGES) -> NearPairs:
    return NearPairs(np.array(l2), np.array(rows, dtype=np.intp).reshape(-1, 2), images)


def disjoint(count: int, images: int = IMAGES) -> NearPairs:
    return pairs(
        np.linspace(0.3, 0.6, count).tolist(), [(2 * number, 2 * number + 1) for number in range(count)], images
    )


def test_without_any_pair_the_largest_radius_is_taken_and_three_clumps_of_two_may_have_been_missed() -> None:
    found = counted_bound(pairs([], []), 0.7, 1e-3, 0.95)
    assert found.radius == 0.7
    assert found.shown == pytest.approx(2 * -np.log(0.05) / (IMAGES * (IMAGES - 1) / 2))


def test_pairs_that_the_rate_allows_are_let_in() -> None:
    near = disjoint(3)
    [*_, all_three] = most_pairs(near.rows, IMAGES, 0.95) / near.pairs
    assert counted_bound(near, 0.7, all_three, 0.95).radius == 0.7
    less = counted_bound(near, 0.7, 0.999 * all_three, 0.95)
    assert less.radius == pytest.approx(0.5999, abs=1e-9)  # just below the third
    assert less.shown < 0.999 * all_three


def test_a_set_too_small_for_the_rate_lets_none_in_and_says_what_it_shows() -> None:
    near = disjoint(3)
    found = counted_bound(near, 0.7, 1e-9, 0.95)
    assert found.radius == pytest.approx(0.2999, abs=1e-9)
    assert found.shown == counted_bound(pairs([], []), 0.7, 1e-9, 0.95).shown > 1e-9


def test_one_image_in_many_pairs_leaves_more_in_doubt_than_as_many_pairs_apart() -> None:
    star = np.array([(0, number) for number in range(1, 21)], dtype=np.intp)
    apart = disjoint(20).rows
    assert most_pairs(star, IMAGES, 0.95)[-1] > 2 * most_pairs(apart, IMAGES, 0.95)[-1]
    assert (most_pairs(star, IMAGES, 0.95)[1:] > np.arange(1, 21)).all()


@pytest.mark.parametrize("of_a_kind", [1, 3, 8])
def test_the_bound_holds_as_often_as_it_says(of_a_kind: int) -> None:
    # Images of one kind agree with one another. There are five kinds, of so many images each on average.
    rng, held = np.random.default_rng(of_a_kind), 0
    share = of_a_kind / IMAGES
    for _ in range(200):
        kind = np.minimum(rng.random(IMAGES) // share, 5)
        pairs_of = [
            np.flatnonzero(kind == each)[np.stack(np.triu_indices(int((kind == each).sum()), 1), 1)]
            for each in range(5)
        ]
        found = most_pairs(np.concatenate(pairs_of), IMAGES, 0.95)[-1]
        held += found >= 5 * share**2 * IMAGES * (IMAGES - 1) / 2
    assert held >= 185
