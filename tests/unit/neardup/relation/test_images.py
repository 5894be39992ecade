"""What images are compared by, side by side."""

import numpy as np
import pytest

from neardup.descriptors.dct import DctDescriptor
from neardup.relation.describing import Describer
from neardup.relation.images import Images, packed, side_by_side
from neardup.relation.rule import Relation
from neardup.types import Variant
from tests.support.drawings import dark_photo, pale_photo, photo
from tests.support.forms import collage

DESCRIBER = Describer(DctDescriptor(), Relation(0.3, 5.0, 0.5, match_flips=True, match_parts=True))


def described() -> list[tuple[Variant, ...]]:
    """Return an image without parts, one with two, and another without."""
    shown = (photo(0), collage(dark_photo(1), pale_photo(2)), photo(3))
    images = DESCRIBER.describe([DESCRIBER.prepare(each) for each in shown])
    assert list(map(len, images)) == [2, 6, 2]
    return images


def columns(images: Images) -> list[Images]:
    return [images, *images.variants]


@pytest.mark.parametrize("block", [1, 2, 1024])
def test_each_column_is_a_variant_of_those_images_that_have_it(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("neardup.relation.images._BLOCK", block)
    images = described()
    found = packed(iter(images), DESCRIBER.parts)
    assert found is not None
    for row, variants in enumerate(images):
        there = [own for column in columns(found) if len(own := column.at(np.array([row])))]
        assert len(there) == len(variants)
        for column, variant in zip(there, variants, strict=True):
            assert np.array_equal(column.descriptors[0], variant.descriptor)
            assert column.kept is not None
            assert np.array_equal(column.kept[0], np.asarray(variant.kept))
            assert (column.symmetry, column.parts_of is not None) == (variant.symmetry, variant.part is not None)


def test_a_column_of_parts_has_a_row_for_each_image_with_such_a_part() -> None:
    images = described()
    for found in (side_by_side(images, DESCRIBER.parts), packed(images, DESCRIBER.parts)):
        assert found is not None
        rows = [None if column.parts_of is None else column.parts_of.tolist() for column in columns(found)]
        assert rows == 2 * [None, [1], [1]]


def test_parts_are_numbered_as_the_images_are() -> None:
    found = side_by_side(described(), DESCRIBER.parts)
    for order, places in (([1, 0], [0]), ([0, 2], []), ([2, 1, 1], [1, 2])):
        parts = found.at(np.array(order)).variants[0]
        assert parts.images.tolist() == places
        assert np.array_equal(parts.descriptors, found.variants[0].descriptors[[0] * len(places)])
