"""From decoded pixels to what an image is compared by: descriptors and what is kept besides, for each of its variants.

Seeds, the stream and inspection all use it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neardup.descriptors.base import Descriptor
from neardup.errors import BadInput
from neardup.relation.insets import cropped, insets
from neardup.relation.kept import Parts, kept_of, kept_of_part, transformed_kept
from neardup.relation.rule import Relation
from neardup.relation.symmetry import transformed, transformed_box
from neardup.types import Box, Descriptors, Kept, Pixels, Symmetry, Variant


class View(NamedTuple):
    """What a variant of an image shows; as in `neardup.types.Variant`."""

    symmetry: Symmetry
    part: Box | None = None


@dataclass(frozen=True, slots=True, weakref_slot=True)
class PreparedImage:
    """What is kept of an image's pixels.

    Attributes
    ----------
    views
        What its variants show: the image as it came, then its parts; the same after each symmetry.
    inputs
        The descriptor's input for each of them; none once they are described.
    kept
        uint8 (b,), of the image as it came, then of each of its parts; None where nothing but descriptors is compared.
    frames
        How many frames or pages its file has.
    seeks_parts
        Whether pictures in it were looked for, though there may be none.
    descriptors
        float16 (n, d), of each view; None until they are described.
    sha256
        Of the image's encoded bytes, where they are remembered (`neardup.repeats`).
    """

    views: tuple[View, ...]
    inputs: tuple[NDArray[np.uint8], ...]
    kept: tuple[Kept | None, ...]
    frames: int = 1
    seeks_parts: bool = False
    descriptors: Descriptors | None = None
    sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class Preparation:
    """What of describing can be pickled and run in another process: the first half, and the second where it is light.

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
    describe
        Makes float16 (n, d) of n inputs; None where that is left to `Describer.describe`.
    """

    prepare_input: Callable[[Pixels], NDArray[np.uint8]]
    symmetries: tuple[Symmetry, ...]
    seeks_parts: bool
    parts: Parts
    reduce_to_px: int
    describe: Callable[[Sequence[NDArray[np.uint8]]], Descriptors] | None = None

    def prepare(self, pixels: Pixels, frames: int = 1) -> PreparedImage:
        """Shrink uint8 (height, width, 3) RGB pixels to what is compared; nothing full-size is kept."""
        boxes = insets(pixels) if self.seeks_parts else ()
        views, inputs = zip(*self._shown(pixels, boxes), strict=True)
        whole = kept_of(pixels, self.parts)
        of_parts = (kept_of_part(whole, cropped(pixels, box), box) for box in boxes)
        return PreparedImage(views, inputs, (whole, *of_parts), frames, self.seeks_parts)

    def described(self, images: Sequence[PreparedImage]) -> list[PreparedImage | BadInput]:
        """Return prepared images with their descriptors, if they are made here, or what is wrong with one."""
        return list(images) if self.describe is None else _described(images, self.describe)

    def _shown(self, pixels: Pixels, boxes: Sequence[Box]) -> Iterator[tuple[View, NDArray[np.uint8]]]:
        """Iterate over what the variants show, and the descriptor's input for each."""
        for symmetry in self.symmetries:
            whole = transformed(pixels, symmetry)
            yield View(symmetry), self.prepare_input(whole)
            for box in boxes:
                part = transformed_box(box, symmetry)
                yield View(symmetry, part), self.prepare_input(cropped(whole, part))


def _described(
    images: Sequence[PreparedImage], describe: Callable[[Sequence[NDArray[np.uint8]]], Descriptors]
) -> list[PreparedImage | BadInput]:
    if not images:
        return []
    try:
        rows = describe([each for image in images for each in image.inputs])
    except BadInput as error:
        # One image spoils the batch: alone, each shows whether it was the one.
        return [error] if len(images) == 1 else [_described([one], describe)[0] for one in images]
    ends = np.cumsum([len(image.views) for image in images])
    return [
        replace(image, inputs=(), descriptors=own) for image, own in zip(images, np.split(rows, ends[:-1]), strict=True)
    ]


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
        """What `prepare` does, and `describe` where that is light, as an object that can be pickled."""
        return Preparation(
            self.descriptor.preparer,
            self.symmetries,
            self.seeks_parts,
            self.parts,
            self.reduce_to_px,
            self.descriptor.describer,
        )

    def prepare(self, pixels: Pixels) -> PreparedImage:
        """Shrink uint8 (height, width, 3) RGB pixels to what is compared; nothing full-size is kept."""
        return self.preparation.prepare(pixels)

    def described(self, images: Sequence[PreparedImage]) -> list[PreparedImage | BadInput]:
        """Return prepared images with their descriptors, or what is wrong with one; those that have some, as they are.

        An image that is there more than once is described once.
        """
        waiting = {id(image): image for image in images if image.descriptors is None}
        made = dict(zip(waiting, _described(list(waiting.values()), self.descriptor.describe), strict=True))
        return [made.get(id(image), image) for image in images]

    def describe(self, prepared: Sequence[PreparedImage]) -> list[tuple[Variant, ...]]:
        """Return the variants that each image is compared by; the first is the image as it came.

        Raises
        ------
        Undescribable
            Some features are not finite.
        """
        described = self.described(prepared)
        for image in described:
            if isinstance(image, BadInput):
                raise image
        return [variants_of(image) for image in described if isinstance(image, PreparedImage)]


def variants_of(image: PreparedImage) -> tuple[Variant, ...]:
    """Return what a described image is compared by; the first is the image as it came."""
    rows = () if image.descriptors is None else image.descriptors
    # After each symmetry come the whole and its parts.
    return tuple(
        Variant(symmetry, row, transformed_kept(kept, symmetry), part)
        for (symmetry, part), row, kept in zip(image.views, rows, cycle(image.kept), strict=False)
    )
