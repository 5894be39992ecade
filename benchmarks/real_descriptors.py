"""Many descriptors of real images: photos, and random crops and mirror images of them, described once and cached."""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neardup.descriptors import load_descriptor
from neardup.types import Descriptors

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neardup" / "benchmarks"
SIDE_PX = 64
STEEPNESS = 1.1
"""Of generated descriptors: the variance along coordinate k falls as ``k ** -1.1``, near that of photos by `dct`."""
_CHUNK = 20_000
_DESCRIBED = 512


def descriptors_of_images(count: int) -> tuple[Descriptors, str]:
    """Return float16 (count, d) of the default descriptor, and where they are from."""
    data, descriptor = os.environ.get("NEARDUP_DATA"), load_descriptor("dct")
    if not data:
        return generated(count, descriptor.dimension), f"generated, variance of coordinate k falls as k^-{STEEPNESS}"
    source = "photos of NEARDUP_DATA and random crops and mirror images of them, by dct"
    prefix = "".join(letter if letter.isalnum() else "-" for letter in descriptor.fingerprint) + "-rows-"
    for file in sorted(CACHE.glob(f"{prefix}*.npy")) if CACHE.exists() else []:
        if int(file.stem.removeprefix(prefix)) >= count:
            return np.load(file, mmap_mode="r")[:count], source
    rows = described(sorted((Path(data) / "photos_small").glob("*.jpg")), count)
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


def described(photos: list[Path], count: int) -> Descriptors:
    """Describe the photos, then crops of them, in several processes: a photo is decoded once a chunk of crops."""
    print(f"describing {count} images, once; kept in {CACHE}", file=sys.stderr)
    chunks = [(start, min(_CHUNK, count - start)) for start in range(0, count, _CHUNK)]
    with ProcessPoolExecutor() as pool:
        parts = pool.map(partial(_described_chunk, photos), chunks)
        return np.concatenate(list(parts))


def _described_chunk(photos: list[Path], chunk: tuple[int, int]) -> Descriptors:
    start, count = chunk
    rng = np.random.default_rng([0, start])
    descriptor = load_descriptor("dct")
    numbers = range(start, start + count)
    thumbnails = [_view(photos[number % len(photos)], rng, whole=number < len(photos)) for number in numbers]
    parts = [thumbnails[first : first + _DESCRIBED] for first in range(0, count, _DESCRIBED)]
    return np.concatenate([descriptor.describe(part) for part in parts])


def _view(photo: Path, rng: np.random.Generator, *, whole: bool) -> NDArray[np.uint8]:
    """Return a uint8 (64, 64, 3) thumbnail of a photo, or of a part of it that is 45 to 100 % wide and high."""
    with Image.open(photo) as opened:
        opened.draft("RGB", (4 * SIDE_PX, 4 * SIDE_PX))
        image = opened.convert("RGB")
    if whole:
        return np.asarray(image.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX))
    part = np.minimum(rng.uniform(0.5, 0.95) * rng.uniform(0.9, 1.1, 2), 1.0) * image.size
    corner = rng.uniform(0.0, 1.0, 2) * (image.size - part)
    box = tuple(np.concatenate([corner, corner + part]).tolist())
    cropped = image.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX, box=box)
    if rng.random() < 0.5:
        cropped = cropped.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(cropped)


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
