"""How large an image is, by its header."""

import logging
import warnings
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from neardup.decoding.formats import FORMATS, HEIF, has_heif

_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)
"""Values of the EXIF orientation that exchange width and height."""


def count_pixels(file: BinaryIO, formats: tuple[str, ...] = FORMATS) -> int:
    """Return width times height of an image, without decoding it; 0 when its header cannot be read."""
    width, height = size_px(file, formats)
    return width * height


def size_px(file: BinaryIO, formats: tuple[str, ...] = FORMATS) -> tuple[int, int]:
    """Return width and height as they are stored, without decoding; (0, 0) when the header cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with _opened(file, formats) as image:
                return image.width, image.height
    except Image.DecompressionBombError:  # so many that Pillow does not say how many
        return 2, Image.MAX_IMAGE_PIXELS or 0
    except Exception:  # parsers raise whatever they met; what is wrong is told when the image is decoded
        logging.getLogger(__name__).debug("unreadable header", exc_info=True)
        return 0, 0


def shown_size_px(file: BinaryIO, formats: tuple[str, ...] = FORMATS) -> tuple[str | None, tuple[int, int] | None]:
    """Return an image's format, as Pillow calls it, and width and height as it is shown, upright, without decoding.

    None stands for what the header does not tell.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with _opened(file, formats) as image:
                turned = image.format != HEIF and image.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE
                return image.format, (image.height, image.width) if turned else image.size
    except Exception:  # as above
        logging.getLogger(__name__).debug("unreadable header", exc_info=True)
        return None, None


def _opened(file: BinaryIO, formats: tuple[str, ...]) -> Image.Image:
    try:
        return Image.open(file, formats=[name for name in formats if name != HEIF])
    except UnidentifiedImageError:
        if HEIF not in formats or not has_heif():
            raise
    file.seek(0)
    return Image.open(file, formats=[HEIF])
