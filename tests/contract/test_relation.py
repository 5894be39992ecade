"""Symmetries and local change, on every kind of index."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from neardup.errors import CorruptIndex, RelationMismatch
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect
from neardup.relation.kept import stored_kept
from neardup.relation.local_change import largest_change
from neardup.relation.looks.look import stored_look, transformed_look
from neardup.relation.looks.second_look import looks
from neardup.relation.rule import Relation
from neardup.types import Decision, Descriptors, Kept, Member, Query, Symmetry, Variant
from tests.contract.test_index_redis import before_its_commit
from tests.support.indexes import (
    RADIUS,
    Backend,
    MemoryBackend,
    RedisBackend,
    build_generation,
    l2_distance,
    look,
    member,
    point,
    query,
    thumbnail,
)

STILL, PERSON, CAR = thumbnail(), thumbnail((4, 4)), thumbnail((20, 12))
CHANGE = float(largest_change(STILL, PERSON[np.newaxis])[0])
CAMERA = Relation(RADIUS, local_change=0.5 * CHANGE)
SCRAPER = Relation(RADIUS, match_flips=True)
SAME, HALF, OTHER = look(), look(2), look(4)
AGREEMENT = round(float(looks(HALF, SAME[np.newaxis], np.ones(1), 0.0).agreement[0]), 3)
ALIKE = Relation(0.8, agreement=0.9)
"""So wide that two can be within the radius and yet so far apart that all of the agreement is needed."""


@pytest.fixture(params=["memory", *(pytest.param(kind, marks=pytest.mark.redis) for kind in ("redis", "cluster"))])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "memory":
        return MemoryBackend()
    return RedisBackend(request.getfixturevalue("redis_url" if request.param == "redis" else "redis_cluster_url"))


def frame(key: str, scene: Kept, angle: float = 0.0, cell: int = 0) -> Query:
    return replace(query(key, point(cell, angle)), kept=scene)


def stored(key: str, scene: Kept, angle: float = 0.0, plane: int = 0) -> Member:
    return replace(member(key, point(0, angle, plane)), kept=scene)


def view(key: str, scene: Kept, plane: int) -> Query:
    """Return an image 0.61 from the views of other planes, and 0.45 from the middle of the cell."""
    return replace(query(key, point(0, 0.45, plane)), kept=scene)


def picture(key: str, seen: Descriptors, mirrored: Descriptors) -> Query:
    return replace(query(key, seen), variants=(Variant(Symmetry.MIRROR, mirrored),))


def said(decisions: list[Decision]) -> list[str]:
    return [decision.duplicate_of or "unique" for decision in decisions]


class TestLocalChange:
    def test_near_images_are_unique_where_something_has_changed(self, backend: Backend) -> None:
        index = backend.make(relation=CAMERA)
        frames = [frame("a", STILL), frame("b", PERSON, 0.01), frame("c", CAR, 0.02), frame("d", PERSON, 0.03)]
        decisions = index.decide(frames)
        assert said(decisions) == ["unique", "unique", "unique", "id of b"]
        assert [decision.local_change for decision in decisions] == [None, None, None, 0.0]
        assert said(index.decide([frame("e", STILL, 0.05), frame("f", CAR, 0.05)])) == ["id of a", "id of c"]
        assert index.stats().members == 3

    def test_an_image_beyond_the_radius_is_unique_whatever_its_thumbnail(self, backend: Backend) -> None:
        index = backend.make(relation=CAMERA)
        assert said(index.decide([frame("a", STILL), frame("b", STILL, 0.3)])) == ["unique", "unique"]

    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize(
        ("limit", "expected"),
        [(np.nextafter(CHANGE, 0), "unique"), (CHANGE, "id of a"), (np.nextafter(CHANGE, 999), "id of a")],
        ids=["above", "at", "below"],
    )
    def test_the_limit_is_inclusive(self, backend: Backend, limit: float, expected: str, *, together: bool) -> None:
        index = backend.make(relation=Relation(RADIUS, local_change=float(limit)))
        frames = [frame("a", STILL), frame("b", PERSON)]
        decisions = index.decide(frames) if together else [index.decide([each])[0] for each in frames]
        assert said(decisions) == ["unique", expected]
        assert decisions[1].local_change == (None if expected == "unique" else CHANGE)

    def test_the_nearest_that_has_not_changed_is_named(self, backend: Backend) -> None:
        members = [stored("near", PERSON), stored("far", STILL, 0.1), stored("farther", STILL, 0.11)]
        index = backend.make(members=members, relation=CAMERA)
        (decision,) = index.decide([frame("b", STILL)])
        assert decision.duplicate_of == "id of far"
        assert decision.l2_distance == l2_distance(point(0), point(0, 0.1))

    def test_a_unique_image_is_told_its_distance_even_within_the_radius(self, backend: Backend) -> None:
        index = backend.make(members=[stored("a", PERSON, 0.05)], relation=CAMERA)
        (decision,) = index.decide([frame("b", STILL)])
        assert (decision.duplicate_of, decision.l2_distance) == (None, l2_distance(point(0), point(0, 0.05)))

    def test_members_keep_their_thumbnails(self, backend: Backend) -> None:
        index = backend.make(members=[stored("a", CAR)], relation=CAMERA)
        index.decide([frame("b", PERSON)])
        held = {each.key: each.kept for each in index.members()}
        assert held.keys() == {"a", "b"}
        assert held["a"] is not None
        assert held["b"] is not None
        assert np.array_equal(held["a"], CAR)
        assert np.array_equal(held["b"], PERSON)

    def test_delivered_again(self, backend: Backend) -> None:
        index = backend.make(relation=CAMERA)
        frames = [frame("a", STILL), frame("b", PERSON), frame("c", PERSON)]
        first = index.decide(frames)
        assert index.decide(frames) == first
        backend.forget_decisions(index)
        assert said(index.decide(frames[::-1])) == said(first[::-1])
        assert index.stats().members == 2


class TestSecondLook:
    def test_near_images_are_unique_where_they_show_something_else(self, backend: Backend) -> None:
        index = backend.make(relation=ALIKE)
        views = [view("a", SAME, 0), view("b", OTHER, 1), view("c", HALF, 2), view("d", OTHER, 3)]
        decisions = index.decide(views)
        assert said(decisions) == ["unique", "unique", "unique", "id of b"]
        assert [decision.look is None for decision in decisions] == [True, True, True, False]
        assert said(index.decide([frame("e", SAME), frame("f", HALF)])) == ["id of a", "id of c"]
        assert index.stats().members == 3

    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize("above", [-0.001, 0.0, 0.001], ids=["above", "at", "below"])
    def test_the_limit_is_inclusive_and_told_as_it_was_measured(
        self, backend: Backend, above: float, *, together: bool
    ) -> None:
        index = backend.make(relation=replace(ALIKE, agreement=AGREEMENT + above))
        views = [view("a", SAME, 0), view("b", HALF, 1)]
        decisions = index.decide(views) if together else [index.decide([each])[0] for each in views]
        assert said(decisions) == ["unique", "unique" if above > 0 else "id of a"]
        found = decisions[1].look
        told = None if found is None else (found.agreement, found.needed)
        assert told == (None if above > 0 else (AGREEMENT, round(AGREEMENT + above, 3)))

    def test_the_nearer_two_are_the_less_agreement_they_need(self, backend: Backend) -> None:
        index = backend.make(members=[stored("a", SAME)], relation=ALIKE)
        near, far = (decision.look for decision in index.decide([frame("b", SAME, 0.05), view("c", SAME, 1)]))
        assert near is not None
        assert far is not None
        assert near.needed < far.needed == ALIKE.agreement

    def test_what_agrees_better_mirrored_is_a_duplicate_only_where_that_is_asked_for(self, backend: Backend) -> None:
        mirrored = transformed_look(SAME, mirror=True, turns=0)
        copy = replace(view("b", mirrored, 1), variants=(Variant(Symmetry.MIRROR, point(0, 0.45, 2), SAME),))
        for relation, of in ((ALIKE, "unique"), (replace(ALIKE, match_flips=True), "id of a")):
            index = backend.make(members=[stored("a", SAME)], relation=replace(relation, agreement=0.3))
            (decision,) = index.decide([copy if relation.match_flips else replace(copy, variants=())])
            assert (said([decision]), decision.symmetry is Symmetry.MIRROR) == ([of], relation.match_flips)

    def test_it_is_taken_of_what_local_change_leaves(self, backend: Backend) -> None:
        index = backend.make(relation=replace(ALIKE, local_change=CAMERA.local_change))
        still, person, other = (np.concatenate(each) for each in ((STILL, SAME), (PERSON, SAME), (STILL, OTHER)))
        decisions = index.decide(
            [
                view("a", still, 0),
                view("b", person, 1),
                view("c", other, 2),
                view("d", person, 3),
            ]
        )
        assert said(decisions) == ["unique", "unique", "unique", "id of b"]
        assert decisions[3].local_change == 0.0
        assert decisions[3].look is not None

    def test_the_nearest_that_shows_the_same_is_named(self, backend: Backend) -> None:
        members = [stored("near", OTHER, 0.42), stored("far", SAME, 0.45, 1), stored("farther", SAME, 0.5, 2)]
        index = backend.make(members=members, relation=ALIKE)
        (decision,) = index.decide([frame("b", SAME)])
        assert decision.duplicate_of == "id of far"
        assert decision.l2_distance == l2_distance(point(0), point(0, 0.45))

    def test_members_keep_their_looks(self, backend: Backend) -> None:
        index = backend.make(members=[stored("a", SAME)], relation=ALIKE)
        index.decide([view("b", OTHER, 1)])
        held = {each.key: stored_kept(each.kept) for each in index.members()}
        assert {key: b"" if kept is None else kept.tobytes() for key, kept in held.items()} == {
            "a": stored_look(SAME).tobytes(),
            "b": stored_look(OTHER).tobytes(),
        }

    def test_delivered_again_it_says_the_same_to_the_last_digit(self, backend: Backend) -> None:
        index = backend.make(relation=replace(ALIKE, agreement=0.1))
        views = [view("a", SAME, 0), view("b", HALF, 1), view("c", SAME, 2)]
        first = index.decide(views)
        assert index.decide(views) == first
        assert said(first) == ["unique", "id of a", "id of a"]
        backend.forget_decisions(index)
        assert index.decide(views) == first

    def test_the_look_compared_is_that_of_the_variant(self, backend: Backend) -> None:
        index = backend.make(members=[stored("a", SAME)], relation=replace(ALIKE, match_flips=True))
        near = point(0, 0.45)
        turned = replace(frame("b", OTHER, cell=1), variants=(Variant(Symmetry.MIRROR, near, SAME),))
        changed = replace(frame("c", SAME, cell=2), variants=(Variant(Symmetry.MIRROR, near, OTHER),))
        assert said(index.decide([turned, changed])) == ["id of a", "unique"]


class TestSymmetries:
    @pytest.mark.parametrize("together", [True, False])
    def test_a_mirrored_copy_is_a_duplicate(self, backend: Backend, *, together: bool) -> None:
        # Seen, it lies in another cell than what it is a copy of.
        index = backend.make(relation=SCRAPER)
        pictures = [picture("a", point(0), point(1)), picture("b", point(1, 0.01), point(0, 0.02))]
        decisions = index.decide(pictures) if together else [index.decide([each])[0] for each in pictures]
        assert said(decisions) == ["unique", "id of a"]
        assert (decisions[1].symmetry, decisions[1].cluster) == (Symmetry.MIRROR, 1)
        assert decisions[1].l2_distance == l2_distance(point(0), point(0, 0.02))

    def test_the_nearer_of_all_variants_and_members_is_named(self, backend: Backend) -> None:
        index = backend.make(members=[member("a", point(0)), member("b", point(1))], relation=SCRAPER)
        decisions = index.decide(
            [picture("c", point(0, 0.05), point(1, 0.02)), picture("d", point(0, 0.02), point(1, 0.05))]
        )
        assert said(decisions) == ["id of b", "id of a"]
        assert [decision.symmetry for decision in decisions] == [Symmetry.MIRROR, Symmetry.NONE]

    def test_of_equally_near_variants_the_image_as_it_came_is_named(self, backend: Backend) -> None:
        index = backend.make(members=[member("a", point(0))], relation=SCRAPER)
        (decision,) = index.decide([picture("b", point(0, 0.05), point(0, -0.05))])
        assert decision.symmetry is Symmetry.NONE

    def test_the_variants_that_count_are_those_of_the_later_image(self, backend: Backend) -> None:
        # Mirrored, a is near b; b, mirrored, is near nothing: so the order decides.
        one, other = picture("a", point(0), point(1)), picture("b", point(1), point(2))
        assert said(backend.make(relation=SCRAPER).decide([one, other])) == ["unique", "unique"]
        assert said(backend.make(relation=SCRAPER).decide([other, one])) == ["unique", "id of b"]

    def test_a_member_delivered_again_stays_unique_though_its_mirror_image_came_since(self, backend: Backend) -> None:
        index = backend.make(relation=SCRAPER)
        pictures = [picture("a", point(0), point(1)), picture("b", point(1), point(2))]
        assert said(index.decide(pictures)) == ["unique", "unique"]
        backend.forget_decisions(index)
        (again,) = index.decide(pictures[:1])
        assert (again.duplicate_of, again.l2_distance) == (None, l2_distance(point(0), point(1)))

    def test_a_batch_decides_as_single_images_do(self, backend: Backend) -> None:
        pictures = [
            picture(f"k{i}", point(i % 4, 0.07 * (i // 4), i % 3), point((i + 1) % 4, 0.05 * (i // 5), i % 2))
            for i in range(40)
        ]
        together, one_by_one = backend.make(relation=SCRAPER), backend.make(relation=SCRAPER)
        expected = [one_by_one.decide([each])[0] for each in pictures]
        assert together.decide(pictures) == expected
        assert {decision.symmetry for decision in expected} == {Symmetry.NONE, Symmetry.MIRROR}

    def test_the_thumbnail_compared_is_that_of_the_variant(self, backend: Backend) -> None:
        relation = replace(CAMERA, match_flips=True)
        index = backend.make(members=[stored("a", PERSON)], relation=relation)
        turned = replace(frame("b", STILL, cell=1), variants=(Variant(Symmetry.MIRROR, point(0), PERSON),))
        changed = replace(frame("c", PERSON, cell=2), variants=(Variant(Symmetry.MIRROR, point(0), STILL),))
        assert said(index.decide([turned, changed])) == ["id of a", "unique"]


@pytest.mark.parametrize(
    ("relation", "wrong"),
    [
        pytest.param(Relation(RADIUS), frame("k", STILL), id="a thumbnail too many"),
        pytest.param(Relation(RADIUS), frame("k", SAME), id="a look too many"),
        pytest.param(ALIKE, frame("k", STILL), id="a thumbnail for a look"),
        pytest.param(replace(ALIKE, local_change=1.0), frame("k", SAME), id="a thumbnail too few beside a look"),
        pytest.param(Relation(RADIUS), picture("k", point(0), point(1)), id="a variant too many"),
        pytest.param(CAMERA, query("k", point(0)), id="no thumbnail"),
        pytest.param(SCRAPER, query("k", point(0)), id="no variant"),
        pytest.param(replace(SCRAPER, match_rotations=True), picture("k", point(0), point(1)), id="a variant too few"),
    ],
)
def test_an_image_described_for_another_relation_is_refused(backend: Backend, relation: Relation, wrong: Query) -> None:
    index = backend.make(relation=relation)
    with pytest.raises(RelationMismatch, match="k was described"):
        index.decide([wrong])
    assert index.stats().members == 0


@pytest.mark.redis
class TestManyClients:
    @pytest.fixture
    def backend(self, redis_url: str) -> RedisBackend:
        return RedisBackend(redis_url)

    @staticmethod
    def two(backend: RedisBackend, relation: Relation) -> tuple[RedisIndex, RedisIndex]:
        one = backend.make(relation=relation)
        return one, RedisIndex(backend.client, one.meta.name)

    @pytest.mark.parametrize(
        ("theirs", "expected"), [(STILL, ["id of theirs", "unique"]), (PERSON, ["unique", "id of theirs"])]
    )
    def test_what_came_in_between_is_compared(self, backend: RedisBackend, theirs: Kept, expected: list[str]) -> None:
        one, other = self.two(backend, CAMERA)
        before_its_commit(one, lambda: other.decide([frame("theirs", theirs, 0.02)]))
        assert said(one.decide([frame("a", STILL), frame("b", PERSON)])) == expected
        assert one.stats().retries == 1

    @pytest.mark.parametrize(
        ("theirs", "expected"), [(SAME, ["id of theirs", "unique"]), (OTHER, ["unique", "id of theirs"])]
    )
    def test_a_second_look_is_taken_at_what_came_in_between(
        self, backend: RedisBackend, theirs: Kept, expected: list[str]
    ) -> None:
        one, other = self.two(backend, ALIKE)
        before_its_commit(one, lambda: other.decide([view("theirs", theirs, 2)]))
        decisions = one.decide([view("a", SAME, 0), view("b", OTHER, 1)])
        assert said(decisions) == expected
        assert [decision.look is None for decision in decisions] == [said == "unique" for said in expected]

    @pytest.mark.parametrize("contended", [False, True])
    def test_a_mirrored_copy_that_came_in_between_is_seen_in_its_own_cell(
        self, backend: RedisBackend, *, contended: bool
    ) -> None:
        # When a commit tells which cells matter, it has to tell those of the variants.
        one, other = self.two(backend, SCRAPER)
        one._contended = contended
        before_its_commit(one, lambda: other.decide([picture("theirs", point(2), point(3))]))
        (decision,) = one.decide([picture("ours", point(0), point(2, 0.03))])
        assert (decision.duplicate_of, decision.symmetry) == ("id of theirs", Symmetry.MIRROR)

    def test_of_two_racing_copies_one_is_unique(self, backend: RedisBackend) -> None:
        one, other = self.two(backend, replace(SCRAPER, local_change=0.0))
        ours = replace(frame("a", STILL), variants=(Variant(Symmetry.MIRROR, point(1), STILL),))
        theirs = replace(frame("b", STILL, cell=1), variants=(Variant(Symmetry.MIRROR, point(0), STILL),))
        before_its_commit(one, partial(other.decide, [theirs]))
        assert said(one.decide([ours])) == ["id of b"]
        assert [each.key for each in one.members()] == ["b"]

    def test_a_generation_with_another_relation_is_noticed(self, backend: RedisBackend) -> None:
        index = backend.make()
        index.decide([query("a", point(0))])
        build_generation(backend.client, index.meta.name, relation=SCRAPER)
        with pytest.raises(RelationMismatch):
            index.decide([query("b", point(0))])
        assert index.meta.relation == SCRAPER
        assert said(index.decide([picture("b", point(0), point(1))])) == ["unique"]

    def test_a_member_without_its_thumbnail_is_corrupt(self, backend: RedisBackend) -> None:
        members = [member("a", point(0))]
        with pytest.raises(CorruptIndex, match="does not hold a thumbnail"):
            backend.make(members=members, relation=CAMERA)

    def test_thumbnails_count_in_the_caches_budget(self, backend: RedisBackend, redis_url: str) -> None:
        frames = [frame(str(number), thumbnail((number, 2))) for number in range(20)]
        index = backend.make(relation=Relation(RADIUS, local_change=0.0))
        index.decide(frames)
        plain = backend.make(radius=0.0)
        plain.decide([query(str(number), point(0, 0.01 * number)) for number in range(20)])
        apart = [RedisIndex(connect(redis_url), each.meta.name).stats() for each in (index, plain)]
        assert [stats.members for stats in apart] == [20, 20]
        assert apart[0].cache_bytes - apart[1].cache_bytes >= 20 * len(STILL)
