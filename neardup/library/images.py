"""What counts as an image here: a path, encoded bytes, a PIL image, an array."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neardup.decoding.decode import pixels_of
from neardup.decoding.limits import DecodeLimits
from neardup.errors import BadInput, UndecodableImage
from neardup.sources.images import BytesImage, FileImage
from neardup.types import Pixels

ImageLike: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]
"""One image: a path, encoded bytes, a PIL image, or an array, uint8 (height, width, 3) RGB or (height, width) grey."""

_GREY, _COLOUR = 2, 3
"""Dimensions of an array."""


class Readable(Protocol):
    """An image that can be read; `neardup.sources.files.SourceImage` is one."""

    def pixels(self, reduce_to_px: int | None, limits: DecodeLimits) -> Pixels:
        """Read and decode the image; see `neardup.sources.files.SourceImage`."""


@dataclass(frozen=True, slots=True)
class PixelsImage:
    """An image that is decoded already: one of Pillow, or an array."""

    image: Image.Image | NDArray[np.uint8]

    def pixels(self, reduce_to_px: int | None, limits: DecodeLimits) -> Pixels:
        """Return the pixels: all of them, since they are in memory anyway."""
        del reduce_to_px, limits
        image = self.image
        return pixels_of(image) if isinstance(image, Image.Image) else _pixels_of_array(image)


def _pixels_of_array(array: NDArray[np.uint8]) -> Pixels:
    grey = array.ndim == _GREY
    coloured = array.ndim == _COLOUR and array.shape[2] == _COLOUR
    if array.dtype != np.uint8 or not array.size or not (grey or coloured):
        raise UndecodableImage(
            f"an array of {array.dtype} {array.shape}: it should be uint8, (height, width, 3) in RGB or (height, "
            "width) in grey; PIL.Image.fromarray knows more kinds"
        )
    return np.repeat(array[:, :, np.newaxis], _COLOUR, axis=2) if grey else np.ascontiguousarray(array)


def is_one_image(images: object) -> bool:
    """Return whether this is one image; an array always is, else many come as an iterable."""
    return isinstance(images, str | os.PathLike | bytes | Image.Image | np.ndarray)


def one_by_one(images: ImageLike | Iterable[ImageLike]) -> Iterator[ImageLike]:
    """Iterate over one image or many."""
    if isinstance(images, str | os.PathLike | bytes | Image.Image | np.ndarray):
        return iter([images])
    return iter(images)


def readable(image: ImageLike) -> Readable:
    """Return an object that reads an image.

    Raises
    ------
    TypeError
        It is not an image.
    """
    if isinstance(image, bytes):
        return BytesImage("", image)
    if isinstance(image, str | os.PathLike):
        return FileImage("", os.fspath(image))
    if isinstance(image, Image.Image | np.ndarray):
        return PixelsImage(image)
    raise TypeError(f"an image is a path, bytes, a PIL image or an array, not {type(image).__name__}")


def named(error: BadInput | OSError, image: ImageLike, number: int) -> BadInput | OSError:
    """Return an error that says which image it is about; those of files do already."""
    if isinstance(error, OSError):
        return error
    which = os.fspath(image) if isinstance(image, str | os.PathLike) else f"image {number}"
    return type(error)(f"{which}: {error}")
