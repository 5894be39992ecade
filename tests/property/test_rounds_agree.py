"""Duplicates found in rounds, elsewhere, are those found in one go, and so is what comes later."""

from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neardup.relation import rule
from neardup.relation.images import Images
from neardup.relation.rule import Relation
from neardup.search import rounds
from neardup.search.duplicates import DuplicateFinder
from neardup.search.rounds import find_in_rounds
from tests.support.engines import Pickling
from tests.support.seed_sets import any_looks, related_sets, seed_sets
from tests.support.spectra import described

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def looks_with_a_direction() -> Iterator[None]:
    with patch.object(rule, "looks", any_looks):
        yield


def assert_same(one: DuplicateFinder, other: DuplicateFinder) -> None:
    assert one.found.unique_of.tolist() == other.found.unique_of.tolist()
    assert one.found.l2_distance.tobytes() == other.found.l2_distance.tobytes()


@given(
    related=st.one_of(related_sets(), seed_sets().map(lambda drawn: (Images(drawn[0]), Relation(drawn[1])))),
    settled=st.integers(0, 30),
    judge_settled=st.booleans(),
    sizes=st.tuples(st.integers(1, 20), st.integers(1, 9), st.integers(1, 4)),
    late=st.integers(0, 5),
    withdrawn=st.sets(st.integers(0, 29), max_size=4),
)
@settings(max_examples=150)
def test_rounds_find_what_one_go_finds(  # noqa: PLR0917 - hypothesis passes them by name
    related: tuple[Images, Relation],
    settled: int,
    judge_settled: bool,  # noqa: FBT001 - likewise
    sizes: tuple[int, int, int],
    late: int,
    withdrawn: set[int],
) -> None:
    images, relation = related
    settled = min(settled, len(images) - 1)
    end = max(settled + 1, len(images) - late)
    seen = images.at(np.arange(end))
    seen = seen.with_variants(tuple(variant.at(np.arange(settled, end)) for variant in images.variants))
    at_once = DuplicateFinder(seen, relation, settled=settled, judge_settled=judge_settled)
    with patch.multiple(rounds, ROUND=sizes[0], _PIECE=sizes[1], _GROWTH=sizes[2]):
        found = find_in_rounds(seen, relation, Pickling(), settled=settled, judge_settled=judge_settled)
    assert_same(found, at_once)
    gone = np.array(sorted(row for row in withdrawn if row < settled), dtype=np.intp)
    for finder in (found, at_once):
        if end < len(images):
            finder.add_settled(images.at(np.arange(end, len(images))).with_variants())
        finder.withdraw(gone)
    assert_same(found, at_once)


def test_no_part_is_asked_for_nothing_and_few_are_held() -> None:
    rows = described(np.random.default_rng(1), 3000, 16, 1.0, 0.3)
    engine = Pickling()
    with patch.multiple(rounds, ROUND=100, _PIECE=50):
        uniques = rounds._Uniques(engine, Relation(0.2))
        for start in range(0, 3000, 100):
            uniques.add(np.arange(start, start + 100), Images(rows[start : start + 100]))
        assert len(uniques._parts) <= 4
        found = find_in_rounds(Images(rows), Relation(0.2), engine)
    assert_same(found, DuplicateFinder(Images(rows), Relation(0.2)))
    assert engine.pieces == 2 * 29, "the first round has nothing to be compared with elsewhere"
