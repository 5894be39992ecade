"""What an image is compared by."""

from dataclasses import replace

import numpy as np
import pytest

from neardup.decoding.decode import decode
from neardup.descriptors.dct import DctDescriptor
from neardup.descriptors.pixels import PixelsDescriptor
from neardup.relation.describing import Describer
from neardup.relation.insets import cropped, insets
from neardup.relation.kept import Parts, divided
from neardup.relation.local_change import SIDE_PX, thumbnail_of
from neardup.relation.looks.look import NEEDED_PX, look_of, part_of
from neardup.relation.looks.second_look import looks
from neardup.relation.rule import Relation
from neardup.relation.symmetry import symmetries, transformed, transformed_box
from neardup.search.distance import l2_distances
from neardup.types import Pixels, Symmetry
from tests.support.drawings import dark_photo, pale_photo
from tests.support.drawings import photo as drawn
from tests.support.forms import collage
from tests.support.processes import photo

DCT = DctDescriptor()
PARTS = Relation(0.0, agreement=0.5, match_parts=True)
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
        assert looks(kept[Parts.LOOK], expected[np.newaxis], np.ones(1), 0.5).agreement[0] > 0.8


def test_each_part_is_described_from_its_own_pixels_and_has_a_look_of_its_own() -> None:
    describer = Describer(DCT, replace(PARTS, local_change=5.0, match_flips=True))
    pixels = collage(dark_photo(1), pale_photo(2))
    (image,) = describer.describe([describer.prepare(pixels)])
    mirrored = transformed(pixels, Symmetry.MIRROR)
    assert [(variant.symmetry, variant.part) for variant in image] == [
        (symmetry, part if part is None else transformed_box(part, symmetry))
        for symmetry in (Symmetry.NONE, Symmetry.MIRROR)
        for part in (None, *insets(pixels))
    ]
    assert len(image) == 6
    for variant in image:
        whole = pixels if variant.symmetry is Symmetry.NONE else mirrored
        shown = whole if variant.part is None else cropped(whole, variant.part)
        assert np.array_equal(variant.descriptor, DCT.describe([DCT.prepare(shown)])[0])
    thumbnails = {variant.symmetry: divided(variant.kept)[Parts.THUMBNAIL] for variant in image if not variant.part}
    for variant in image:
        kept = divided(variant.kept)
        assert np.array_equal(kept[Parts.THUMBNAIL], thumbnails[variant.symmetry])
        assert part_of(kept[Parts.LOOK]) == (None if variant.part is None else pytest.approx(variant.part, abs=1e-4))
        if variant.part is not None and variant.symmetry is Symmetry.NONE:
            assert np.array_equal(kept[Parts.LOOK], look_of(cropped(pixels, variant.part), variant.part))


def test_an_image_without_insets_tells_that_they_were_looked_for() -> None:
    prepared = Describer(DCT, PARTS).prepare(drawn(0))
    assert (len(prepared.inputs), prepared.seeks_parts) == (1, True)
    assert not Describer(DCT, replace(PARTS, match_parts=False)).prepare(drawn(0)).seeks_parts


def test_a_picture_in_a_larger_one_is_near_by_a_part_of_that() -> None:
    describer = Describer(DCT, PARTS)
    shown = dark_photo(1), collage(pale_photo(2), dark_photo(1))
    inside, larger = describer.describe([describer.prepare(each) for each in shown])
    l2 = l2_distances(np.stack([each.descriptor for each in larger]), inside[0].descriptor[np.newaxis])[:, 0]
    assert l2[0] > DCT.default_radius
    assert larger[int(l2.argmin())].part == pytest.approx((0.5, 0.0, 1.0, 1.0), abs=0.01)
    assert l2.min() < DCT.default_radius / 2


def test_nothing_is_described_from_nothing() -> None:
    assert Describer(DCT, ALL).describe([]) == []


@pytest.mark.parametrize("symmetry", Symmetry)
def test_a_part_lies_after_a_symmetry_where_the_same_pixels_do(symmetry: Symmetry) -> None:
    pixels, part = drawn(1, 64, 32), (0.25, 0.125, 0.5, 0.75)  # exact in binary
    found = cropped(transformed(pixels, symmetry), transformed_box(part, symmetry))
    assert np.array_equal(found, transformed(cropped(pixels, part), symmetry))
