"""Images read once more for a report: thumbnails of them, and their descriptors."""

import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neardup.cores import cores
from neardup.decoding.header import size_px
from neardup.decoding.limits import DecodeLimits, WorkLimits
from neardup.decoding.pool import Decoder, open_decoder
from neardup.describe_batch import BATCH, BatchDescriber
from neardup.descriptors.base import Descriptor
from neardup.errors import BadInput, Misconfigured
from neardup.relation.describing import Describer, Preparation, PreparedImage, View
from neardup.relation.kept import Parts
from neardup.relation.local_change import SIDE_PX as KEPT_PX
from neardup.relation.rule import Relation
from neardup.report.entry import Entry, Missing, Read
from neardup.types import Descriptors, Kept, Pixels, Symmetry

THUMB_TYPE = "image/webp"
_QUALITY = 62
_KEPT_SHOWN_PX = 96
_SIDES_PX = ((250, 400), (1000, 240), (2500, 160))
"""Up to so many thumbnails, this is the longer side; more are smaller yet. By what a photo takes, a page of them stays
below its limit."""
_SMALLEST_PX = 128


@dataclass(frozen=True, slots=True)
class Picture:
    """What was made of an image.

    Attributes
    ----------
    entry
        Which one.
    thumb
        WebP; None where it could not be read.
    width, height
        Pixels, upright as the thumbnail is; 0 if unknown.
    size
        Bytes.
    missing
        Why it could not be read.
    """

    entry: Entry
    thumb: bytes | None = None
    width: int = 0
    height: int = 0
    size: int = 0
    missing: str = ""


def side_px(thumbs: int) -> int:
    """Return how large thumbnails are, if there are so many."""
    return next((side for most, side in _SIDES_PX if thumbs <= most), _SMALLEST_PX)


def webp(image: Image.Image) -> bytes:
    """Return an image as a small WebP."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return buffer.getvalue()


def kept_thumb(kept: Kept) -> bytes:
    """Return what an index keeps of an image, uint8 (`THUMBNAIL_BYTES`,) in grey, as a WebP that can be looked at."""
    grey = Image.fromarray(kept.reshape(KEPT_PX, KEPT_PX))
    return webp(grey.resize((_KEPT_SHOWN_PX, _KEPT_SHOWN_PX), Image.Resampling.BICUBIC))


@dataclass(frozen=True, slots=True)
class _Shrinking(Preparation):
    """Makes a thumbnail where images are decoded, which may be another process."""

    side_px: int = _SMALLEST_PX

    def prepare(self, pixels: Pixels, frames: int = 1) -> PreparedImage:
        image = Image.fromarray(pixels)
        image.thumbnail((self.side_px, self.side_px))
        return PreparedImage((View(Symmetry.NONE),), (np.frombuffer(webp(image), dtype=np.uint8),), (None,), frames)

    def described(self, images: Sequence[PreparedImage]) -> list[PreparedImage | BadInput]:
        return list(images)


class _Shrinker(Describer):
    """Stands where a describer does, to have images decoded as all others are."""

    def __init__(self, side_px: int) -> None:
        self._side_px = side_px

    @property
    def preparation(self) -> Preparation:
        return _Shrinking(
            _nothing,
            (Symmetry.NONE,),
            seeks_parts=False,
            parts=Parts.NOTHING,
            reduce_to_px=self._side_px,
            side_px=self._side_px,
        )


def _nothing(pixels: Pixels) -> NDArray[np.uint8]:
    del pixels
    return np.empty(0, dtype=np.uint8)


class _AsJudged(Describer):
    """Describes images as they came; a JPEG is decoded no smaller than it was for what is compared besides."""

    def __init__(self, descriptor: Descriptor, parts: Parts) -> None:
        super().__init__(descriptor, Relation(0.0))
        self._needed_px = parts.needed_px

    @property
    def reduce_to_px(self) -> int:
        return max(super().reduce_to_px, self._needed_px)


@dataclass(frozen=True, slots=True)
class Decoding:
    """How images are decoded.

    Attributes
    ----------
    limits
        What is decoded.
    work_limits
        What it may cost; None for no limits.
    """

    limits: DecodeLimits = field(default_factory=DecodeLimits)
    work_limits: WorkLimits | None = field(default_factory=WorkLimits)

    @contextmanager
    def opened(self) -> Iterator["OpenDecoding"]:
        """Start what decodes, for as long as the block lasts: processes of its own, unless there are no limits."""
        with (
            open_decoder(cores(), self.limits, self.work_limits) as decoder,
            ThreadPoolExecutor(cores(), thread_name_prefix="report") as executor,
        ):
            yield OpenDecoding(decoder, executor, self.limits)


@dataclass(frozen=True, slots=True)
class OpenDecoding:
    """Makes thumbnails and descriptors."""

    decoder: Decoder
    executor: Executor
    limits: DecodeLimits

    def pictures(self, images: Iterable[tuple[Entry, Read]], side_px: int) -> Iterator[Picture]:
        """Iterate over what was made of images, in order; few are in memory at a time.

        Parameters
        ----------
        images
            Taken as they are needed.
        side_px
            The longer side of thumbnails.
        """
        taken: deque[_Taken] = deque()
        for prepared in self._prepared(images, taken, _Shrinker(side_px)):
            one = taken.popleft()
            if isinstance(prepared, PreparedImage):
                thumb = prepared.inputs[0].tobytes()
                yield Picture(one.entry, thumb, *_as_shown(one.size_px, thumb), one.bytes)
            else:
                yield Picture(one.entry, None, *one.size_px, one.bytes, _why(prepared))

    def descriptors(
        self, images: Iterable[tuple[Entry, Read]], descriptor: Descriptor, parts: Parts
    ) -> Iterator[tuple[Entry, Descriptors | None]]:
        """Iterate over the descriptors of images, float16 (d,), in order; None of those that cannot be described.

        Parameters
        ----------
        images
            As above.
        descriptor
            Describes them.
        parts
            What else was kept of them when they were judged.
        """
        taken: deque[_Taken] = deque()
        describer = _AsJudged(descriptor, parts)
        prepared = self._prepared(images, taken, describer)
        while batch := list(islice(prepared, BATCH)):
            made = iter(describer.described([each for each in batch if isinstance(each, PreparedImage)]))
            for each in batch:
                described = next(made) if isinstance(each, PreparedImage) else None
                rows = described.descriptors if isinstance(described, PreparedImage) else None
                yield taken.popleft().entry, None if rows is None else rows[0]

    def _prepared(
        self, images: Iterable[tuple[Entry, Read]], taken: "deque[_Taken]", describer: Describer
    ) -> Iterator[PreparedImage | Exception]:
        path = BatchDescriber(describer, self.decoder, self.executor)
        return path.prepare_few(_noted(images, taken), self._read, cores())

    def _read(self, one: "_Taken") -> bytes | Exception:
        data = one.read()
        if isinstance(data, bytes):
            one.bytes, one.size_px = len(data), size_px(io.BytesIO(data), self.limits.formats)
        return data


@dataclass(slots=True)
class _Taken:
    """An image that is being read."""

    entry: Entry
    read: Read
    bytes: int = 0
    size_px: tuple[int, int] = (0, 0)


def _noted(images: Iterable[tuple[Entry, Read]], taken: deque[_Taken]) -> Iterator[_Taken]:
    for entry, read in images:
        taken.append(_Taken(entry, read))
        yield taken[-1]


def _as_shown(stored_px: tuple[int, int], thumb: bytes) -> tuple[int, int]:
    """Return the size of an image that may be stored on its side, by its thumbnail, which stands upright."""
    width, height = size_px(io.BytesIO(thumb))
    stored_width, stored_height = stored_px
    is_on_side = (width - height) * (stored_width - stored_height) < 0
    return (stored_height, stored_width) if is_on_side else stored_px


def _why(error: Exception) -> str:
    if isinstance(error, Missing):
        return str(error)
    return f"cannot be decoded ({error.reason})" if isinstance(error, BadInput) else "cannot be read"


def descriptor_by(fingerprint: str, spec: str | None = None, weights: str | None = None) -> Descriptor | None:
    """Return the descriptor with this fingerprint, if it is one that ships, or the one that is named.

    Raises
    ------
    Misconfigured
        The one that is named is another, or not there.
    """
    from neardup.descriptors import load_descriptor  # noqa: PLC0415 - each is loaded when it is asked for
    from neardup.descriptors.names import COPYNET, DCT  # noqa: PLC0415

    for each in (spec,) if spec else (DCT, COPYNET, "dct:notrim", "pixels"):
        loaded = load_descriptor(each, weights if spec else None)
        if loaded.fingerprint == fingerprint:
            return loaded
    if spec:
        raise Misconfigured(f"descriptor {spec!r} is not the one that made these verdicts: theirs is {fingerprint}")
    return None
