"""The images that are measured on: photos as a stream brings them, some of them twice, in three sizes.

Of four images the last is the second one again, smaller and compressed anew. Where the photos run out, the left half of
one beside the right half of another makes the next: it looks like a photo, and like no other image of the stream.
"""

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

DRAWN_PX = (500, 375)
"""Where there are no photos, pictures of this size are drawn."""
DRAWN = 256
_PERIOD, _COPY, _BACK = 4, 3, 2
_COPY_SCALE, _COPY_QUALITY, _QUALITY = 0.9, 75, 90


@dataclass(frozen=True, slots=True)
class Size:
    """A size of images, and how many of them a run takes.

    Attributes
    ----------
    name
        In results and tables.
    size_px
        Width and height that photos are enlarged to; None for photos as they come.
    distinct
        Different files at most: what comes after them is the first ones again.
    share
        Of the images that are asked for, so many are timed.
    edge
        Images before and after those that are timed: more than a consumer has in hand.
    """

    name: str
    size_px: tuple[int, int] | None
    distinct: int
    share: float
    edge: int


SIZES = (
    Size("photos", None, 1_000_000, 1.0, 256),
    Size("1080p", (1920, 1080), 96, 0.25, 96),
    Size("12 megapixels", (4000, 3000), 24, 1 / 16, 24),
)


@dataclass(frozen=True, slots=True)
class Photos:
    """What images are made from.

    Attributes
    ----------
    files
        JPEG files, encoded.
    origin
        Where they are from, for whoever reads the results.
    """

    files: Sequence[bytes]
    origin: str


def photos() -> Photos:
    """Return the photos under NEARDUP_DATA, or drawn ones where there are none."""
    folder = Path(os.environ.get("NEARDUP_DATA") or Path(__file__).resolve().parents[2] / "../shared/data")
    found = sorted((folder / "photos_eval").glob("*.jpg"))
    if found:
        return Photos([path.read_bytes() for path in found], f"{len(found)} photos of photos_eval")
    return drawn_photos()


def drawn_photos() -> Photos:
    """Return drawn pictures, the same ones everywhere."""
    return Photos(
        [drawn(number, DRAWN_PX) for number in range(DRAWN)], f"{DRAWN} drawn pictures, {DRAWN_PX[0]}x{DRAWN_PX[1]}"
    )


@lru_cache(maxsize=1024)
def drawn(number: int, size: tuple[int, int]) -> bytes:
    """Return a JPEG that looks like no other: a smooth random field."""
    coarse = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return _encoded(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), 85)


def write_images(source: Photos, size: Size, count: int, folder: Path) -> list[Path]:
    """Write so many images of a size into a folder, and return their files in the order of the stream."""
    distinct = min(count, size.distinct)
    files = [folder / f"{number:07}.jpg" for number in range(distinct)]
    for number, file in enumerate(files):
        if not file.exists():
            file.write_bytes(_image(source, size, number))
    return [files[number % distinct] for number in range(count)]


def copy_of(number: int) -> int | None:
    """Return which image this one is a copy of; None if it is new."""
    return number - _BACK if number % _PERIOD == _COPY else None


def _image(source: Photos, size: Size, number: int) -> bytes:
    earlier = copy_of(number)
    if earlier is None:
        return new_photo(source, size, number - number // _PERIOD)
    return copy_of_photo(_image(source, size, earlier))


def copy_of_photo(encoded: bytes) -> bytes:
    """Return a copy of an image as a stream brings it: smaller, and compressed anew."""
    original = Image.open(io.BytesIO(encoded))
    smaller = (round(original.width * _COPY_SCALE), round(original.height * _COPY_SCALE))
    return _encoded(original.resize(smaller, Image.Resampling.LANCZOS), _COPY_QUALITY)


def new_photo(source: Photos, size: Size, rank: int) -> bytes:
    """Return the image of this rank that is no copy, the same one whenever it is asked for."""
    turn, place = divmod(rank, len(source.files))
    encoded = source.files[place]
    if turn == 0 and size.size_px is None:
        return encoded
    picture = Image.open(io.BytesIO(encoded)).convert("RGB")
    if turn:
        other = Image.open(io.BytesIO(source.files[(place + turn) % len(source.files)])).convert("RGB")
        half = picture.width // 2
        right = other.resize(picture.size).crop((half, 0, *picture.size))
        picture.paste(right, (half, 0))
    return _encoded(picture if size.size_px is None else _enlarged(picture, size.size_px, rank), _QUALITY)


def _enlarged(picture: Image.Image, size: tuple[int, int], seed: int) -> Image.Image:
    """Enlarge, with the grain that a camera's picture has and an enlarged one lacks: it is what files of it cost."""
    smooth = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), dtype=np.int16)
    grain = np.random.default_rng(seed).integers(-6, 7, smooth.shape[:2], dtype=np.int16)
    return Image.fromarray(np.clip(smooth + grain[..., None], 0, 255).astype(np.uint8))


def _encoded(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


Say = Callable[[str], None]
