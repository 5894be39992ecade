"""Recall on photos that were held out, by the transforms and the false-pair rate of the quality benchmark."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.quality.evaluate import FALSE_RATE
from benchmarks.quality.pairs import near_pairs, point_at_rate
from benchmarks.quality.transforms import CORE, CORE_UPRIGHT, TRANSFORMS, make_copy, photo_seed
from benchmarks.quality.widened import WIDENED
from neardup.decoding.decode import decode
from neardup.descriptors.base import Descriptor
from neardup.types import Pixels
from training.augment import as_seen
from training.photos import INPUT_PX

COPIED = 300
_KINDS = {**TRANSFORMS, **WIDENED}
"""Kinds of copies that training and choices may look at."""


@dataclass(frozen=True)
class Trial:
    """What is measured by.

    Attributes
    ----------
    copied
        uint8 (n, 1 + transforms, 64, 64, 3): photos and their copies.
    different
        uint8 (m, 64, 64, 3): photos of which no two are alike.
    """

    copied: Pixels
    different: Pixels

    @property
    def kinds(self) -> list[str]:
        """The names of the transforms, in their order."""
        return list(_KINDS)


@dataclass(frozen=True)
class Quality:
    """Recall at one false pair in a million, or at none where there are fewer pairs.

    Attributes
    ----------
    radius
        The largest distance with that rate.
    pairs
        Pairs of different photos that were compared.
    by_transform
        Share of copies found.
    """

    radius: float
    pairs: int
    by_transform: dict[str, float]

    def figures(self) -> dict[str, Any]:
        """Return what a learning curve and a model card tell."""
        means = {"of_20": CORE_UPRIGHT, "of_22": CORE, "of_all": list(TRANSFORMS), "of_widened": list(WIDENED)}
        recall = {name: round(float(np.mean([self.by_transform[one] for one in of])), 4) for name, of in means.items()}
        return {"threshold": round(self.radius, 4), "pairs": self.pairs, "recall": recall}


def load_trial(photos: Sequence[Path], cache: Path, seed: int = 0) -> Trial:
    """Return the trial on photos that were held out: all different, and some of them copied; made once."""
    if not cache.exists():
        picked = np.linspace(0, len(photos) - 1, min(COPIED, len(photos))).round().astype(int)
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as executor:
            copied = list(executor.map(partial(_copies, seed=seed), [photos[index] for index in picked], chunksize=4))
            different = list(executor.map(_plain, photos, chunksize=64))
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, copied=np.stack(copied), different=np.stack(different))
    with np.load(cache) as made:
        return Trial(made["copied"], made["different"])


def _copies(path: Path, seed: int) -> Pixels:
    photo = Image.fromarray(decode(path.read_bytes()))
    encoded = [make_copy(name, photo, photo_seed(seed, path.name), _KINDS) for name in _KINDS]
    return np.stack([_decoded(data) for data in [path.read_bytes(), *encoded]])


def _plain(path: Path) -> Pixels:
    return _decoded(path.read_bytes())


def _decoded(data: bytes) -> Pixels:
    return as_seen(decode(data, reduce_to_px=2 * INPUT_PX))


def measure(trial: Trial, descriptor: Descriptor) -> Quality:
    """Measure a descriptor that takes what a trial holds."""
    different = descriptor.describe(list(trial.different))
    count = len(different) * (len(different) - 1) // 2
    found = near_pairs(different, min(count, int(count * FALSE_RATE) + 1), 0.0)
    radius = point_at_rate(np.sqrt(found.squared), count, FALSE_RATE, whole=False).threshold or 0.0
    recall = np.mean([_found(descriptor, images, radius) for images in trial.copied], axis=0)
    return Quality(radius, count, {name: float(share) for name, share in zip(_KINDS, recall, strict=True)})


def _found(descriptor: Descriptor, images: Pixels, radius: float) -> list[bool]:
    """Tell which copies of a photo, the first of the images, lie within the radius."""
    rows = descriptor.describe(list(images)).astype(np.float64)
    return list(np.linalg.norm(rows[1:] - rows[0], axis=1) <= radius)
