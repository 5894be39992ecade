"""What is kept of an image, divided and put together."""

import numpy as np
import pytest
from numpy.typing import NDArray

from neardup.errors import Misconfigured
from neardup.relation import rule
from neardup.relation.kept import (
    ALL_PARTS,
    Parts,
    divided,
    joined,
    kept_of,
    narrowed,
    parts_of,
    stacked_kept,
    transformed_kept,
)
from neardup.relation.local_change import SIDE_PX, thumbnail_of
from neardup.relation.looks.look import NEEDED_PX, look_of, transformed_look
from neardup.relation.looks.second_look import Looks
from neardup.relation.rule import Relation
from neardup.relation.symmetry import motion
from neardup.types import Kept, Symmetry
from tests.support.indexes import look, thumbnail

BOTH = Parts.THUMBNAIL | Parts.LOOK
PIXELS = np.random.default_rng(4).integers(0, 256, (90, 70, 3), dtype=np.uint8)


def bytes_of(kept: object) -> bytes | None:
    return kept.tobytes() if isinstance(kept, np.ndarray) else None


def test_what_is_kept_follows_from_the_relation() -> None:
    assert Relation(0.1).parts == Parts.NOTHING
    assert Relation(0.1, local_change=2.0).parts == Parts.THUMBNAIL
    assert Relation(0.1, agreement=0.0).parts == Parts.LOOK
    assert Relation(0.1, local_change=0.0, agreement=0.5).parts == BOTH


def test_the_number_of_bytes_tells_what_is_kept() -> None:
    assert len({parts.nbytes for parts in ALL_PARTS}) == len(ALL_PARTS) == 4
    assert [parts_of(kept_of(PIXELS, parts)) for parts in ALL_PARTS] == list(ALL_PARTS)
    with pytest.raises(Misconfigured, match=r"7 bytes are kept .* bootstrap it again"):
        parts_of(np.zeros(7, dtype=np.uint8))


@pytest.mark.parametrize("parts", ALL_PARTS, ids=str)
def test_parts_are_those_that_each_check_makes(parts: Parts) -> None:
    kept = kept_of(PIXELS, parts)
    makers = {Parts.THUMBNAIL: thumbnail_of, Parts.LOOK: look_of}
    assert {part: bytes_of(each) for part, each in divided(kept).items()} == {
        part: bytes_of(makers[part](PIXELS)) for part in parts
    }
    assert bytes_of(joined(divided(kept))) == bytes_of(kept)


def test_a_look_sees_enough_pixels() -> None:
    needed = {parts: parts.needed_px for parts in ALL_PARTS}
    assert needed == {
        Parts.NOTHING: 0,
        Parts.THUMBNAIL: 2 * SIDE_PX,
        Parts.LOOK: NEEDED_PX,
        BOTH: max(2 * SIDE_PX, NEEDED_PX),
    }


def test_less_can_be_made_of_more_and_not_more_of_less() -> None:
    both = kept_of(PIXELS, BOTH)
    for parts in ALL_PARTS:
        assert bytes_of(narrowed(both, parts)) == bytes_of(kept_of(PIXELS, parts))
    with pytest.raises(Misconfigured, match="has a thumbnail kept, but the index compares a look, too"):
        narrowed(kept_of(PIXELS, Parts.THUMBNAIL), BOTH)
    with pytest.raises(Misconfigured, match="has nothing kept, but the index compares a thumbnail and a look, too"):
        narrowed(None, BOTH)


def test_many_are_stacked_with_what_is_asked_for() -> None:
    both = [kept_of(PIXELS, BOTH), kept_of(PIXELS[::-1], BOTH)]
    stacked = stacked_kept(both, Parts.LOOK)
    assert stacked is not None
    assert [row.tobytes() for row in stacked] == [look_of(PIXELS).tobytes(), look_of(PIXELS[::-1]).tobytes()]
    assert stacked_kept(both, Parts.NOTHING) is None


@pytest.mark.parametrize("symmetry", Symmetry)
def test_both_are_turned(symmetry: Symmetry) -> None:
    mirror, turns = motion(symmetry)
    turned = divided(transformed_kept(kept_of(PIXELS, BOTH), symmetry))
    alone = transformed_kept(thumbnail_of(PIXELS), symmetry)
    assert bytes_of(turned[Parts.THUMBNAIL]) == bytes_of(alone)
    assert bytes_of(turned[Parts.LOOK]) == bytes_of(transformed_look(look_of(PIXELS), mirror=mirror, turns=turns))


# -- both checks ------------------------------------------------------------------------------------------------------

STILL, PERSON = thumbnail(), thumbnail((4, 4))
SAME, OTHER = look(), look(4)
PAIRS = np.stack([np.concatenate(each) for each in ((STILL, SAME), (PERSON, SAME), (STILL, OTHER), (PERSON, OTHER))])


def test_both_let_a_pair_pass_and_local_change_comes_first() -> None:
    relation = Relation(0.1, local_change=1.0, agreement=0.9)
    found = relation.check(PAIRS[:1], np.zeros(4, dtype=np.intp), PAIRS, np.ones(4))
    assert found.allowed.tolist() == [True, False, False, False]
    assert [found.look(pair) is None for pair in range(4)] == [False, True, False, True]
    assert [found.local_change(pair) == 0.0 for pair in range(4)] == [True, False, True, False]
    every = relation.check(PAIRS[:1], np.zeros(4, dtype=np.intp), PAIRS, np.ones(4), all_looks=True)
    assert every.allowed.tolist() == found.allowed.tolist()
    assert [every.look(pair) is None for pair in range(4)] == [False] * 4


def test_of_two_whose_order_nobody_knows_both_have_to_be_like_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def first_byte(one: Kept, many: Kept, l2: NDArray[np.float64], *_: object) -> Looks:
        found = Looks.of_nothing(len(many))
        found.agreement[:] = one[0] >= many[:, 0]
        found.needed[:] = l2
        return found

    monkeypatch.setattr(rule, "looks", first_byte)
    kept = np.arange(3, dtype=np.uint8)[:, np.newaxis].repeat(Parts.LOOK.nbytes, axis=1)
    rows, others = np.array([0, 1, 2, 1]), np.array([1, 0, 2, 1])
    relation = Relation(0.1, agreement=0.5)
    l2 = np.full(4, 0.5)
    assert relation.check(kept, rows, kept[others], l2).allowed.tolist() == [False, True, True, True]
    assert relation.allow_both_ways(kept, rows, kept[others], l2).tolist() == [False, False, True, True]


@pytest.mark.parametrize("local_change", [None, 1.0])
@pytest.mark.parametrize("agreement", [None, 0.9])
def test_a_pair_told_is_allowed_as_it_was_when_measured(local_change: float | None, agreement: float | None) -> None:
    relation = Relation(0.1, local_change, agreement)
    kept = stacked_kept(PAIRS, relation.parts)
    rows = np.array([0, 1, 2, 3, 0, 0, 1])
    others = np.array([1, 1, 0, 3, 2, 3, 3])
    l2 = np.linspace(0.2, 0.5, len(rows))
    found = relation.check(kept, rows, None if kept is None else kept[others], l2)
    for pair, (row, other) in enumerate(zip(rows.tolist(), others.tolist(), strict=True)):
        assert relation.allows(found.local_change(pair), found.look(pair)) is bool(found.allowed[pair])
        first, second = (None, None) if kept is None else (kept[row], kept[other])
        alone = relation.check_one(first, second, float(l2[pair]))
        told = (bool(found.allowed[pair]), found.local_change(pair), found.look(pair))
        assert (bool(alone.allowed[0]), alone.local_change(0), alone.look(0)) == told
