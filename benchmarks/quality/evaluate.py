"""Measure every tool on the same photos, copies, pairs and low-texture pictures."""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.quality import low_texture
from benchmarks.quality.clips import distances_by_gap
from benchmarks.quality.pairs import NearPairs, Point, near_pairs, nearest_other, point_at_rate, precision_recall
from benchmarks.quality.tools import TRAINED, HashTool, OwnTool, Tool, load_tool
from benchmarks.quality.transforms import CORE, CORE_UPRIGHT, TRANSFORMS, jpeg, make_copy, photo_seed
from neardup.decoding.decode import decode
from neardup.types import Pixels
from training.photos import held_out

FALSE_RATE = 1e-6
FEW_PHOTOS = 4_900
"""12 million pairs: for tools whose rows are long."""
LONG_ROW = 1_000
TIMED_PHOTOS = 150
BATCH = 32
"""Images that are described at once where that is timed."""
PRECISE = 0.999
LARGE_SHARE = 0.65
"""Of the photos that are copied, from the large ones."""

Rows = NDArray[np.float16]
FalsePairs = list[tuple[float, Path, Path]]


@dataclass(frozen=True)
class Photos:
    """What a run looks at: photos to copy, all different; and photos of which no two are alike.

    Nobody trains on the large ones. They are unlike the others, too.
    """

    copied: list[Path]
    different: list[Path]
    large: list[Path]
    camera: Path
    seed: int


def evenly(files: Sequence[Path], count: int) -> list[Path]:
    """Return at most `count` of the files, evenly spread."""
    picked = np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)
    return [files[index] for index in picked]


def choose_photos(folder: Path, count: int, different: int, seed: int) -> Photos:
    """Take most of the photos to copy from the large ones, the rest from the small ones."""
    large, small = (sorted((folder / name).glob("*.jpg")) for name in ("photos_eval", "photos_small"))
    of_large = evenly(large, round(LARGE_SHARE * count))
    of_small = evenly(small, count - len(of_large))
    return Photos(of_large + of_small, evenly(small, different), large, folder / "camera", seed)


def never_trained_on(photos: Photos) -> Photos:
    """Return only the photos that no training has seen: those held out from it, and all large ones."""
    large = set(photos.large)
    return replace(
        photos,
        copied=[file for file in photos.copied if file in large or held_out(file.name)],
        different=[file for file in photos.different if held_out(file.name)] + photos.large,
    )


def photos_for(tool: Tool, photos: Photos) -> Photos:
    """Return the photos that a tool is measured on beside all others."""
    if tool.name.partition(":")[0] in TRAINED:
        return never_trained_on(photos)
    if tool.numbers > LONG_ROW:
        return replace(photos, different=evenly(photos.different, FEW_PHOTOS))
    return photos


# --- in the worker processes ---


@cache
def _tool(name: str, weights: str | None) -> Tool:
    return load_tool(name, weights)


def _tools(names: Sequence[str], weights: str | None) -> list[Tool]:
    return [_tool(name, weights) for name in names]


def _rows_of(tools: Sequence[Tool], images: Sequence[bytes]) -> list[Rows]:
    """Return for each tool float16 (images, numbers), NaN where it has no row."""
    described = [_rows_of_image(tools, data) for data in images]
    return [np.stack(rows) for rows in zip(*described, strict=True)]


def _rows_of_image(tools: Sequence[Tool], data: bytes) -> list[Rows]:
    hashed = any(isinstance(tool, HashTool) for tool in tools)
    whole = decode(data) if hashed else None  # hashes all get the same pixels: decoded once
    return [
        _row_or_nan(tool, tool.decode(data) if whole is None or not isinstance(tool, HashTool) else whole)
        for tool in tools
    ]


def _row_or_nan(tool: Tool, pixels: Pixels) -> Rows:
    row = tool.describe(pixels)
    return np.full(tool.numbers, np.nan, dtype=np.float16) if row is None else row


def _copies_of(names: Sequence[str], weights: str | None, seed: int, file: Path) -> tuple[list[Rows], Rows]:
    """Return each tool's row of the photo, and (tools, transforms) squared distances of its copies."""
    data = file.read_bytes()
    image = Image.fromarray(decode(data))
    images = [data, *(make_copy(name, image, photo_seed(seed, file.name)) for name in TRANSFORMS)]
    rows = _rows_of(_tools(names, weights), images)
    return [each[0] for each in rows], np.stack([_squared_to_first(each) for each in rows])


def _squared_to_first(rows: Rows) -> NDArray[np.float64]:
    """Return squared distances of all rows but the first to it; infinite where a row is missing."""
    numbers = rows.astype(np.float64)
    squared = np.square(numbers[1:] - numbers[0]).sum(axis=1)
    return np.asarray(np.where(np.isnan(squared), np.inf, squared))


def _photo_rows(names: Sequence[str], weights: str | None, file: Path) -> list[Rows]:
    return [each[0] for each in _rows_of(_tools(names, weights), [file.read_bytes()])]


def _low_texture_rows(
    names: Sequence[str], weights: str | None, seed: int, item: tuple[str, int]
) -> tuple[list[Rows], Rows]:
    images = [jpeg(low_texture.picture(*item, seed)), *low_texture.edits(*item, seed).values()]
    rows = _rows_of(_tools(names, weights), images)
    return [each[0] for each in rows], np.stack([_squared_to_first(each) for each in rows])


# --- in the main process ---


def evaluate(photos: Photos, names: list[str], weights: str | None, workers: int) -> dict[str, Any]:
    """Return all figures as JSON would hold them, and under "_sheets" what the contact sheets show."""
    tools = _tools(names, weights)
    found = _described_photos(photos, names, weights, workers)
    unseen = never_trained_on(photos)
    results, held, sheets = [], [], {}
    for index, tool in enumerate(tools):
        chosen = photos_for(tool, photos)
        figures, sheets[tool.name] = measure(found.of(tool, index, chosen), chosen)
        held.append(figures if chosen == unseen else measure(found.of(tool, index, unseen), unseen)[0])
        results.append({**figures, "cpu_ms": cpu_ms(tool, photos.copied)})
        say(f"{tool.name} measured")
    figures = {
        "photos": len(photos.copied),
        "seed": photos.seed,
        "different_photos": len(photos.different),
        "low_texture_pictures": low_texture.COUNT,
        "tools": results,
        "held_out": held,
        "clips": distances_by_gap(tools[0], photos.camera) if photos.camera.is_dir() else {},
        "clips_by": tools[0].name,
    }
    return {**figures, "_sheets": sheets}


def _described_photos(photos: Photos, names: list[str], weights: str | None, workers: int) -> "Described":
    """Describe all photos and pictures, each once."""
    with ProcessPoolExecutor(workers) as pool:
        copies = list(pool.map(partial(_copies_of, names, weights, photos.seed), photos.copied, chunksize=4))
        say(f"{len(photos.copied)} photos, {len(TRANSFORMS)} copies of each")
        copied = set(photos.copied)
        others = [file for file in (*photos.different, *photos.large) if file not in copied]
        rows = list(pool.map(partial(_photo_rows, names, weights), others, chunksize=64))
        say(f"{len(others)} other photos")
        items, plain = _described_pictures(pool, names, weights, photos.seed)
    return Described(
        dict(zip((*photos.copied, *others), [*(rows for rows, _ in copies), *rows], strict=True)),
        dict(zip(photos.copied, [squared for _, squared in copies], strict=True)),
        items,
        plain,
    )


def _described_pictures(
    pool: ProcessPoolExecutor, names: list[str], weights: str | None, seed: int
) -> tuple[list[tuple[str, int]], list[tuple[list[Rows], Rows]]]:
    items = [(name, number) for name in low_texture.MEASURED for number in range(low_texture.COUNT)]
    plain = list(pool.map(partial(_low_texture_rows, names, weights, seed), items, chunksize=8))
    say(f"{len(plain)} low-texture pictures")
    return items, plain


def evaluate_pictures(results: dict[str, Any], weights: str | None, workers: int) -> None:
    """Measure the low-texture pictures anew, by the thresholds that a run has found; changes its results."""
    names = [tool["tool"] for tool in results["tools"]]
    with ProcessPoolExecutor(workers) as pool:
        items, plain = _described_pictures(pool, names, weights, results["seed"])
    for index, tool in enumerate(_tools(names, weights)):
        own = [(rows[index], squared[index]) for rows, squared in plain]
        for figures in (results["tools"][index], results["held_out"][index]):
            thresholds = {"at_rate": figures["at_rate"]["threshold"], "at_default": tool.default}
            figures["no_row"]["low_texture"] = _without_row(own)
            figures["low_texture"] = {key: _low_texture(tool, items, own, each) for key, each in thresholds.items()}


def say(text: str) -> None:
    """Print how far a run is."""
    print(f"[{time.perf_counter():.0f} s] {text}", flush=True)


@dataclass(frozen=True)
class Described:
    """What all tools made of everything: each tool's row of a photo, and squared distances (tools, transforms)."""

    rows: dict[Path, list[Rows]]
    copies: dict[Path, Rows]
    items: list[tuple[str, int]]
    plain: list[tuple[list[Rows], Rows]]

    def of(self, tool: Tool, index: int, photos: Photos) -> "Distances":
        """Return what one tool made of some of the photos."""
        return Distances(
            tool,
            np.stack([self.rows[file][index] for file in photos.copied]),
            np.stack([self.copies[file][index] for file in photos.copied]),
            np.stack([self.rows[file][index] for file in photos.different]),
            self.items,
            [(rows[index], squared[index]) for rows, squared in self.plain],
        )


@dataclass(frozen=True)
class Distances:
    """What one tool made of everything; squared distances are infinite where it has no row."""

    tool: Tool
    photos: Rows
    copies: NDArray[np.float64]
    different: Rows
    items: list[tuple[str, int]]
    plain: list[tuple[Rows, NDArray[np.float64]]]


def measure(found: Distances, photos: Photos) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a tool's figures on these photos, and what its contact sheets are to show."""
    tool = found.tool
    files, rows = _described(photos.different, found.different)
    near = _near(tool, rows)
    point = point_at_rate(tool.distances(near.squared), near.pairs, FALSE_RATE, whole=tool.unit == "bits")
    distances = tool.distances(found.copies)
    thresholds = {"at_rate": point.threshold, "at_default": tool.default}
    figures = {
        "tool": tool.name,
        "photos": len(photos.copied),
        "different_photos": len(photos.different),
        "numbers": tool.numbers,
        "member_bytes": tool.member_bytes,
        "unit": tool.unit,
        "default": tool.default,
        "no_row": {
            "photos": 1 - len(files) / len(found.different),
            "low_texture": _without_row(found.plain),
        },
        "at_rate": {**_point_figures(point), "recall": _recall(distances, point.threshold)},
        "at_default": {
            "false_pairs": near.within if tool.default is not None else None,
            "recall": None if tool.default is None else _recall(distances, tool.default),
        },
        "precision_recall": _curve(found, distances),
        "hard_negatives": _hard_negatives(tool, files, rows, thresholds),
        "low_texture": {
            key: _low_texture(tool, found.items, found.plain, threshold) for key, threshold in thresholds.items()
        },
    }
    false = [
        (float(distance), files[left], files[right])
        for distance, left, right in zip(tool.distances(near.squared[:20]), near.left, near.right, strict=False)
    ]
    return figures, _sheet_material(photos, false, distances, -1.0 if point.threshold is None else point.threshold)


def _described(files: list[Path], rows: Rows) -> tuple[list[Path], Rows]:
    there = ~np.isnan(rows).any(axis=1)
    return [files[number] for number in np.flatnonzero(there)], rows[there]


def _near(tool: Tool, rows: Rows) -> NearPairs:
    pairs = len(rows) * (len(rows) - 1) // 2
    limit = -1.0 if tool.default is None else tool.squared(tool.default)
    return near_pairs(rows, min(pairs, int(pairs * FALSE_RATE) + 50), limit)


def _point_figures(point: Point) -> dict[str, Any]:
    return {
        "threshold": point.threshold,
        "false_pairs": point.within,
        "allowed": point.allowed,
        "pairs": point.pairs,
        "rate": point.rate,
    }


def _recall(distances: NDArray[np.float64], threshold: float | None) -> dict[str, float]:
    """Return the share of copies within the threshold for each transform, and the means of the core lists."""
    within = np.zeros_like(distances, dtype=bool) if threshold is None else distances <= threshold
    shares = dict(zip(TRANSFORMS, within.mean(axis=0).tolist(), strict=True))
    beyond = [name for name in TRANSFORMS if name not in CORE]
    means = {"core20": CORE_UPRIGHT, "core22": CORE, "beyond": beyond}
    return {**{key: float(np.mean([shares[name] for name in names])) for key, names in means.items()}, **shares}


def _curve(found: Distances, distances: NDArray[np.float64]) -> dict[str, Any]:
    _, rows = _described([Path()] * len(found.photos), found.photos)
    columns = [number for number, name in enumerate(TRANSFORMS) if name in CORE_UPRIGHT]
    negative = found.tool.distances(nearest_other(rows))
    curve = precision_recall(distances[:, columns].ravel(), negative, steps=120)
    f1 = [2 * precision * recall / (precision + recall) for _, precision, recall in curve if precision + recall]
    precise = [recall for _, precision, recall in curve if precision >= PRECISE]
    points = [[round(precision, 5), round(recall, 5)] for _, precision, recall in curve]
    return {"best_f1": max(f1, default=0.0), "recall_at_999": max(precise, default=0.0), "points": points}


def _hard_negatives(
    tool: Tool, files: list[Path], rows: Rows, thresholds: dict[str, float | None]
) -> dict[str, float | None]:
    """Count pairs of different garments on the same background."""
    clothing = rows[[file.name.startswith("clothing") for file in files]]
    found: dict[str, float | None] = {"pairs": len(clothing) * (len(clothing) - 1) // 2}
    for key, threshold in thresholds.items():
        limit = None if threshold is None else tool.squared(threshold)
        found[key] = None if limit is None else near_pairs(clothing, 1, limit).within
    return found


def cpu_ms(tool: Tool, files: Sequence[Path]) -> dict[str, float]:
    """Return milliseconds of one thread's CPU an image, medians: decoding, describing, both; describing 32 at once."""
    decoding, alone, both, decoded = [], [], [], []
    for file in files[:TIMED_PHOTOS]:
        data = file.read_bytes()
        start = time.thread_time()
        pixels = tool.decode(data)
        middle = time.thread_time()
        tool.describe(pixels)
        end = time.thread_time()
        decoding.append(middle - start)
        alone.append(end - middle)
        both.append(end - start)
        if isinstance(tool, OwnTool):
            decoded.append(pixels)
    taken = {"decode": decoding, "describe": alone, "with_decode": both}
    if isinstance(tool, OwnTool):
        taken["describe_in_32"] = [_seconds_an_image(tool, batch) for batch in _batches(decoded)]
    return {key: 1e3 * float(np.median(seconds)) for key, seconds in taken.items()}


def _batches(images: Sequence[Pixels]) -> list[list[Pixels]]:
    """Return whole batches of 32; where there is not even one, the images are repeated to fill it."""
    filled = [images[number % len(images)] for number in range(max(len(images), BATCH))]
    return [filled[start : start + BATCH] for start in range(0, len(filled) - BATCH + 1, BATCH)]


def _seconds_an_image(tool: OwnTool, images: Sequence[Pixels]) -> float:
    start = time.thread_time()
    tool.describe_all(images)
    return (time.thread_time() - start) / len(images)


def _without_row(plain: Sequence[tuple[Rows, NDArray[np.float64]]]) -> float:
    return float(np.mean([np.isnan(row).any() for row, _ in plain]))


def _low_texture(
    tool: Tool, items: list[tuple[str, int]], plain: list[tuple[Rows, NDArray[np.float64]]], threshold: float | None
) -> dict[str, dict[str, float | None]]:
    """Return for each class the share of pairs of different pictures called duplicates, and of copies found."""
    table: dict[str, dict[str, float | None]] = {}
    for name in low_texture.MEASURED:
        own = [pair for item, pair in zip(items, plain, strict=True) if item[0] == name]
        if threshold is None:
            table[name] = {"false": None, "found": None}
            continue
        limit = tool.squared(threshold)
        rows = np.stack([row for row, _ in own])
        rows = rows[~np.isnan(rows).any(axis=1)]
        pairs = len(own) * (len(own) - 1) // 2
        copies = np.concatenate([squared for _, squared in own])
        within = near_pairs(rows, 1, limit).within if len(rows) else 0
        table[name] = {"false": within / pairs, "found": float((copies <= limit).mean())}
    return table


def _sheet_material(photos: Photos, false: FalsePairs, distances: NDArray[np.float64], radius: float) -> dict[str, Any]:
    """Return the twenty nearest false pairs, and twenty misses: the farthest four copies of each core transform."""
    misses = [
        (float(distances[row, number]), photos.copied[row], name)
        for number, name in enumerate(TRANSFORMS)
        for row in np.argsort(-distances[:, number], kind="stable")[:4]
        if name in CORE_UPRIGHT and distances[row, number] > radius
    ]
    return {"false": false, "misses": sorted(misses, key=lambda miss: -miss[0])[:20]}
