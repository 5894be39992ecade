"""How a whole setting does on kinds of copies that its makers had in mind, and on kinds that they had not.

Photos that no training has seen are copied by three lists: the listed transforms, those that choices may use, those
that are held out. Photos are in two halves besides, by one of which a setting is chosen. So a figure of held-out kinds
on the reported half owes nothing to any choice.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.quality.evaluate import LARGE_SHARE, evenly, say
from benchmarks.quality.halves import HALVES, Half, half_of
from benchmarks.quality.held_out import HELD_OUT
from benchmarks.quality.setting import (
    Described,
    Setting,
    compared,
    count_pairs,
    described,
    duplicate_pairs,
    is_found,
)
from benchmarks.quality.transforms import TRANSFORMS, Transform, make_copy, photo_seed
from benchmarks.quality.widened import WIDENED
from neardup.decoding.decode import decode
from neardup.relation.comparison import Comparison
from training.photos import held_out

LISTS: dict[str, dict[str, Transform]] = {"listed": TRANSFORMS, "widened": WIDENED, "held out": HELD_OUT}
EVERY = {name: kind for kinds in LISTS.values() for name, kind in kinds.items()}
PHOTOS = 300
_MISSES_SHOWN = 4
_FALSE_SHOWN = 20

Judged = list[list[Comparison]]
"""For each setting the comparison of each kind of copy with its original."""


@dataclass(frozen=True)
class UnseenPhotos:
    """Photos that no training has seen: those to copy, and those of which no two are alike."""

    copied: list[Path]
    different: list[Path]
    seed: int


def unseen_photos(folder: Path, count: int, different: int, seed: int) -> UnseenPhotos:
    """Return photos to copy, most of them large ones, and at most so many different ones."""
    large, small = (sorted((folder / name).glob("*.jpg")) for name in ("photos_eval", "photos_small"))
    unseen = [file for file in small if held_out(file.name)]
    of_large = evenly(large, round(LARGE_SHARE * count))
    return UnseenPhotos(of_large + evenly(unseen, count - len(of_large)), evenly(unseen + large, different), seed)


def _judged_copies(settings: Sequence[Setting], seed: int, file: Path) -> Judged:
    data = file.read_bytes()
    image = Image.fromarray(decode(data))
    copies = [make_copy(name, image, photo_seed(seed, file.name), EVERY) for name in EVERY]
    return [_compared_with(setting, data, copies) for setting in settings]


def _compared_with(setting: Setting, original: bytes, copies: Sequence[bytes]) -> list[Comparison]:
    first, *others = described(setting, [original, *copies])
    return [compared(setting, copy, first) for copy in others]


def _described_file(settings: Sequence[Setting], file: Path) -> list[Described]:
    data = file.read_bytes()
    return [described(setting, [data])[0] for setting in settings]


def evaluate_beyond(
    photos: UnseenPhotos, settings: Sequence[Setting], workers: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the figures as JSON would hold them, and for each setting what its contact sheets show."""
    with ProcessPoolExecutor(workers) as pool:
        judged = list(pool.map(partial(_judged_copies, settings, photos.seed), photos.copied, chunksize=2))
        say(f"{len(photos.copied)} unseen photos, {len(EVERY)} copies of each")
        images = list(pool.map(partial(_described_file, settings), photos.different, chunksize=64))
        say(f"{len(photos.different)} different photos")
    figures, sheets = [], {}
    for index, setting in enumerate(settings):
        own = [each[index] for each in judged]
        false, shown = _false_pairs(setting, photos.different, [each[index] for each in images])
        figures.append({**setting.facts, "recall": _recall(photos.copied, own), "false_pairs": false})
        sheets[f"beyond-{setting.name}"] = {"false": shown, "misses": _misses(photos.copied, own)}
    kinds = {key: {name: kind.text for name, kind in kinds.items()} for key, kinds in LISTS.items()}
    counts = {half: len(_of_half(half, photos.copied)) for half in HALVES}
    return {"photos": counts, "seed": photos.seed, "kinds": kinds, "settings": figures}, sheets


def _of_half(half: Half, files: Iterable[Path]) -> list[int]:
    """Return the numbers of the files of a half."""
    return [number for number, file in enumerate(files) if half_of(file.name) == half]


def _recall(files: Sequence[Path], judged: Sequence[Sequence[Comparison]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return by half and by list the share of copies found of each kind; of a half without photos, nothing."""
    found = np.array([[is_found(each) for each in copies] for copies in judged])
    return {half: _shares(found[rows]) for half in HALVES if (rows := _of_half(half, files))}


def _shares(found: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    shares = dict(zip(EVERY, found.mean(axis=0).tolist(), strict=True))
    return {key: {name: shares[name] for name in kinds} for key, kinds in LISTS.items()}


def _false_pairs(
    setting: Setting, files: Sequence[Path], images: Sequence[Described]
) -> tuple[dict[str, Any], list[tuple[float, Path, Path]]]:
    """Return by group and half how many pairs are called duplicates, and the nearest of them as files.

    Both halves together have more pairs than each by itself: those of one photo from either.
    """
    counted: dict[str, Any] = {}
    shown: list[tuple[float, Path, Path]] = []
    for group in ("garments", "photos"):
        rows = [row for row, file in enumerate(files) if _group(file) == group]
        own = [files[row] for row in rows]
        pairs = duplicate_pairs(setting, [images[row] for row in rows])
        shown += [(far, own[one], own[other]) for far, one, other in pairs]
        counted[group] = {half: _counted(pairs, set(_of_half(half, own))) for half in HALVES}
        counted[group]["together"] = _counted(pairs, set(range(len(own))))
    return counted, sorted(shown)[:_FALSE_SHOWN]


def _counted(pairs: Sequence[tuple[float, int, int]], rows: set[int]) -> dict[str, int]:
    """Count the pairs of which both images are among these rows."""
    false = sum(one in rows and other in rows for _, one, other in pairs)
    return {"images": len(rows), "pairs": count_pairs(len(rows)), "false": false}


def _group(file: Path) -> str:
    return "garments" if file.name.startswith("clothing") else "photos"


def _misses(files: Sequence[Path], judged: Sequence[Sequence[Comparison]]) -> list[tuple[float, Path, str]]:
    """Return of each kind the farthest copies that are missed, kind by kind."""
    shown: list[tuple[float, Path, str]] = []
    for column, name in enumerate(EVERY):
        missed = [(copies[column].distance, row) for row, copies in enumerate(judged) if not is_found(copies[column])]
        farthest = sorted(missed, reverse=True)[:_MISSES_SHOWN]
        shown += [(far, files[row], name) for far, row in farthest]
    return shown
