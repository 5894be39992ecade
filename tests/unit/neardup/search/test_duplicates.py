from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

import neardup.search.duplicates
from neardup.relation import rule
from neardup.relation.images import Images
from neardup.relation.kept import Parts, divided
from neardup.relation.local_change import largest_change
from neardup.relation.rule import Relation
from neardup.search.distance import l2_distances, paired_l2_distances
from neardup.search.duplicates import DuplicateFinder, Duplicates
from neardup.search.duplicates import find_duplicates as found_among
from neardup.types import Descriptors
from tests.support.seed_sets import KINDS, any_looks, descriptors_of, distances_of, related_sets, seed_sets


def find_duplicates(rows: Descriptors, radius: float) -> Duplicates:
    return found_among(Images(rows), Relation(radius))


def brute_force(descriptors: Descriptors, radius: float) -> list[int]:
    """Apply the rule word by word: duplicate of the nearest earlier unique image within the radius."""
    l2 = distances_of(descriptors)
    unique_of: list[int] = []
    for row in range(len(descriptors)):
        near = [other for other in range(row) if unique_of[other] == other and l2[row, other] <= radius]
        unique_of.append(min(near, key=lambda other: (l2[row, other], other), default=row))
    return unique_of


@given(seed_sets(), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=150)
def test_equals_brute_force_whatever_the_blocks(
    seed_set: tuple[Descriptors, float], block_rows: int, pairs: int
) -> None:
    rows, radius = seed_set
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(neardup.search.duplicates, "_BLOCK_ROWS", block_rows)
        patched.setattr(neardup.search.duplicates, "_PAIRS", pairs)
        found = find_duplicates(rows, radius)
    expected = brute_force(rows, radius)
    assert found.unique_of.tolist() == expected
    l2 = distances_of(rows)
    assert found.l2_distance.tolist() == [l2[row, unique] for row, unique in enumerate(expected)]


@given(seed_set=seed_sets(), settled=st.integers(0, 20), late=st.lists(st.integers(1, 9)), judge_settled=st.booleans())
@settings(max_examples=200)
def test_settled_rows_come_first_whenever_they_come(
    *, seed_set: tuple[Descriptors, float], settled: int, late: list[int], judge_settled: bool
) -> None:
    rows, radius = seed_set
    settled = min(settled, len(rows) - 1)
    first = max(settled + 1, len(rows) - sum(late))
    finder = DuplicateFinder(Images(rows[:first]), Relation(radius), settled=settled, judge_settled=judge_settled)
    members = set(np.flatnonzero(finder.found.is_unique).tolist())
    end = first
    for count in late:
        change = finder.add_settled(Images(rows[end : end + count]))
        end = len(finder.descriptors)
        assert members.isdisjoint(change.added)
        assert members.issuperset(change.removed)
        members = members - set(change.removed) | set(change.added)
    found, l2 = finder.found, distances_of(rows[:end])
    assert members == set(np.flatnonzero(found.is_unique).tolist())
    assert (finder.descriptors == rows[:end]).all()
    published = np.array([row < settled or row >= first for row in range(end)])
    for row, unique in enumerate(found.unique_of.tolist()):
        assert found.unique_of[unique] == unique
        assert found.l2_distance[row] == l2[row, unique]
        assert l2[row, unique] <= radius
        if published[row]:
            assert unique == row or (judge_settled and published[unique])
    close = np.argwhere(np.triu(l2 <= radius, 1) & np.outer(found.is_unique, found.is_unique))
    assert all(published[one] and published[other] and not judge_settled for one, other in close)


@given(
    seed_set=seed_sets(),
    settled=st.integers(1, 30),
    withdrawn=st.lists(st.lists(st.integers(0, 29), max_size=4), min_size=1, max_size=4),
    judge_settled=st.booleans(),
)
@settings(max_examples=200)
def test_what_duplicated_a_member_that_is_withdrawn_is_judged_again(
    *, seed_set: tuple[Descriptors, float], settled: int, withdrawn: list[list[int]], judge_settled: bool
) -> None:
    rows, radius = seed_set
    settled = min(settled, len(rows))
    finder = DuplicateFinder(Images(rows), Relation(radius), settled=settled, judge_settled=judge_settled)
    members, gone = set(np.flatnonzero(finder.found.is_unique).tolist()), set[int]()
    for some in withdrawn:
        fresh = {row for row in some if row < settled} - gone
        change = finder.withdraw(np.array(sorted(fresh), dtype=np.intp))
        gone |= fresh
        assert members.isdisjoint(change.added)
        assert members.issuperset(change.removed)
        members = members - set(change.removed) | set(change.added)
    found, l2 = finder.found, distances_of(rows)
    assert members == set(np.flatnonzero(found.is_unique).tolist())
    assert not members & gone
    for row, unique in enumerate(found.unique_of.tolist()):
        if row in gone:
            assert unique == -1
            continue
        assert found.unique_of[unique] == unique
        assert found.l2_distance[row] == l2[row, unique]
        assert l2[row, unique] <= radius
        if row < settled:
            assert unique == row or (judge_settled and unique < settled)
    close = np.argwhere(np.triu(l2 <= radius, 1) & np.outer(found.is_unique, found.is_unique))
    assert all(one < settled and other < settled and not judge_settled for one, other in close)
    assert not {*found.groups(), *(row for rows in found.groups().values() for row in rows)} & gone


CHANGES = np.stack([largest_change(kind, KINDS) for kind in KINDS])


def apart(images: Images, relation: Relation, *, as_stored: bool = False) -> NDArray[np.float64]:
    """Return float64 (n, n): how far each row is from another that it duplicates; infinite if it does not."""
    found = np.full((len(images), len(images)), np.inf)
    for variant in (images, *(() if as_stored else images.variants)):
        l2 = cdist(variant.descriptors.astype(np.float64), images.descriptors.astype(np.float64))
        alike = l2 <= relation.radius
        ones, others = divided(variant.kept), divided(images.kept)
        if relation.local_change is not None:
            alike &= changes_of(ones[Parts.THUMBNAIL], others[Parts.THUMBNAIL]) <= relation.local_change
        if relation.agreement is not None:
            pairs = zip(ones[Parts.LOOK], l2, strict=True)
            looked = [any_looks(one, others[Parts.LOOK], row) for one, row in pairs]
            alike &= np.array([each.agreement >= each.needed for each in looked], dtype=np.bool_).reshape(l2.shape)
        found[variant.images] = np.minimum(found[variant.images], np.where(alike, l2, np.inf))
    return found


@pytest.fixture(scope="module", autouse=True)
def looks_with_a_direction() -> Iterator[None]:
    with patch.object(rule, "looks", any_looks):
        yield


def changes_of(ones: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return float64 (n, m): how much each differs from each, by the kinds that they are of."""
    kinds = [(each[:, np.newaxis] == KINDS).all(axis=2).argmax(axis=1) for each in (ones, others)]
    return np.asarray(CHANGES[np.ix_(*kinds)])


@pytest.mark.slow
@given(related_sets(), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=60)
def test_equals_brute_force_whatever_the_relation(
    related: tuple[Images, Relation], block_rows: int, pairs: int
) -> None:
    images, relation = related
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(neardup.search.duplicates, "_BLOCK_ROWS", block_rows)
        patched.setattr(neardup.search.duplicates, "_PAIRS", pairs)
        found = found_among(images, relation)
    away = apart(images, relation)
    unique_of: list[int] = []
    for row in range(len(images)):
        near = [(away[row, other], other) for other in range(row) if unique_of[other] == other]
        l2, nearest = min(near, default=(np.inf, row))
        unique_of.append(nearest if np.isfinite(l2) else row)
        assert found.l2_distance[row] == (l2 if np.isfinite(l2) else 0.0)
    assert found.unique_of.tolist() == unique_of


@pytest.mark.slow
@given(
    related=related_sets(), settled=st.integers(0, 20), late=st.lists(st.integers(1, 9)), judge_settled=st.booleans()
)
@settings(max_examples=200)
def test_settled_rows_come_first_whatever_the_relation(
    *, related: tuple[Images, Relation], settled: int, late: list[int], judge_settled: bool
) -> None:
    images, relation = related
    settled = min(settled, len(images) - 1)
    end = max(settled + 1, len(images) - sum(late))
    candidates = range(settled, end)
    seen = images.at(np.arange(end))
    seen = seen.with_variants(tuple(variant.at(np.arange(settled, end)) for variant in images.variants))
    finder = DuplicateFinder(seen, relation, settled=settled, judge_settled=judge_settled)
    # What duplicated a row that gave way is judged after all that is unique by then. It matters only here, where an
    # image's variants may be like another image though the variants of that one are not like it.
    judged_at = {row: (0, row) for row in candidates}
    for turn, count in enumerate(late, 1):
        if end < len(images):
            change = finder.add_settled(images.at(np.arange(end, min(end + count, len(images)))).with_variants())
            end = len(finder.descriptors)
            judged_at |= {row: (turn, row) for row in change.added if row in candidates}
    found = finder.found
    as_they_came, as_stored = (apart(images, relation, as_stored=stored) for stored in (False, True))

    def distance(row: int, other: int) -> float:
        return float((as_they_came if row in candidates else as_stored)[row, other])

    for row, unique in enumerate(found.unique_of.tolist()):
        assert found.unique_of[unique] == unique
        assert found.l2_distance[row] == (distance(row, unique) if row != unique else 0.0)
        if row not in candidates:
            assert unique == row or (judge_settled and unique not in candidates)
    uniques = np.flatnonzero(found.is_unique).tolist()
    for row in uniques:
        for other in uniques:
            # A candidate comes after all that was published, and after candidates that were judged before it.
            published = other not in candidates
            if row in candidates:
                judged = published or judged_at[other] < judged_at[row]
            else:
                judged = judge_settled and published and other < row
            assert not judged or distance(row, other) == np.inf


def test_radius_is_inclusive() -> None:
    rows = descriptors_of(np.array([[1, 0], [0.8, 0.6]], dtype=np.float32))
    (l2,) = cdist(rows[:1].astype(np.float64), rows[1:].astype(np.float64))[0]
    assert find_duplicates(rows, np.nextafter(l2, 0)).unique_of.tolist() == [0, 1]
    assert find_duplicates(rows, l2).unique_of.tolist() == [0, 0]
    assert find_duplicates(rows, np.nextafter(l2, 3)).unique_of.tolist() == [0, 0]


def test_there_are_no_chains() -> None:
    angles = np.array([0.0, 0.1, 0.2, 0.3])
    rows = descriptors_of(np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32))
    found = find_duplicates(rows, 0.15)
    assert found.unique_of.tolist() == [0, 0, 2, 2]
    assert found.groups() == {0: [1], 2: [3]}
    assert found.is_unique.tolist() == [True, False, True, False]


def test_many_copies_of_one_image_take_little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs: list[int] = []

    def each_with_each(queries: Descriptors, rows: Descriptors) -> NDArray[np.float64]:
        pairs.append(len(queries) * len(rows))
        return l2_distances(queries, rows)

    def each_with_its_own(queries: Descriptors, rows: Descriptors) -> NDArray[np.float64]:
        pairs.append(len(queries))
        return paired_l2_distances(queries, rows)

    monkeypatch.setattr(neardup.search.duplicates, "l2_distances", each_with_each)
    monkeypatch.setattr(neardup.search.duplicates, "paired_l2_distances", each_with_its_own)
    random = np.random.default_rng(0)
    image = np.ones((10_000, 256)) + random.normal(0, 1e-3, (10_000, 256))
    found = find_duplicates(descriptors_of(image.astype(np.float32)), 0.1)
    assert not found.unique_of.any()
    # One block with itself, and then each with the one that is unique: there are 50,000,000 pairs.
    assert sum(pairs) < 10 * len(image)


def test_wide_descriptors_are_compared_in_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def measured(queries: Descriptors, rows: Descriptors) -> NDArray[np.float64]:
        asked.append(max(queries.nbytes, rows.nbytes))
        return l2_distances(queries, rows)

    monkeypatch.setattr(neardup.search.duplicates, "l2_distances", measured)
    random = np.random.default_rng(0)
    # A tenth of what pixels at 320 come to, in a tenth of the room.
    monkeypatch.setattr(neardup.search.duplicates, "_BLOCK_BYTES", neardup.search.duplicates._BLOCK_BYTES // 10)
    rows = descriptors_of(random.normal(size=(40, 30_720)).astype(np.float32))
    assert find_duplicates(rows, 0.1).is_unique.all()
    # In float64 they take four times as much as in float16.
    assert max(asked) * 4 <= neardup.search.duplicates._BLOCK_BYTES
