"""From decoded pixels to what an image is compared by: descriptors and what is kept besides, for each of its variants.

Seeds, the stream and inspection all use it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.descriptors.base import Descriptor
from neardup.relation.crops import SMALLEST_SHARE, cropped
from neardup.relation.kept import Parts, kept_of, transformed_kept
from neardup.relation.rule import Relation, View
from neardup.relation.symmetry import transformed
from neardup.types import Descriptors, Kept, Pixels, Variant


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """What is kept of an image's pixels.

    Attributes
    ----------
    inputs
        The descriptor's input for each variant (`Relation.views`).
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
    views
        What the variants show, the image as it came first.
    parts
        What is kept of it besides.
    reduce_to_px
        A JPEG may be decoded smaller as long as both sides keep this many pixels.
    """

    prepare_input: Callable[[Pixels], NDArray[np.uint8]]
    views: tuple[View, ...]
    parts: Parts
    reduce_to_px: int

    def prepare(self, pixels: Pixels, frames: int = 1) -> PreparedImage:
        """Shrink uint8 (height, width, 3) RGB pixels to what is compared; nothing full-size is kept."""
        inputs = tuple(self.prepare_input(shown) for shown in self._shown(pixels))
        return PreparedImage(inputs, kept_of(pixels, self.parts), frames)

    def _shown(self, pixels: Pixels) -> Iterator[Pixels]:
        """Iterate over what the variants show."""
        whole = pixels
        for symmetry, part in self.views:
            if part is None:
                whole = transformed(pixels, symmetry)
            yield whole if part is None else cropped(whole, part)


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
        self.views = relation.views
        self.parts = relation.parts

    @property
    def reduce_to_px(self) -> int:
        """A JPEG may be decoded smaller as long as both sides keep this many pixels."""
        smallest_share = SMALLEST_SHARE if any(view.part for view in self.views) else 1
        return max(math.ceil(self.descriptor.reduce_to_px / smallest_share), self.parts.needed_px)

    @property
    def preparation(self) -> Preparation:
        """What `prepare` does, as an object that can be pickled."""
        return Preparation(self.descriptor.preparer, self.views, self.parts, self.reduce_to_px)

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
        return [tuple(self._variants(image, rows)) for image in prepared]

    def _variants(self, image: PreparedImage, rows: Iterator[Descriptors]) -> Iterator[Variant]:
        kept = image.kept
        for symmetry, part in self.views:
            if part is None:
                kept = transformed_kept(image.kept, symmetry)
            yield Variant(symmetry, next(rows), kept, part)
