"""When what is stored of two members proves that one duplicates the other."""

import numpy as np
import pytest

from bootstrap.live.checks import is_certain
from neardup.relation.kept import Parts, kept_of, stored_kept
from neardup.relation.looks.look import COUNT, STORED_POINTS
from neardup.relation.rule import Relation
from neardup.types import Kept, Pixels
from tests.support.drawings import jpeg_of, page, photo

LOOKED = Relation(0.75, agreement=0.3)


def stored(pixels: Pixels) -> Kept:
    kept = stored_kept(kept_of(pixels, Parts.LOOK))
    assert kept is not None
    return kept


def half_of(number: int, other: int) -> Pixels:
    half = photo(number)
    half[:, 130:] = photo(other)[:, 130:]
    return half


@pytest.mark.parametrize("picture", [page(0), photo(0)])
def test_what_agrees_nearly_everywhere_is_certain(picture: Pixels) -> None:
    assert is_certain(LOOKED, stored(picture), stored(jpeg_of(picture, 90)), 0.1)


def test_what_agrees_in_half_is_not_as_other_points_may_not() -> None:
    one, other = stored(photo(0)), stored(half_of(0, 1))
    assert one[COUNT] == other[COUNT] == STORED_POINTS
    rows = np.zeros(1, dtype=np.intp)
    assert LOOKED.allow_both_ways(one[np.newaxis], rows, other[np.newaxis], np.array([0.5])).all()
    assert not is_certain(LOOKED, one, other, 0.5)


def test_what_is_stored_whole_is_certain() -> None:
    one, other = stored(photo(0)), stored(half_of(0, 1))
    few = one.copy(), other.copy()
    for look in few:
        look[COUNT] = STORED_POINTS - 1
    assert is_certain(LOOKED, *few, 0.5)
    assert not is_certain(LOOKED, one, few[1], 0.5)


def test_where_no_look_is_taken_a_distance_is_certain() -> None:
    assert is_certain(Relation(0.3), None, None, 0.2)
    assert is_certain(
        LOOKED, stored(np.full((64, 64, 3), 9, np.uint8)), stored(np.full((64, 64, 3), 99, np.uint8)), 0.2
    )
