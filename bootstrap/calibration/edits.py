"""Light edits, which a person would not notice or mind, and how far they move an image's descriptor."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from neardup.decoding.decode import decode
from neardup.decoding.limits import DecodeLimits
from neardup.descriptors.base import Descriptor
from neardup.errors import BadInput
from neardup.search.distance import l2_distances
from neardup.sources.images import SourceImage
from neardup.types import Descriptors

Edit = Callable[[Image.Image], bytes]

SIDE_PX = 640
"""Larger images are shrunk to this first, as a site's own copy would be: it bounds the time."""
_SMALL_PX = 32
"""If the short side is below this, shifting, halving and blurring are visible."""


def _jpeg(image: Image.Image, quality: int = 90) -> bytes:
    return _saved(image, "JPEG", quality=quality)


def _saved(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _halved(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


def _shifted(image: Image.Image) -> Image.Image:
    moved = image.copy()  # the last row and column stay, and so appear twice
    moved.paste(image.crop((1, 1, image.width, image.height)), (0, 0))
    return moved


EDITS: dict[str, Edit] = {
    "PNG": lambda image: _saved(image, "PNG", compress_level=1),
    "JPEG 80": lambda image: _jpeg(image, 80),
    "JPEG 60": lambda image: _jpeg(image, 60),
    "WebP 80": lambda image: _saved(image, "WEBP", quality=80, method=2),
    "brightness +8 %": lambda image: _jpeg(ImageEnhance.Brightness(image).enhance(1.08)),
    "brightness -8 %": lambda image: _jpeg(ImageEnhance.Brightness(image).enhance(0.92)),
    "contrast +8 %": lambda image: _jpeg(ImageEnhance.Contrast(image).enhance(1.08)),
    "contrast -8 %": lambda image: _jpeg(ImageEnhance.Contrast(image).enhance(0.92)),
}
"""Made from every image."""

MOVING_EDITS: dict[str, Edit] = {
    "half size": lambda image: _jpeg(_halved(image)),
    "shift 1 px": lambda image: _jpeg(_shifted(image)),
    "blur 1 px": lambda image: _jpeg(image.filter(ImageFilter.GaussianBlur(1))),
}
"""Made from images that are large enough for them."""


def edited(image: Image.Image) -> Iterator[bytes]:
    """Iterate over light edits of an RGB image, encoded."""
    image.thumbnail((SIDE_PX, SIDE_PX))
    edits = EDITS if min(image.size) < _SMALL_PX else {**EDITS, **MOVING_EDITS}
    for edit in edits.values():
        yield edit(image)


def edit_distances(
    seeds: Iterable[SourceImage],
    originals: dict[str, Descriptors],
    descriptor: Descriptor,
    *,
    limits: DecodeLimits,
    workers: int,
) -> NDArray[np.float64]:
    """Return how far light edits move the requested seeds, float64 (k,), ascending.

    Parameters
    ----------
    seeds
        All seeds; the requested ones are read again.
    originals
        Their descriptors, float16 (d,) each, by image id.
    descriptor
        The descriptor that described them.
    limits
        What an image may cost.
    workers
        Number of editing threads.

    Notes
    -----
    Images that can no longer be read, or cannot be described after an edit, are left out.
    """
    # Reading clips takes long: skip it if nothing is wanted.
    wanted = [seed for seed in seeds if seed.image_id in originals] if originals else []
    found: list[NDArray[np.float64]] = [np.empty(0)]
    with ThreadPoolExecutor(workers, thread_name_prefix="edit") as pool:
        prepare = partial(_prepared_copies, descriptor=descriptor, limits=limits)
        for seed, copies in zip(wanted, pool.map(prepare, wanted), strict=True):
            found.append(_distances(originals[seed.image_id], copies, descriptor))
    return np.sort(np.concatenate(found))


def _prepared_copies(seed: SourceImage, descriptor: Descriptor, limits: DecodeLimits) -> list[NDArray[np.uint8]]:
    try:
        image = Image.fromarray(seed.pixels(max(SIDE_PX, descriptor.reduce_to_px), limits))
        return [
            # Without the seeds' limits, which may exclude what we encode.
            descriptor.prepare(decode(copy, reduce_to_px=descriptor.reduce_to_px))
            for copy in edited(image)
        ]
    except (BadInput, OSError):
        return []


def _distances(
    original: Descriptors, copies: Sequence[NDArray[np.uint8]], descriptor: Descriptor
) -> NDArray[np.float64]:
    try:
        described = descriptor.describe(copies)
    except BadInput:
        return np.empty(0)
    distances: NDArray[np.float64] = l2_distances(original[np.newaxis], described)[0]
    return distances
