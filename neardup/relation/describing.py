"""From decoded pixels to what an image is compared by: descriptors and what is kept besides, for each of its variants.

Seeds, the stream and inspection all use it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neardup.descriptors.base import Descriptor
from neardup.relation.insets import cropped, insets
from neardup.relation.kept import Parts, kept_of, kept_of_part, transformed_kept
from neardup.relation.rule import Relation
from neardup.relation.symmetry import transformed, transformed_box
from neardup.types import Box, Descriptors, Kept, Pixels, Symmetry, Variant


class View(NamedTuple):
    """What a variant of an image shows; as in `neardup.types.Variant`."""

    symmetry: Symmetry
    part: Box | None = None


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """What is kept of an image's pixels.

    Attributes
    ----------
    views
        What its variants show: the image as it came, then its parts; the same after each symmetry.
    inputs
        The descriptor's input for each of them.
    kept
        uint8 (b,), of the image as it came, then of each of its parts; None where nothing but descriptors is compared.
    frames
        How many frames or pages its file has.
    seeks_parts
        Whether pictures in it were looked for, though there may be none.
    """

    views: tuple[View, ...]
    inputs: tuple[NDArray[np.uint8], ...]
    kept: tuple[Kept | None, ...]
    frames: int = 1
    seeks_parts: bool = False


@dataclass(frozen=True, slots=True)
class Preparation:
    """The first half of describing, without the descriptor's model: it can be pickled and run in another process.

    Attributes
    ----------
    prepare_input
        Makes the descriptor's input from pixels.
    symmetries
        After which the image is described, none first.
    seeks_parts
        Whether the pictures found in it are described, too.
    parts
        What is kept of it besides.
    reduce_to_px
        A JPEG may be decoded smaller as long as both sides keep this many pixels.
    """

    prepare_input: Callable[[Pixels], NDArray[np.uint8]]
    symmetries: tuple[Symmetry, ...]
    seeks_parts: bool
    parts: Parts
    reduce_to_px: int

    def prepare(self, pixels: Pixels, frames: int = 1) -> PreparedImage:
        """Shrink uint8 (height, width, 3) RGB pixels to what is compared; nothing full-size is kept."""
        boxes = insets(pixels) if self.seeks_parts else ()
        views, inputs = zip(*self._shown(pixels, boxes), strict=True)
        whole = kept_of(pixels, self.parts)
        of_parts = (kept_of_part(whole, cropped(pixels, box), box) for box in boxes)
        return PreparedImage(views, inputs, (whole, *of_parts), frames, self.seeks_parts)

    def _shown(self, pixels: Pixels, boxes: Sequence[Box]) -> Iterator[tuple[View, NDArray[np.uint8]]]:
        """Iterate over what the variants show, and the descriptor's input for each."""
        for symmetry in self.symmetries:
            whole = transformed(pixels, symmetry)
            yield View(symmetry), self.prepare_input(whole)
            for box in boxes:
                part = transformed_box(box, symmetry)
                yield View(symmetry, part), self.prepare_input(cropped(whole, part))


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
        self.symmetries = relation.described_after
        self.seeks_parts = relation.match_parts
        self.parts = relation.parts

    @property
    def reduce_to_px(self) -> int:
        """A JPEG may be decoded smaller as long as both sides keep this many pixels."""
        return max(self.descriptor.reduce_to_px, self.parts.needed_px)

    @property
    def preparation(self) -> Preparation:
        """What `prepare` does, as an object that can be pickled."""
        return Preparation(self.descriptor.preparer, self.symmetries, self.seeks_parts, self.parts, self.reduce_to_px)

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
        # After each symmetry come the whole and its parts.
        for (symmetry, part), kept in zip(image.views, cycle(image.kept), strict=False):
            yield Variant(symmetry, next(rows), transformed_kept(kept, symmetry), part)
