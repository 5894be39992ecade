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
        there = [column.at(np.array([row])) for column in columns(found) if row in column.present]
        assert len(there) == len(variants)
        for column, variant in zip(there, variants, strict=True):
            assert np.array_equal(column.descriptors[0], variant.descriptor)
            assert column.kept is not None
            assert np.array_equal(column.kept[0], np.asarray(variant.kept))
            assert (column.symmetry, column.of_part is not None) == (variant.symmetry, variant.part is not None)


def test_a_column_of_parts_holds_the_whole_where_an_image_has_none() -> None:
    found = side_by_side(described(), DESCRIBER.parts)
    wholes = {column.symmetry: column for column in columns(found) if column.of_part is None}
    for column in columns(found):
        assert np.array_equal(column.descriptors[[0, 2]], wholes[column.symmetry].descriptors[[0, 2]])


def test_parts_cost_a_descriptor_each_and_nothing_besides() -> None:
    images = described()
    for found in (side_by_side(images, DESCRIBER.parts), packed(images, DESCRIBER.parts)):
        assert found is not None
        assert len({id(column.kept) for column in columns(found)}) == 2
        assert sum(column.of_part is None for column in columns(found)) == 2


def test_rows_of_a_part_are_of_a_part() -> None:
    found = side_by_side(described(), DESCRIBER.parts).at(np.array([1, 0]))
    of_part = [None if column.of_part is None else column.of_part.tolist() for column in columns(found)]
    assert of_part == 2 * [None, [True, False], [True, False]]
