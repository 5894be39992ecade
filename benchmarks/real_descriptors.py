"""Many descriptors of real images: photos, and random crops and mirror images of them, described once and cached."""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.quality.tools import TRAINED
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.types import Descriptors
from training.photos import held_out

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neardup" / "benchmarks"
SIDE_PX = 64
STEEPNESS = 1.1
"""Of generated descriptors: the variance along coordinate k falls as ``k ** -1.1``, near that of photos by `dct`."""
_CHUNK = 20_000
_DESCRIBED = 512
_TOLD = 20
"""How often it is said how far it is."""
_PHOTOS = 32
"""Photos that a process takes at once."""


def descriptors_of_images(count: int, spec: str = "dct", *, unseen: bool = False) -> tuple[Descriptors, str]:
    """Return float16 (count, d) by a descriptor, and where they are from.

    Of a descriptor that was trained, and where `unseen` asks for it, only photos that are held out from training, and
    parts of them: they are fewer, so that more images are parts of one photo.
    """
    data, descriptor = os.environ.get("NEARDUP_DATA"), _descriptor(spec)
    if not data:
        return generated(count, descriptor.dimension), f"generated, variance of coordinate k falls as k^-{STEEPNESS}"
    photos, which, source = sorted((Path(data) / "photos_small").glob("*.jpg")), "", "photos of NEARDUP_DATA"
    if unseen or spec.partition(":")[0] in TRAINED:
        photos, which = [photo for photo in photos if held_out(photo.name)], "-held-out"
        source += f" that are held out from training ({len(photos):,})"
    source += f" and random crops and mirror images of them, by {spec}"
    prefix = "".join(letter if letter.isalnum() else "-" for letter in descriptor.fingerprint) + f"{which}-rows-"
    for file in sorted(CACHE.glob(f"{prefix}*.npy")) if CACHE.exists() else []:
        if int(file.stem.removeprefix(prefix)) >= count:
            return np.load(file, mmap_mode="r")[:count], source
    taken = descriptor.prepare(np.zeros((SIDE_PX, SIDE_PX, 3), dtype=np.uint8)).shape
    if taken != (SIDE_PX, SIDE_PX, 3):
        sys.exit(f"{spec} takes images of another size than {SIDE_PX} px")
    rows = described(photos, count, spec)
    CACHE.mkdir(parents=True, exist_ok=True)
    np.save(CACHE / f"{prefix}{count}.npy", rows)
    return rows, source


def generated(count: int, dimension: int) -> Descriptors:
    """Return unit vectors of a falling spectrum, float16 (count, dimension)."""
    rng = np.random.default_rng(0)
    scale = (np.arange(1, dimension + 1) ** (-STEEPNESS / 2)).astype(np.float32)
    rows = np.empty((count, dimension), dtype=np.float16)
    for start in range(0, count, _CHUNK):
        part = rng.standard_normal((min(_CHUNK, count - start), dimension), dtype=np.float32) * scale
        rows[start : start + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return rows


def described(photos: list[Path], count: int, spec: str) -> Descriptors:
    """Describe the photos, then parts of them, in several processes; each photo is decoded once."""
    print(f"describing {count} images by {spec}, once; kept in {CACHE}", file=sys.stderr)
    photos = photos[:count]
    views = -(-count // len(photos))
    parts = [(start, photos[start : start + _PHOTOS]) for start in range(0, len(photos), _PHOTOS)]
    with ProcessPoolExecutor() as pool:
        found = []
        for part in pool.map(partial(_described_views, views, spec), parts):
            found.append(part)
            if len(found) * _TOLD // len(parts) > (len(found) - 1) * _TOLD // len(parts):
                print(f"{len(found) * 100 // len(parts)} % described", file=sys.stderr, flush=True)
    rows = np.concatenate(found)
    return rows.swapaxes(0, 1).reshape(views * len(photos), -1)[:count]  # all photos whole, then a part of each, ...


def _described_views(views: int, spec: str, part: tuple[int, list[Path]]) -> Descriptors:
    """Return float16 (photos, views, d): each photo whole, then parts of it."""
    start, photos = part
    images = [
        view
        for number, photo in enumerate(photos, start)
        for view in _views(photo, views, np.random.default_rng(number))
    ]
    descriptor = _descriptor(spec)
    rows = [descriptor.describe(images[first : first + _DESCRIBED]) for first in range(0, len(images), _DESCRIBED)]
    return np.concatenate(rows).reshape(len(photos), views, -1)


@cache
def _descriptor(spec: str) -> Descriptor:
    return load_descriptor(spec)


def _views(photo: Path, count: int, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Return uint8 (64, 64, 3) thumbnails of a photo, and of parts of it that are 45 to 100 % wide and high."""
    with Image.open(photo) as opened:
        opened.draft("RGB", (4 * SIDE_PX, 4 * SIDE_PX))
        image = opened.convert("RGB")
    whole = np.asarray(image.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX))
    return [whole, *(_part(image, rng) for _ in range(count - 1))]


def _part(image: Image.Image, rng: np.random.Generator) -> NDArray[np.uint8]:
    part = np.minimum(rng.uniform(0.5, 0.95) * rng.uniform(0.9, 1.1, 2), 1.0) * image.size
    corner = rng.uniform(0.0, 1.0, 2) * (image.size - part)
    box = tuple(np.concatenate([corner, corner + part]).tolist())
    cropped = np.asarray(image.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX, box=box))
    return cropped[:, ::-1] if rng.random() < 0.5 else cropped


def queries_from(others: Descriptors, members: Descriptors, radius: float) -> Descriptors:
    """Return queries: other images, every fourth replaced by a copy of a member moved by up to 1.5 radii."""
    rng = np.random.default_rng(1)
    queries = np.array(others, dtype=np.float16)
    copies = queries[::4]
    noise = rng.standard_normal(copies.shape)
    noise *= rng.uniform(0.0, 1.5 * radius, (len(copies), 1)) / np.linalg.norm(noise, axis=1, keepdims=True)
    moved = members[rng.choice(len(members), len(copies))].astype(np.float64) + noise
    queries[::4] = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return queries
