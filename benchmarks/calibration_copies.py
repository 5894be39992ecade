"""Measure what copies among the seeds do to the calibrated radius.

    .venv/bin/python -m benchmarks.calibration_copies [--draws 5] [--write-docs]

Seeds are drawn from `photos_small`, whose photos are all different; some of them get 1, 3 or 10 copies, edited more
than lightly. The radius should be that of the photos without the copies. Light edits are not measured anew: what lies
within `--floor` counts as a light copy, and one of such stays, as at bootstrap.

The photos are not part of the project: NEARDUP_DATA names their folder (default: ../shared/data).
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.calibration_coverage import RATE, bound_and_copies, described
from benchmarks.pages import with_tables
from benchmarks.photos import data_folder
from benchmarks.quality.transforms import make_copy, photo_seed
from bootstrap.calibration.distances import apart, nearest_pairs
from bootstrap.calibration.radius import CONFIDENCE
from bootstrap.calibration.seeds import calibrate_seeds
from bootstrap.calibration.tail import enough_pairs, tail_bound
from bootstrap.seeds.describe import describe_seeds
from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.sources.files import find_images
from neardup.types import Descriptors

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/calibration.md"
RESULTS = ROOT / "benchmarks/results/calibration_copies.json"
SPEC = "dct"
PHOTOS = 1900
PARTS = (0.01, 0.05, 0.2)
COPIES = (1, 3, 10)
TRANSFORMS = (
    "crop10",
    "brighter20",
    "combination",
    "jpeg30",
    "crop20",
    "darker20",
    "contrast_up20",
    "crop5",
    "rotate2",
    "grey",
)
"""A photo with so many copies has the first so many of these."""

CLIP = "vtest_pedestrians"

Row = dict[str, Any]


def copies_of(descriptor: Descriptor, file: Path) -> Descriptors:
    """Return float16 (10, d): the copies of one photo, by the path of the service."""
    image = Image.fromarray(decode(file.read_bytes()))
    copies = [make_copy(name, image, photo_seed(0, file.name)) for name in TRANSFORMS]
    return descriptor.describe(
        [descriptor.prepare(decode(data, reduce_to_px=descriptor.reduce_to_px)) for data in copies]
    )


def bound_as_they_are(descriptors: Descriptors, floor: float) -> float:
    """Return the radius when every image counts as a different one; 0 when there is none."""
    near = nearest_pairs(descriptors, enough_pairs(len(descriptors), RATE), floor)
    bound = tail_bound(near, RATE, CONFIDENCE)
    return bound.radius if bound else 0.0


def with_copies(
    photos: Descriptors, copies: Descriptors, part: float, count: int, rng: np.random.Generator
) -> Descriptors:
    """Return the photos and `count` copies of a part of them, in random order."""
    added = copies[: round(part * len(photos)), :count].reshape(-1, photos.shape[1])
    rows = np.concatenate([photos, added])
    mixed: Descriptors = rows[rng.permutation(len(rows))]
    return mixed


def measure(draws: int, floor: float) -> Row:
    """Return all figures."""
    folder = data_folder()
    files = sorted((folder / "photos_small").glob("*.jpg"))
    descriptor = load_descriptor(SPEC)
    everything = described(SPEC, folder)
    found: dict[tuple[float, int], list[list[float]]] = {}
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        drawn = rng.permutation(len(files))[:PHOTOS]
        photos = everything[drawn]
        copies = np.stack([copies_of(descriptor, files[row]) for row in drawn[: round(max(PARTS) * PHOTOS)]])
        clean, _ = bound_and_copies(photos, floor)
        for part, count in [(0.0, 0), *((part, count) for part in PARTS for count in COPIES)]:
            rows = with_copies(photos, copies, part, count, rng)
            rows = rows[apart(rows, floor)]
            radius, left_out = bound_and_copies(rows, floor)
            line = [len(rows) - PHOTOS, left_out, bound_as_they_are(rows, floor), radius, radius / clean]
            found.setdefault((part, count), []).append(line)
            print(draw, part, count, line, flush=True)
    return {
        "command": f".venv/bin/python -m benchmarks.calibration_copies --draws {draws}",
        "fingerprint": descriptor.fingerprint,
        "photos": PHOTOS,
        "draws": draws,
        "floor": floor,
        "transforms": list(TRANSFORMS),
        "rows": [_row(part, count, np.array(lines)) for (part, count), lines in found.items()],
    }


def _row(part: float, count: int, lines: np.ndarray[Any, np.dtype[np.float64]]) -> Row:
    added, left_out, unruled, radius, ratio = np.median(lines, axis=0).tolist()
    return {
        "part": part,
        "copies": count,
        "added": added,
        "left_out": left_out,
        "radius_without_the_rule": unruled,
        "radius": radius,
        "ratio": ratio,
        "lowest_ratio": float(lines[:, -1].min()),
        "highest_ratio": float(lines[:, -1].max()),
        "highest_radius": float(lines[:, -2].max()),
    }


def tables(result: Row) -> dict[str, str]:
    """Return the figures of the page by the name of their place."""
    lines = [
        "| with copies | of each | added | left out | without rule 2 | radius | ratio | lowest | highest | at most |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {row['part']:.0%} | {row['copies']} | {row['added']:,.0f} | {row['left_out']:,.0f} | "
            f"{row['radius_without_the_rule']:.3f} | {row['radius']:.3f} | {row['ratio']:.2f} | "
            f"{row['lowest_ratio']:.2f} | {row['highest_ratio']:.2f} | {row['highest_radius']:.3f} |"
            for row in result["rows"]
        ),
    ]
    clip = result["clip"]
    told = (
        f"`{clip['clip']}`, {clip['frames']} frames: the bound is {clip['bound']:g}, edits need {clip['radius']:g}, "
        f"and about {clip['rate']:.1%} of the pairs of frames are then duplicates."
    )
    return {"copies": "\n".join(lines), "clip": told}


def measure_clip(clip: Path) -> Row:
    """Return what calibration makes of all frames of a fixed camera."""
    seeds, descriptor = find_images([str(clip)], 1.0), load_descriptor(SPEC)
    found = describe_seeds(seeds, descriptor)
    ids = [image.image_id for image in found.images]
    chosen = calibrate_seeds(seeds, ids, found.descriptors, descriptor, RATE)
    return {
        "clip": clip.name,
        "frames": len(ids),
        "method": chosen.method,
        "bound": chosen.bound,
        "radius": chosen.radius,
        "rate": chosen.rate,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--floor", type=float, default=0.05, help="distance up to which copies are light ones")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--write-docs", action="store_true", help="write the table into docs/calibration.md")
    given = parser.parse_args()
    clip = measure_clip(data_folder() / "camera" / CLIP)
    print(clip, flush=True)
    result = {**measure(given.draws, given.floor), "clip": clip}
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(tables(result)["copies"])
    if given.write_docs:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), tables(result)), "utf-8")


if __name__ == "__main__":
    main()
