"""Images with little in them have a part of their own, and photos have none."""

import numpy as np
import pytest
from numpy.typing import NDArray

from neardup.descriptors import load_descriptor
from neardup.descriptors.dct import LARGEST_ANGLE, YCBCR_OF_RGB, DctDescriptor, dct_basis
from neardup.descriptors.faint import FREQUENCIES, FinePart, faintness
from neardup.search.distance import l2_distances
from neardup.types import Pixels
from tests.support.pictures import GENERATED, flat, generated


def thumbnails(*images: Pixels) -> NDArray[np.uint8]:
    descriptor = DctDescriptor()
    return np.stack([descriptor.prepare(pixels) for pixels in images])


def of_contrast(levels: float, seed: int = 1) -> Pixels:
    """Return a picture whose blocks deviate by so many grey levels."""
    picture = generated(seed).astype(np.float64)
    coarse = np.sqrt(
        thumbnails(generated(seed)).astype(np.float64).reshape(8, 8, 8, 8, 3).mean((1, 3)).var((0, 1)).mean()
    )
    return np.asarray((128 + (picture - picture.mean((0, 1))) * levels / coarse).round().clip(0, 255), dtype=np.uint8)


def fine_part() -> FinePart:
    return FinePart(dct_basis(FREQUENCIES), YCBCR_OF_RGB, 128, LARGEST_ANGLE)


def test_photos_are_not_faint() -> None:
    assert not faintness(thumbnails(*GENERATED)).any()


def test_plain_images_are_faint() -> None:
    assert np.array_equal(faintness(thumbnails(flat(0, 0, 0), flat(255, 255, 255), flat(200, 60, 20))), [1, 1, 1])


def test_the_less_contrast_the_fainter() -> None:
    found = faintness(thumbnails(*map(of_contrast, (2, 7, 9, 10, 11, 13))))
    assert found[:2].tolist() == [1, 1]
    assert found[-1] == 0
    assert (np.diff(found[1:]) < 0).all()


def test_colours_of_one_brightness_are_contrast() -> None:
    image = flat(200, 60, 60, 64, 64)
    image[:, 32:] = (60, 131, 60)
    assert faintness(thumbnails(image))[0] == 0


def test_the_part_is_of_unit_length_and_the_same_in_every_batch() -> None:
    batch = thumbnails(*GENERATED, flat(0, 0, 0), flat(9, 9, 9))
    together = fine_part()(batch)
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0)
    for row, image in zip(together, batch, strict=True):
        assert np.array_equal(row, fine_part()(image[np.newaxis])[0])


def test_the_part_tells_a_tenth_of_another_picture() -> None:
    base, other = (of_contrast(6, seed).astype(np.float64) - 128 for seed in (1, 2))
    mixed = [(128 + base * (1 - share) + other * share).round().astype(np.uint8) for share in (0, 0.01, 0.03, 0.1, 0.3)]
    parts = fine_part()(thumbnails(*mixed))
    far = np.linalg.norm(parts[1:] - parts[0], axis=1)
    assert (np.diff(far) > 0).all()
    assert far[0] < 0.3
    assert far[-1] > 1.0


@pytest.mark.parametrize("levels", [3.0, 6.0, 8.0, 9.0, 10.0, 11.0, 12.0, 14.0])
def test_a_fifth_less_contrast_is_found_wherever_the_part_begins(levels: float) -> None:
    descriptor = load_descriptor("dct")
    rows = descriptor.describe(list(thumbnails(of_contrast(levels), of_contrast(0.8 * levels))))
    assert l2_distances(rows[:1], rows[1:])[0, 0] <= descriptor.default_radius


def test_the_rest_of_a_faint_image_counts_too() -> None:
    """An angle of 0.4 leaves most of the vector to what photos are compared by."""
    image = thumbnails(of_contrast(6))
    vector = DctDescriptor().describe(list(image))[0].astype(np.float64)
    assert vector @ fine_part()(image)[0] == pytest.approx(np.sin(0.4), abs=0.15)
