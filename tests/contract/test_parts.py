"""Pictures inside larger ones, on every kind of index."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from neardup.errors import RelationMismatch
from neardup.relation.edit import edit_of
from neardup.relation.insets import cropped
from neardup.relation.kept import kept_of, kept_of_part, parts_of
from neardup.relation.rule import Relation
from neardup.types import Box, Decision, Descriptors, Kept, Pixels, Query, Symmetry, Variant
from tests.support.forms import collage, scene
from tests.support.indexes import RADIUS, Backend, MemoryBackend, RedisBackend, l2_distance, point, query

PARTS = Relation(RADIUS, agreement=0.3, match_parts=True)
INSIDE, OTHER = scene(3), scene(4)
BOTH = collage(INSIDE, OTHER)
BLANK = np.full((240, 320, 3), 255, dtype=np.uint8)
FAR = point(3, 0.5, 3)
BOXES: dict[int, Box] = {1: (0.0, 0.0, 0.5, 1.0), 2: (0.5, 0.0, 1.0, 1.0), 3: (0.1, 0.3, 0.9, 0.7)}


@pytest.fixture(params=["memory", *(pytest.param(kind, marks=pytest.mark.redis) for kind in ("redis", "cluster"))])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "memory":
        return MemoryBackend()
    return RedisBackend(request.getfixturevalue("redis_url" if request.param == "redis" else "redis_cluster_url"))


def seen(
    key: str,
    pixels: Pixels,
    whole: Descriptors,
    parts: Mapping[int, Descriptors] | None = None,
    relation: Relation = PARTS,
) -> Query:
    """Return an image with these parts, by their number, at these points, and after each symmetry near nothing."""
    kept = kept_of(pixels, relation.parts)
    shown: list[tuple[Box | None, Descriptors, Kept | None]] = [(None, whole, kept)]
    for number, at in (parts or {}).items():
        box = BOXES[number]
        shown.append((box, at, kept_of_part(kept, cropped(pixels, box), box)))
    variants = tuple(
        Variant(symmetry, descriptor if symmetry is Symmetry.NONE else FAR, own, part)
        for symmetry in relation.described_after
        for part, descriptor, own in shown
    )
    return replace(query(key, whole), kept=kept, variants=variants[1:], seeks_parts=relation.match_parts)


def said(decisions: list[Decision]) -> list[str]:
    return [decision.duplicate_of or "unique" for decision in decisions]


@pytest.mark.parametrize("together", [True, False])
def test_an_image_that_shows_a_member_inside_is_a_duplicate(backend: Backend, *, together: bool) -> None:
    # As a whole it lies in another cell, and its second part in that of the member.
    images = [
        seen("a", INSIDE, point(0)),
        seen("b", collage(OTHER, INSIDE), point(1), {1: point(2), 2: point(0, 0.03)}),
    ]
    index = backend.make(relation=PARTS)
    decisions = index.decide(images) if together else [index.decide([each])[0] for each in images]
    assert said(decisions) == ["unique", "id of a"]
    assert (decisions[1].symmetry, decisions[1].cluster) == (Symmetry.NONE, 1)
    assert decisions[1].l2_distance == l2_distance(point(0), point(0, 0.03))
    assert decisions[1].look is not None
    assert decisions[1].look.needed <= decisions[1].look.agreement <= 1
    edit = edit_of(decisions[1].look, decisions[1].symmetry)
    assert edit is not None
    assert edit.box == pytest.approx((0, 0, 1, 1), abs=0.02)
    assert edit.inset == pytest.approx((0.5, 0, 1, 1), abs=0.02)
    assert index.decide(images) == decisions
    assert index.stats().members == 1


def test_an_image_that_does_not_show_it_is_unique_however_near_a_part_is(backend: Backend) -> None:
    index = backend.make(relation=PARTS)
    index.decide([seen("a", INSIDE, point(0)), seen("blank", BLANK, point(2))])
    (stranger,) = index.decide([seen("b", OTHER, point(1), {1: point(0), 2: point(2)})])
    assert stranger.duplicate_of is None
    # As a whole, a picture so near a blank one is blank, too, as far as anybody can tell.
    assert said(index.decide([seen("c", BLANK, point(2)), seen("d", OTHER, point(2))])) == [
        "id of blank",
        "id of blank",
    ]


def test_the_whole_counts_before_its_parts_where_both_are_as_near(backend: Backend) -> None:
    index = backend.make(relation=PARTS)
    decisions = index.decide([seen("a", INSIDE, point(0)), seen("b", INSIDE, point(0), {1: point(0)})])
    by_a_part = index.decide([seen("c", BOTH, point(1), {1: point(0)})])
    assert decisions[1].look is not None
    assert by_a_part[0].look is not None
    assert decisions[1].look.needed < by_a_part[0].look.needed


def test_a_picture_after_the_larger_one_that_shows_it_is_unique(backend: Backend) -> None:
    index = backend.make(relation=PARTS)
    larger = seen("b", BOTH, point(1), {1: point(0)})
    assert said(index.decide([larger, seen("a", INSIDE, point(0))])) == ["unique", "unique"]


def test_parts_are_compared_after_each_symmetry(backend: Backend) -> None:
    relation = replace(PARTS, match_flips=True)
    index = backend.make(relation=relation)
    index.decide([seen("a", INSIDE, point(0), relation=relation)])
    flipped = seen("b", BOTH, point(1), {1: FAR}, relation)
    variants = list(flipped.variants)
    number = next(at for at, each in enumerate(variants) if each.symmetry is Symmetry.MIRROR and each.part)
    variants[number] = replace(variants[number], descriptor=point(0))
    (decision,) = index.decide([replace(flipped, variants=tuple(variants))])
    assert (decision.duplicate_of, decision.symmetry) == ("id of a", Symmetry.MIRROR)


def test_a_member_is_stored_as_without_parts(backend: Backend) -> None:
    index = backend.make(relation=PARTS)
    index.decide([seen("a", INSIDE, point(0), {1: point(1)})])
    (member,) = index.members()
    assert np.array_equal(member.descriptor, point(0))
    assert parts_of(member.kept) == PARTS.parts
    assert said(index.decide([seen("b", OTHER, point(1))])) == ["unique"]


def test_a_batch_decides_as_single_images_do(backend: Backend) -> None:
    shown = [INSIDE, OTHER, BOTH, BLANK]
    random = np.random.default_rng(5)
    images = [
        seen(
            f"k{number}",
            shown[number % 4],
            somewhere(random),
            parts_of_one(number, random),
        )
        for number in range(40)
    ]
    together, one_by_one = backend.make(relation=PARTS), backend.make(relation=PARTS)
    expected = [one_by_one.decide([each])[0] for each in images]
    # How near a unique image is to what lies in no cell of its own is told differently.
    for found, truth in zip(together.decide(images), expected, strict=True):
        assert found == replace(truth, l2_distance=truth.l2_distance if truth.duplicate_of else found.l2_distance)
    assert {decision.duplicate_of is None for decision in expected} == {True, False}


def parts_of_one(number: int, random: np.random.Generator) -> dict[int, Descriptors]:
    """Return no part, one, two or three."""
    return {part: somewhere(random) for part in range(1, 1 + number % 4)}


def somewhere(random: np.random.Generator) -> Descriptors:
    return point(int(random.integers(3)), float(random.integers(4)) * 0.04)


@pytest.mark.parametrize(
    ("relation", "described_for"),
    [(PARTS, replace(PARTS, match_parts=False)), (replace(PARTS, match_parts=False), PARTS)],
    ids=["without its parts", "with parts too many"],
)
def test_an_image_described_for_another_relation_is_refused(
    backend: Backend, relation: Relation, described_for: Relation
) -> None:
    index = backend.make(relation=relation)
    with pytest.raises(RelationMismatch, match="k was described"):
        index.decide([seen("k", INSIDE, point(0), relation=described_for)])
    assert index.stats().members == 0
