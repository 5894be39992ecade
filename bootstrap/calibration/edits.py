"""Light edits, which a person would not notice or mind, and how far they move an image's descriptor."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from bootstrap.calibration.looking import passing_up_to
from neardup.decoding.decode import decode
from neardup.decoding.limits import DecodeLimits
from neardup.descriptors.base import Descriptor
from neardup.errors import BadInput
from neardup.relation.describing import Describer, PreparedImage
from neardup.relation.images import side_by_side
from neardup.relation.rule import Relation
from neardup.search.distance import l2_distances
from neardup.sources.images import SourceImage
from neardup.types import Variant

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


@dataclass(frozen=True, slots=True)
class EditDistances:
    """How far light edits moved images.

    Attributes
    ----------
    l2
        float64 (k,), ascending: distances of the descriptors.
    passes_up_to
        float64 (k,): the largest agreement at which each is a duplicate of its original, as in
        `bootstrap.calibration.looking.LookedPairs`; infinite where no second look is taken.
    """

    l2: NDArray[np.float64]
    passes_up_to: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of edits."""
        return len(self.l2)

    def found(self, radius: float, agreement: float = 0.0) -> float:
        """Return the fraction that is found."""
        return float(((self.l2 <= radius) & (self.passes_up_to >= agreement)).sum() / max(1, len(self)))

    def agreeing(self, agreement: float) -> float:
        """Return the fraction that agrees enough, near or far."""
        return self.found(np.inf, agreement)


def edit_distances(
    seeds: Iterable[SourceImage],
    originals: Mapping[str, Variant],
    descriptor: Descriptor,
    relation: Relation | None = None,
    *,
    limits: DecodeLimits,
    workers: int,
) -> EditDistances:
    """Return how far light edits move the requested seeds.

    Parameters
    ----------
    seeds
        All seeds; the requested ones are read again.
    originals
        What these are compared by, by image id.
    descriptor
        The descriptor that described them.
    relation
        What else decides; None for nothing. Its radius and symmetries do not matter.
    limits
        What an image may cost.
    workers
        Number of editing threads.

    Notes
    -----
    Images that can no longer be read, or cannot be described after an edit, are left out.
    """
    relation = Relation(2.0, agreement=relation.agreement if relation else None)
    describer = Describer(descriptor, relation)
    # Reading clips takes long: skip it if nothing is wanted.
    wanted = [seed for seed in seeds if seed.image_id in originals] if originals else []
    found = [(np.empty(0), np.empty(0))]
    with ThreadPoolExecutor(workers, thread_name_prefix="edit") as pool:
        prepare = partial(_prepared_copies, describer=describer, limits=limits)
        for seed, copies in zip(wanted, pool.map(prepare, wanted), strict=True):
            found.append(_distances(originals[seed.image_id], copies, describer, relation))
    l2, passes = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.argsort(l2, kind="stable")
    return EditDistances(l2[order], passes[order])


def _prepared_copies(seed: SourceImage, describer: Describer, limits: DecodeLimits) -> list[PreparedImage]:
    try:
        image = Image.fromarray(seed.pixels(max(SIDE_PX, describer.reduce_to_px), limits))
        return [
            # Without the seeds' limits, which may exclude what we encode.
            describer.prepare(decode(copy, reduce_to_px=describer.reduce_to_px))
            for copy in edited(image)
        ]
    except (BadInput, OSError):
        return []


def _distances(
    original: Variant, copies: Sequence[PreparedImage], describer: Describer, relation: Relation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    try:
        described = describer.describe(copies)
    except BadInput:
        described = []
    if not described:
        return np.empty(0), np.empty(0)
    images, seed = side_by_side(described, relation.parts), side_by_side([[original]], relation.parts)
    l2 = l2_distances(seed.descriptors, images.descriptors)[0]
    earlier = None if seed.kept is None else seed.kept.repeat(len(l2), axis=0)
    checks = relation.check(images.kept, np.arange(len(l2)), earlier, l2, all_looks=True)
    return l2, passing_up_to(checks, relation)
