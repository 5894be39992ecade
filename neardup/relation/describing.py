"""From decoded pixels to what an image is compared by: descriptors and what is kept besides, for it and each symmetry.

Seeds, the stream and inspection all use it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.descriptors.base import Descriptor
from neardup.relation.kept import Parts, kept_of, transformed_kept
from neardup.relation.rule import Relation
from neardup.relation.symmetry import transformed
from neardup.types import Kept, Pixels, Symmetry, Variant


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """What is kept of an image's pixels.

    Attributes
    ----------
    inputs
        The descriptor's input for the image as it came, then for each symmetry.
    kept
        uint8 (b,), of the image as it came; None where nothing but descriptors is compared.
    frames
        How many frames or pages its file has.
    """

    inputs: tuple[NDArray[np.uint8], ...]
    kept: Kept | None
    frames: int = 1


@dataclass(frozen=True, slots=True)
class Preparation:
    """The first half of describing, without the descriptor's model: it can be pickled and run in another process.

    Attributes
    ----------
    prepare_input
        Makes the descriptor's input from pixels.
    symmetries
        After which else the image is compared.
    parts
        What is kept of it besides.
    reduce_to_px
        A JPEG may be decoded smaller as long as both sides keep this many pixels.
    """

    prepare_input: Callable[[Pixels], NDArray[np.uint8]]
    symmetries: tuple[Symmetry, ...]
    parts: Parts
    reduce_to_px: int

    def prepare(self, pixels: Pixels, frames: int = 1) -> PreparedImage:
        """Shrink uint8 (height, width, 3) RGB pixels to what is compared; nothing full-size is kept."""
        turned = (transformed(pixels, symmetry) for symmetry in self.symmetries)
        inputs = (self.prepare_input(pixels), *(self.prepare_input(each) for each in turned))
        return PreparedImage(inputs, kept_of(pixels, self.parts), frames)


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
        self.parts = relation.parts

    @property
    def reduce_to_px(self) -> int:
        """A JPEG may be decoded smaller as long as both sides keep this many pixels."""
        return max(self.descriptor.reduce_to_px, self.parts.needed_px)

    @property
    def preparation(self) -> Preparation:
        """What `prepare` does, as an object that can be pickled."""
        return Preparation(self.descriptor.preparer, self.symmetries, self.parts, self.reduce_to_px)

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
                Variant(symmetry, next(rows), transformed_kept(image.kept, symmetry))
                for symmetry in (Symmetry.NONE, *self.symmetries)
            )
            for image in prepared
        ]
