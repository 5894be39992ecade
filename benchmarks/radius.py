"""Measure where a descriptor's radius should lie: false pairs among distinct photos, recall of light edits.

    .venv/bin/python benchmarks/radius.py [--descriptors dct pixels pixels:320] [--out benchmarks/results/radius.json]

False pairs: `photos_small` holds distinct photos only, so every pair of them within a radius is a false one. The
radius at a rate of 1e-6 is the distance of the first pair too many: a radius must stay below it.

Recall: every photo of `photos_eval` is edited, encoded again and described by the path of the service; recall is
the share of copies within the radius of their original.

The photos are not part of the project: NEARDUP_DATA names their folder (default: ../shared/data).
"""

import argparse
import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from neardup.decode import decode
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.distance import l2_distances
from neardup.types import Descriptors

ROOT = Path(__file__).resolve().parent.parent
FALSE_RATE = 1e-6
ENOUGH_PAIRS = 10_000_000
MATRIX_BYTES = 3_000_000_000
"""Of one float16 matrix of descriptors: pixels:320 takes 600 kB a photo."""
BLOCK_BYTES = 500_000_000
COPY_QUALITY = 95
"""JPEG quality that edited copies are saved at, unless the quality is the edit."""

Edit = Callable[[Image.Image], Image.Image]


def data_folder() -> Path:
    """Return the folder with the photos, or end with a line that says how to name it."""
    folder = Path(os.environ.get("NEARDUP_DATA") or ROOT / "../shared/data").resolve()
    if not (folder / "photos_small").is_dir() or not (folder / "photos_eval").is_dir():
        sys.exit(f"no photos_small and photos_eval in {folder}: set NEARDUP_DATA")
    return folder


def evenly(files: Sequence[Path], count: int) -> list[Path]:
    """Return at most `count` of the files, evenly spread."""
    picked = np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)
    return [files[index] for index in picked]


# --- false pairs ---


@dataclass(frozen=True)
class FalsePairs:
    """Distances among distinct photos; `radius_at_rate` is the distance of the first pair too many."""

    photos: int
    pairs: int
    allowed_pairs: int
    radius_at_rate: float
    pairs_at_default: int
    nearest: list[tuple[float, str, str]]


def describe_files(descriptor: Descriptor, files: Sequence[Path]) -> Descriptors:
    """Return float16 (n, d) of image files, by the path of the service."""
    rows = np.empty((len(files), descriptor.dimension), dtype=np.float16)

    def fill(index: int) -> None:
        rows[index] = describe(descriptor, files[index].read_bytes())

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(fill, range(len(files))))
    return rows


def describe(descriptor: Descriptor, data: bytes) -> Descriptors:
    """Return float16 (d,) of an encoded image."""
    pixels = decode(data, reduce_to_px=descriptor.reduce_to_px)
    return np.asarray(descriptor.describe([descriptor.prepare(pixels)])[0], dtype=np.float16)


def squared_blocks(rows: Descriptors) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Yield blocks of approximate squared distances, infinite where a pair is not above the diagonal."""
    norms = np.concatenate([np.square(row.astype(np.float64)).sum(keepdims=True) for row in rows]).astype(np.float32)
    size = max(1, min(2048, BLOCK_BYTES // (4 * rows.shape[1])))
    for top in range(0, len(rows), size):
        upper = rows[top : top + size].astype(np.float32)
        for left in range(top, len(rows), size):
            right = upper if left == top else rows[left : left + size].astype(np.float32)
            squared = norms[top : top + size, None] + norms[left : left + size] - 2 * (upper @ right.T)
            if left == top:
                squared[np.tril_indices(len(upper))] = np.inf
            yield top, left, squared


def measure_false_pairs(descriptor: Descriptor, files: Sequence[Path]) -> FalsePairs:
    """Find the nearest pairs by a quick look in float32, then measure these exactly."""
    rows = describe_files(descriptor, files)
    pairs = len(rows) * (len(rows) - 1) // 2
    allowed = int(pairs * FALSE_RATE)
    kept, limit, within = np.empty((0, 3)), np.inf, 0
    for top, left, squared in squared_blocks(rows):
        within += int(np.count_nonzero(squared <= descriptor.default_radius**2))
        above, below = np.nonzero(squared < limit)
        found = np.column_stack([squared[above, below], above + top, below + left])
        kept = np.concatenate([kept, found])
        kept = kept[np.argsort(kept[:, 0], kind="stable")[: 2 * allowed + 20]]
        limit = float(kept[-1, 0]) if len(kept) == 2 * allowed + 20 else np.inf
    exact = sorted(
        (float(l2_distances(rows[i : i + 1], rows[j : j + 1])[0, 0]), files[i].name, files[j].name)
        for i, j in kept[:, 1:].astype(int)
    )
    return FalsePairs(len(rows), pairs, allowed, exact[allowed][0], within, exact[:20])


# --- recall of edits ---


def _scaled(image: Image.Image, factor: float) -> Image.Image:
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _shifted(image: Image.Image) -> Image.Image:
    moved = image.copy()  # the last row and column stay, and so appear twice
    moved.paste(image.crop((1, 1, image.width, image.height)), (0, 0))
    return moved


def _cropped(image: Image.Image) -> Image.Image:
    x, y = image.width * 0.025, image.height * 0.025
    return image.crop((round(x), round(y), round(image.width - x), round(image.height - y)))


EDITS: dict[str, tuple[Edit, int]] = {
    "JPEG 80": (lambda image: image, 80),
    "JPEG 50": (lambda image: image, 50),
    "JPEG 30": (lambda image: image, 30),
    "half size": (lambda image: _scaled(image, 0.5), COPY_QUALITY),
    "brightness +20 %": (lambda image: ImageEnhance.Brightness(image).enhance(1.2), COPY_QUALITY),
    "brightness -20 %": (lambda image: ImageEnhance.Brightness(image).enhance(0.8), COPY_QUALITY),
    "contrast +20 %": (lambda image: ImageEnhance.Contrast(image).enhance(1.2), COPY_QUALITY),
    "contrast -20 %": (lambda image: ImageEnhance.Contrast(image).enhance(0.8), COPY_QUALITY),
    "grey": (lambda image: image.convert("L"), COPY_QUALITY),
    "blur 2": (lambda image: image.filter(ImageFilter.GaussianBlur(2)), COPY_QUALITY),
    "shift 1 px": (_shifted, COPY_QUALITY),
    "crop 5 %": (_cropped, COPY_QUALITY),
    "rotate 2°": (lambda image: image.rotate(2, Image.Resampling.BICUBIC), COPY_QUALITY),
}


def _encoded(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def edit_distances(descriptors: Sequence[Descriptor], file: Path) -> NDArray[np.float64]:
    """Return float64 (descriptors, edits): how far each edited copy of one photo lies from it."""
    data = file.read_bytes()
    image = Image.fromarray(decode(data))
    copies = [_encoded(edit(image), quality) for edit, quality in EDITS.values()]
    distances = [
        l2_distances(describe(descriptor, data)[np.newaxis], np.stack([describe(descriptor, copy) for copy in copies]))
        for descriptor in descriptors
    ]
    return np.concatenate(distances)


# --- report ---


def _photos_within_memory(descriptor: Descriptor, files: Sequence[Path]) -> list[Path]:
    return evenly(files, MATRIX_BYTES // (2 * descriptor.dimension))


def _summary(descriptor: Descriptor, false_pairs: FalsePairs, distances: NDArray[np.float64]) -> dict[str, object]:
    radius = np.nextafter(false_pairs.radius_at_rate, 0.0)
    edits = {
        name: {
            "recall_at_rate": float((column <= radius).mean()),
            "recall_at_default": float((column <= descriptor.default_radius).mean()),
            "median_l2_distance": float(np.median(column)),
            "p95_l2_distance": float(np.quantile(column, 0.95)),
        }
        for name, column in zip(EDITS, distances.T, strict=True)
    }
    return {
        "descriptor": descriptor.spec,
        "fingerprint": descriptor.fingerprint,
        "dimension": descriptor.dimension,
        "bytes": 2 * descriptor.dimension,
        "default_radius": descriptor.default_radius,
        "false_pairs": asdict(false_pairs),
        "copies_of": len(distances),
        "edits": edits,
    }


def _print(descriptor: Descriptor, false_pairs: FalsePairs, distances: NDArray[np.float64]) -> None:
    radius = np.nextafter(false_pairs.radius_at_rate, 0.0)
    print(f"\n{descriptor.spec}: {descriptor.dimension} numbers, default radius {descriptor.default_radius}")
    print(
        f"  {false_pairs.photos} photos, {false_pairs.pairs} pairs, {false_pairs.pairs_at_default} within the default"
    )
    print(f"  {FALSE_RATE:g} of the pairs ({false_pairs.allowed_pairs}) lie below {false_pairs.radius_at_rate:.4f}")
    print(f"  {'edit':<18}{'recall at 1e-6':>15}{'at default':>12}{'median':>9}{'p95':>9}")
    for name, column in zip(EDITS, distances.T, strict=True):
        at_rate, at_default = (column <= radius).mean(), (column <= descriptor.default_radius).mean()
        quantiles = f"{np.median(column):>9.4f}{np.quantile(column, 0.95):>9.4f}"
        print(f"  {name:<18}{at_rate:>15.1%}{at_default:>12.1%}{quantiles}")


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--descriptors", nargs="+", default=["dct", "pixels", "pixels:320"], metavar="SPEC")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/radius.json")
    given = parser.parse_args()
    folder = data_folder()
    small, photos = (sorted((folder / name).glob("*.jpg")) for name in ("photos_small", "photos_eval"))
    descriptors = [load_descriptor(spec) for spec in given.descriptors]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        distances = np.stack(list(pool.map(partial(edit_distances, descriptors), photos)), axis=1)
    results = []
    for descriptor, of_edits in zip(descriptors, distances, strict=True):
        false_pairs = measure_false_pairs(descriptor, _photos_within_memory(descriptor, small))
        if false_pairs.pairs < ENOUGH_PAIRS:
            print(f"warning: {false_pairs.pairs} pairs say little about a rate of {FALSE_RATE:g}")
        _print(descriptor, false_pairs, of_edits)
        results.append(_summary(descriptor, false_pairs, of_edits))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    command = shlex.join([".venv/bin/python", "benchmarks/radius.py", *sys.argv[1:]])
    given.out.write_text(json.dumps({"command": command, "results": results}, indent=1) + "\n", "utf-8")
    print(f"\nwritten: {given.out}")


if __name__ == "__main__":
    main()
