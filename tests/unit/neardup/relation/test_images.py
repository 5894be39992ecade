"""What images are compared by, side by side."""

from collections.abc import Iterable

import numpy as np
import pytest

from neardup.descriptors.dct import DctDescriptor
from neardup.relation.describing import Describer
from neardup.relation.images import Images, packed, side_by_side
from neardup.relation.rule import Relation
from neardup.types import Variant
from tests.support.forms import scene

DESCRIBER = Describer(DctDescriptor(), Relation(0.3, 5.0, 0.5, match_flips=True, match_parts=True))


def described(numbers: Iterable[int]) -> list[tuple[Variant, ...]]:
    return DESCRIBER.describe([DESCRIBER.prepare(scene(number)) for number in numbers])


def columns(images: Images) -> list[Images]:
    return [images, *images.variants]


@pytest.mark.parametrize("block", [1, 2, 1024])
def test_each_column_is_a_variant_of_all_images(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("neardup.relation.images._BLOCK", block)
    images = described(range(3))
    found = packed(iter(images), DESCRIBER.parts)
    assert found is not None
    for column, variants in zip(columns(found), zip(*images, strict=True), strict=True):
        assert np.array_equal(column.descriptors, np.stack([each.descriptor for each in variants]))
        assert column.kept is not None
        assert np.array_equal(column.kept, np.stack([np.asarray(each.kept) for each in variants]))
        assert column.of_part is (variants[0].part is not None)


def test_parts_cost_a_descriptor_each_and_nothing_besides() -> None:
    images = described(range(3))
    for found in (side_by_side(images, DESCRIBER.parts), packed(images, DESCRIBER.parts)):
        assert found is not None
        assert len({id(column.kept) for column in columns(found)}) == 2
        assert sum(not column.of_part for column in columns(found)) == 2


def test_rows_of_a_part_are_of_a_part() -> None:
    found = side_by_side(described(range(3)), DESCRIBER.parts).at(np.array([2, 0]))
    assert [column.of_part for column in columns(found)] == [part is not None for _, part in DESCRIBER.views]
