"""From decoded pixels to what an image is compared by: descriptor and thumbnail, for the image and each symmetry.

Seeds, the stream and inspection all use it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.descriptors.base import Descriptor
from neardup.relation.local_change import SIDE_PX, thumbnail_of
from neardup.relation.rule import Relation
from neardup.relation.symmetry import transformed, transformed_thumbnail
from neardup.types import Pixels, Symmetry, Thumbnail, Variant


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """What is kept of an image's pixels.

    Attributes
    ----------
    inputs
        The descriptor's input for the image as it came, then for each symmetry.
    thumbnail
        uint8 (b,), of the image as it came; None where local change does not count.
    frames
        How many frames or pages its file has.
    """

    inputs: tuple[NDArray[np.uint8], ...]
    thumbnail: Thumbnail | None
    frames: int = 1


@dataclass(frozen=True, slots=True)
class Preparation:
    """The first half of describing, without the descriptor's model: it can be pickled and run in another process.

    Attributes
    ----------
    prepare_input
        Makes the descriptor's input from pixels.
    symmetries, has_thumbnails
        What else is compared.
    reduce_to_px
        A JPEG may be decoded smaller as long as both sides keep this many pixels.
    """

    prepare_input: Callable[[Pixels], NDArray[np.uint8]]
    symmetries: tuple[Symmetry, ...]
    has_thumbnails: bool
    reduce_to_px: int

    def prepare(self, pixels: Pixels, frames: int = 1) -> PreparedImage:
        """Shrink uint8 (height, width, 3) RGB pixels to what is compared; nothing full-size is kept."""
        turned = (transformed(pixels, symmetry) for symmetry in self.symmetries)
        inputs = (self.prepare_input(pixels), *(self.prepare_input(each) for each in turned))
        return PreparedImage(inputs, thumbnail_of(pixels) if self.has_thumbnails else None, frames)


class Describer:
    """Prepares images one by one, in any thread, and describes them batch by batch.

    Parameters
    ----------
    descriptor
        Turns images into vectors.
    relation
        The index's relation, which says what is compared. Its radius does not matter here.
    """

    def __init__(self, descriptor: Descriptor, relation: Relation) -> None:
        self.descriptor = descriptor
        self.symmetries = relation.symmetries
        self.has_thumbnails = relation.has_thumbnails

    @property
    def reduce_to_px(self) -> int:
        """A JPEG may be decoded smaller as long as both sides keep this many pixels."""
        # Twice the thumbnail's side, so that each of its pixels is a mean of several.
        return max(self.descriptor.reduce_to_px, 2 * SIDE_PX if self.has_thumbnails else 0)

    @property
    def preparation(self) -> Preparation:
        """What `prepare` does, as an object that can be pickled."""
        return Preparation(self.descriptor.preparer, self.symmetries, self.has_thumbnails, self.reduce_to_px)

    def prepare(self, pixels: Pixels) -> PreparedImage:
        """Shrink uint8 (height, width, 3) RGB pixels to what is compared; nothing full-size is kept."""
        return self.preparation.prepare(pixels)

    def describe(self, prepared: Sequence[PreparedImage]) -> list[tuple[Variant, ...]]:
        """Return the variants that each image is compared by; the first is the image as it came.

        Raises
        ------
        Undescribable
            Some features are not finite.
        """
        rows = iter(self.descriptor.describe([each for image in prepared for each in image.inputs]))
        return [
            tuple(
                Variant(symmetry, next(rows), _thumbnail(image, symmetry))
                for symmetry in (Symmetry.NONE, *self.symmetries)
            )
            for image in prepared
        ]


def _thumbnail(image: PreparedImage, symmetry: Symmetry) -> Thumbnail | None:
    if image.thumbnail is None or symmetry is Symmetry.NONE:
        return image.thumbnail
    return transformed_thumbnail(image.thumbnail, symmetry)
