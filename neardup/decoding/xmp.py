"""EXIF alone turns an image, as in browsers: XMP is hidden from Pillow, which would look into it, too."""

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

_NAMES = ("xmp", "XML:com.adobe.xmp")


@contextmanager
def without_xmp(image: Image.Image) -> Iterator[None]:
    """Hide an image's XMP: a TIFF turns itself by it as it loads, others tell it with their EXIF."""
    hidden = {name: image.info.pop(name) for name in _NAMES if name in image.info}
    try:
        yield
    finally:
        image.info.update(hidden)
