"""Two described images: the distance, the verdict and why, as a new image is compared with a member."""

import numpy as np
import pytest

from neardup.descriptors.base import unit_float16
from neardup.relation.comparison import compare_described
from neardup.relation.edit import edit_of
from neardup.relation.local_change import THUMBNAIL_BYTES
from neardup.relation.rule import Relation
from neardup.types import Descriptors, Kept, Symmetry, Variant, Verdict
from tests.support.indexes import look

GREY: Kept = np.full(THUMBNAIL_BYTES, 128, dtype=np.uint8)


def at(angle: float) -> Descriptors:
    """Return an image at an angle on a circle: the distance of two is about the difference of their angles."""
    row: Descriptors = unit_float16(np.array([[np.cos(angle), np.sin(angle)]], dtype=np.float32))
    return np.asarray(row[0])


def variant(angle: float, symmetry: Symmetry = Symmetry.NONE, kept: Kept | None = None) -> Variant:
    return Variant(symmetry, at(angle), kept)


@pytest.mark.parametrize("reach", [-1e-9, 0.0, 1e-9])
def test_the_radius_is_inclusive(reach: float) -> None:
    apart = compare_described([variant(0.2)], [variant(0.0)], Relation(0.0), "test").distance
    found = compare_described([variant(0.2)], [variant(0.0)], Relation(apart + reach), "test")
    assert found.verdict is (Verdict.UNIQUE if reach < 0 else Verdict.DUPLICATE)
    assert found.why.endswith(f"is {'beyond' if reach < 0 else 'within'} the radius {apart:.3f}")


def test_the_nearest_symmetry_counts_and_only_of_the_first_image() -> None:
    mirrored = [variant(1.0), variant(0.0, Symmetry.MIRROR)]
    relation = Relation(0.1, match_flips=True)
    found = compare_described(mirrored, [variant(0.0)], relation, "test")
    assert (found.verdict, found.symmetry, found.distance) == (Verdict.DUPLICATE, Symmetry.MIRROR, 0.0)
    assert "nearest after mirror" in found.why
    assert compare_described([variant(0.0)], mirrored, relation, "test").verdict is Verdict.UNIQUE


def test_one_that_has_changed_gives_way_to_a_farther_one_that_has_not() -> None:
    changed = GREY.copy()
    changed[: THUMBNAIL_BYTES // 2] = 255
    image = [variant(0.0, kept=changed), variant(0.05, Symmetry.MIRROR, GREY)]
    found = compare_described(image, [variant(0.0, kept=GREY)], Relation(0.1, 5.0, match_flips=True), "test")
    assert (found.verdict, found.symmetry, found.local_change) == (Verdict.DUPLICATE, Symmetry.MIRROR, 0.0)
    alone = compare_described(image[:1], [variant(0.0, kept=GREY)], Relation(0.1, 5.0), "test")
    assert alone.verdict is Verdict.UNIQUE
    assert "is beyond 5.0" in alone.why


def test_one_that_shows_something_else_is_unique_and_told_how_little_agrees() -> None:
    relation = Relation(0.6, agreement=0.9)
    image, same, other = (variant(angle, kept=look(changed)) for angle, changed in ((0.5, 0), (0.0, 0), (0.0, 4)))
    found = compare_described([image], [same], relation, "test")
    assert (found.verdict, found.agreement, found.agreement_needed) == (Verdict.DUPLICATE, 1.0, 0.9)
    assert found.least_agreement == 0.9
    assert "agreement 1, 0.9 is needed" in found.why
    assert found.look is not None
    assert found.edit == edit_of(found.look, Symmetry.NONE)
    unlike = compare_described([image], [other], relation, "test")
    assert unlike.verdict is Verdict.UNIQUE
    assert "agreement 0, 0.9 is needed" in unlike.why
    near = compare_described([variant(0.25, kept=look())], [other], relation, "test")
    assert near.agreement_needed is not None
    assert 0 < near.agreement_needed < 0.9


def test_agreement_is_told_of_images_that_differ_by_distance_or_local_change_as_well() -> None:
    changed = GREY.copy()
    changed[: THUMBNAIL_BYTES // 2] = 255
    image, other = (variant(0.0, kept=np.concatenate([each, look()])) for each in (GREY, changed))
    found = compare_described([image], [other], Relation(0.1, 5.0, 0.9), "test")
    assert (found.verdict, found.agreement) == (Verdict.UNIQUE, 1.0)


def test_without_a_second_look_nothing_is_told_of_one() -> None:
    found = compare_described([variant(0.0)], [variant(0.0)], Relation(0.1), "test")
    assert (found.agreement, found.agreement_needed, found.edit, found.least_agreement) == (None, None, None, None)
    assert "agreement" not in found.why
