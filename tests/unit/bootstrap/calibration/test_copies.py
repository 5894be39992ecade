import numpy as np
import pytest

from bootstrap.calibration.copies import joined, merged, originals_by_isolation, originals_by_look, stays
from bootstrap.calibration.isolation import MOST_COPIES
from bootstrap.calibration.looking import LookedPairs
from bootstrap.calibration.tail import NearPairs
from neardup.types import Descriptors


def unit_rows(count: int, seed: int, about: Descriptors | None = None) -> Descriptors:
    """Return float16 (count, 16), anywhere or near others."""
    noise = np.random.default_rng(seed).standard_normal((count, 16))
    rows = noise if about is None else about + 0.002 * noise
    unit: Descriptors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    return unit


def looked(links: dict[tuple[int, int], tuple[float, float, bool]], images: int) -> LookedPairs:
    """Return pairs with their distance, up to what agreement they pass, and whether they are copies."""
    l2, passes, copies = (np.array(each) for each in zip(*links.values(), strict=True))
    return LookedPairs(NearPairs(l2, np.array(list(links), dtype=np.intp), images), passes, copies)


def test_copies_of_copies_are_of_one_image() -> None:
    pairs = looked({(1, 3): (0.3, 0.9, True), (3, 4): (0.4, 0.9, True), (0, 2): (0.2, 0.4, False)}, 6)
    assert originals_by_look(pairs).tolist() == [0, 1, 2, 1, 1, 5]


@pytest.mark.parametrize("count", [MOST_COPIES + 1, MOST_COPIES + 2])
def test_too_many_that_agree_are_a_kind_of_image(count: int) -> None:
    pairs = looked({(0, number): (0.3, 0.9, True) for number in range(1, count)}, count)
    copied = count <= MOST_COPIES + 1
    assert originals_by_look(pairs).tolist() == ([0] * count if copied else list(range(count)))


def test_what_light_edits_reach_is_a_copy_if_it_agrees_nearly_everywhere_or_is_blank() -> None:
    near, far = 0.05, 0.2
    blank = np.inf
    pairs = looked({(0, 1): (near, blank, False), (1, 2): (near, blank, False), (0, 3): (near, 0.3, False)}, 5)
    assert originals_by_look(pairs, 0.1).tolist() == [0, 0, 2, 3, 4]  # 2 is near a copy only
    assert originals_by_look(looked({(0, 1): (far, blank, False)}, 2), 0.1).tolist() == [0, 1]
    many = looked({(0, number): (near, 0.9, True) for number in range(1, 40)}, 40)
    assert originals_by_look(many, 0.1).tolist() == [0] * 40


def test_copies_by_both_rules_are_joined() -> None:
    assert merged(np.array([0, 0, 2, 3]), np.array([0, 1, 1, 3])).tolist() == [0, 0, 0, 3]
    first = np.array([0, 0, 2, 3, 2])
    assert stays(first).tolist() == [0, 2, 3]
    assert joined(first, np.array([0, 1, 0])).tolist() == [0, 0, 2, 0, 2]


def test_what_lies_apart_from_all_others_is_a_copy_only_if_it_agrees() -> None:
    rows = unit_rows(80, 0)
    descriptors = np.concatenate([rows, unit_rows(2, 1, rows[:2])])
    pairs = looked({(0, 80): (0.01, 0.3, False), (1, 81): (0.01, -1.0, False)}, 82)
    found = originals_by_isolation(descriptors, pairs)
    assert np.flatnonzero(found != np.arange(82)).tolist() == [80]
