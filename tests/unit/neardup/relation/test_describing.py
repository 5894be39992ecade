"""What an image is compared by."""

from dataclasses import replace

import numpy as np
import pytest

from neardup.decoding.decode import decode
from neardup.descriptors.dct import DctDescriptor
from neardup.descriptors.pixels import PixelsDescriptor
from neardup.relation.describing import Describer
from neardup.relation.kept import Parts, divided
from neardup.relation.local_change import SIDE_PX, thumbnail_of
from neardup.relation.look import NEEDED_PX, look_of
from neardup.relation.rule import Relation
from neardup.relation.second_look import looks
from neardup.relation.symmetry import symmetries, transformed
from neardup.search.distance import l2_distances
from neardup.types import Pixels, Symmetry
from tests.support.processes import photo

DCT = DctDescriptor()
ALL = Relation(0.0, local_change=10.0, match_flips=True, match_rotations=True)


def pixels_of(number: int) -> Pixels:
    return decode(photo(number))


def test_an_image_by_its_descriptor_alone() -> None:
    describer = Describer(DCT, Relation(0.0))
    ((image,),) = describer.describe([describer.prepare(pixels_of(1))])
    assert (image.symmetry, image.kept) == (Symmetry.NONE, None)
    assert np.array_equal(image.descriptor, DCT.describe([DCT.prepare(pixels_of(1))])[0])
    assert describer.reduce_to_px == DCT.reduce_to_px


def test_each_symmetry_is_described_from_the_images_own_pixels() -> None:
    describer = Describer(DCT, ALL)
    compared = describer.describe([describer.prepare(pixels_of(number)) for number in range(3)])
    for number, image in enumerate(compared):
        assert [variant.symmetry for variant in image] == [Symmetry.NONE, *symmetries(ALL)]
        for variant in image:
            expected = DCT.describe([DCT.prepare(transformed(pixels_of(number), variant.symmetry))])[0]
            assert np.array_equal(variant.descriptor, expected)


def test_thumbnails_are_those_of_the_variants() -> None:
    describer = Describer(DCT, ALL)
    (image,) = describer.describe([describer.prepare(pixels_of(1))])
    assert image[0].kept is not None
    assert np.array_equal(image[0].kept, thumbnail_of(pixels_of(1)))
    for variant in image:
        # Sampling a turned image is not turning the samples, to the last grey level.
        expected = thumbnail_of(transformed(pixels_of(1), variant.symmetry)).astype(int)
        assert variant.kept is not None
        assert np.abs(variant.kept - expected).max() <= 2


def test_a_mirrored_copy_seen_in_the_mirror_is_near() -> None:
    describer = Describer(DCT, Relation(0.0, match_flips=True))
    ((stored, _),) = describer.describe([describer.prepare(pixels_of(1))])
    (copy,) = describer.describe([describer.prepare(transformed(pixels_of(1), Symmetry.MIRROR))])
    as_it_came, mirrored = l2_distances(np.stack([each.descriptor for each in copy]), stored.descriptor[np.newaxis])
    assert mirrored[0] == 0.0
    assert as_it_came[0] > DCT.default_radius


@pytest.mark.parametrize("side_px", [1, 8, 500])
def test_a_thumbnail_sees_enough_pixels_whatever_the_descriptor_needs(side_px: int) -> None:
    descriptor = PixelsDescriptor(side_px)
    needed = Describer(descriptor, Relation(0.0, local_change=1.0)).reduce_to_px
    assert needed >= max(descriptor.reduce_to_px, 2 * SIDE_PX)
    looked_at = Describer(descriptor, Relation(0.0, agreement=0.5)).reduce_to_px
    assert looked_at >= max(descriptor.reduce_to_px, NEEDED_PX)


def test_looks_are_those_of_the_variants_and_follow_the_thumbnails() -> None:
    describer = Describer(DCT, replace(ALL, agreement=0.5))
    (image,) = describer.describe([describer.prepare(pixels_of(1))])
    for variant in image:
        kept = divided(variant.kept)
        assert list(kept) == [Parts.THUMBNAIL, Parts.LOOK]
        expected = look_of(transformed(pixels_of(1), variant.symmetry))
        assert looks(kept[Parts.LOOK], expected[np.newaxis], np.ones(1), 0.5).agreement[0] > 0.95


def test_nothing_is_described_from_nothing() -> None:
    assert Describer(DCT, ALL).describe([]) == []
