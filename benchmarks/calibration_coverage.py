"""Measure how often the calibrated radius keeps the false-pair rate that it promises, and how careful it is.

    .venv/bin/python -m benchmarks.calibration_coverage [--draws 60] [--write-docs]

Known distributions: images that are uniform on a sphere of D dimensions, where the part of the pairs within a radius
is an incomplete beta function. Seeds are drawn, each is calibrated; the bound should lie at or below the true radius
in 95 % of the draws.

Real photos: seeds are drawn from `photos_small`, whose photos are all different; false pairs are counted among the
photos that were not drawn. The bound holds in a draw when they are at most the rate asked for. `alone` is how many of
the photos that were drawn were taken for copies, all of them wrongly.

The photos are not part of the project: NEARDUP_DATA names their folder (default: ../shared/data). Without them only
the spheres are measured.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.special import betaincinv

from benchmarks.pages import with_tables
from bootstrap.calibration import tail
from bootstrap.calibration.distances import nearest_pairs
from bootstrap.calibration.isolation import originals_of
from bootstrap.calibration.radius import CONFIDENCE, enough_for
from bootstrap.calibration.tail import enough_pairs, tail_bound
from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.types import Descriptors

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/calibration.md"
RATE = 1e-6
DIMENSIONS = (5, 10, 20, 40)
SPHERE_IMAGES = (100, 300, 1000)
PHOTOS = (50, 100, 200, 500, 2000, 5000)
FEWER_DRAWS_FROM = 5000
LONG_ROW = 1000
TIMED = (2000, 20_000)
UNSPENT_IMAGES = 500
BATCH = 256

Row = dict[str, Any]


def bound_of(descriptors: Descriptors, floor: float) -> float:
    """Return the calibrated radius of a set of different images; 0 when there are too few."""
    return bound_and_copies(descriptors, floor)[0]


def bound_and_copies(descriptors: Descriptors, floor: float) -> tuple[float, int]:
    """Return the same, and how many images were taken for copies."""
    different = descriptors[originals_of(descriptors) == np.arange(len(descriptors))]
    near = nearest_pairs(different, enough_pairs(len(different), RATE), floor)
    bound = tail_bound(near, RATE, CONFIDENCE)
    return bound.radius if bound else 0.0, len(descriptors) - len(different)


def sphere_radius(dimension: int, rate: float) -> float:
    """Return the distance that this part of the pairs lies below, uniform on the unit sphere in so many dimensions.

    A cap of angle t has the part I(sin^2 t; (D - 1) / 2, 1 / 2) / 2 of the sphere: S. Li, Concise formulas for the
    area and volume of a hyperspherical cap (2011).
    """
    sine = np.sqrt(betaincinv((dimension - 1) / 2.0, 0.5, 2.0 * rate))
    return float(2.0 * np.sin(np.arcsin(sine) / 2.0))


def on_sphere(dimension: int, images: int, rng: np.random.Generator) -> Descriptors:
    """Return float16 (images, dimension), uniform on the unit sphere."""
    rows = rng.standard_normal((images, dimension))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Descriptors = rows.astype(np.float16)
    return unit


def measure_spheres(draws: int) -> list[Row]:
    """Measure coverage, and the bound as a part of the true radius."""
    rows = []
    for dimension in DIMENSIONS:
        true = sphere_radius(dimension, RATE)
        for images in SPHERE_IMAGES:
            rng = np.random.default_rng([dimension, images])
            bounds = np.array([bound_of(on_sphere(dimension, images, rng), 0.0) for _ in range(draws)])
            row = {
                "dimension": dimension,
                "images": images,
                "draws": draws,
                "held": float((bounds <= true).mean()),
                "median_ratio": float(np.median(bounds / true)),
            }
            print(row, flush=True)
            rows.append(row)
    return rows


def described(spec: str, folder: Path) -> Descriptors:
    """Return float16 (n, d) of the photos, by the path of the service."""
    descriptor = load_descriptor(spec)
    files = sorted((folder / "photos_small").glob("*.jpg"))
    parts = []
    for start in range(0, len(files), BATCH):
        pixels = (
            decode(file.read_bytes(), reduce_to_px=descriptor.reduce_to_px) for file in files[start : start + BATCH]
        )
        parts.append(descriptor.describe([descriptor.prepare(each) for each in pixels]))
    return np.concatenate(parts)


def measure_photos(
    spec: str, descriptors: Descriptors, draws: int, floor: float, sizes: tuple[int, ...] = PHOTOS
) -> list[Row]:
    """Measure how often the false pairs among the other photos are at most the rate."""
    count = len(descriptors)
    everything = nearest_pairs(descriptors, int(40 * RATE * count * count / 2))
    true = float(everything.l2_distance[int(RATE * everything.pairs)])
    rows = []
    for images in sizes:
        rng = np.random.default_rng([images])
        rates, bounds, alone = [], [], []
        drawings = draws if images < FEWER_DRAWS_FROM else draws // (2 if descriptors.shape[1] < LONG_ROW else 6)
        for _ in range(drawings):
            drawn = rng.permutation(count)[:images]
            radius, copies = bound_and_copies(descriptors[drawn], floor)
            alone.append(copies)
            others = np.ones(count, dtype=np.bool_)
            others[drawn] = False
            false = others[everything.rows].all(axis=1) & (everything.l2_distance <= radius)
            left = count - images
            rates.append(int(false.sum()) / (left * (left - 1) / 2))
            bounds.append(radius)
        row = {
            "descriptor": spec,
            "images": images,
            "draws": drawings,
            "others": count - images,
            "held": float((np.array(rates) <= RATE).mean()),
            "median_rate": float(np.median(rates)),
            "highest_rate": float(np.max(rates)),
            "median_radius": float(np.median(bounds)),
            "true_radius": true,
            "median_ratio": float(np.median(bounds) / true),
            "floor": floor,
            "mean_alone": float(np.mean(alone)),
        }
        print(row, flush=True)
        rows.append(row)
    return rows


def exponents(descriptors: Descriptors) -> dict[str, float]:
    """Return the exponent of the tail of all photos, fit on so many of the nearest pairs."""
    counts = [50 * 4**step for step in range(8)]
    near = nearest_pairs(descriptors, counts[-1] + 1)
    logs = [np.log(near.l2_distance[count] / near.l2_distance[:count]) for count in counts]
    return {str(count): float(1.0 / each.mean()) for count, each in zip(counts, logs, strict=True)}


def held_unspent(descriptors: Descriptors, draws: int, floor: float) -> Row:
    """Measure coverage with all of the doubt left to chance, none kept for what no model knows."""
    with patch.object(tail, "_SPENT", 1.0):
        [row] = measure_photos("dct", descriptors, draws, floor, (UNSPENT_IMAGES,))
    return {name: row[name] for name in ("images", "draws", "held")}


def seconds(descriptors: Descriptors, floor: float) -> dict[str, float]:
    """Return the CPU seconds that comparing takes, without reading and editing seeds."""
    found = {}
    for images in TIMED:
        rows = descriptors[:images]
        start = time.process_time()
        different = rows[originals_of(rows) == np.arange(len(rows))]
        tail_bound(nearest_pairs(different, enough_for(len(different), RATE), floor), RATE, CONFIDENCE)
        found[str(images)] = time.process_time() - start
    return found


def tables(result: Row) -> dict[str, str]:
    """Return the figures of the page by the name of their place."""
    photos = [
        "| descriptor | photos | draws | held | median rate, per million | highest rate | ratio | taken for copies |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| `{row['descriptor']}` | {row['images']:,} | {row['draws']} | {row['held']:.0%} | "
            f"{1e6 * row['median_rate']:.2f} | {1e6 * row['highest_rate']:.1f} | {row['median_ratio']:.2f} | "
            f"{row['mean_alone']:.1f} |"
            for row in result["photos"]
        ),
    ]
    spheres = [
        "| dimensions | images | draws | held | ratio |",
        "|---|---|---|---|---|",
        *(
            f"| {row['dimension']} | {row['images']:,} | {row['draws']} | {row['held']:.0%} | "
            f"{row['median_ratio']:.2f} |"
            for row in result["spheres"]
        ),
    ]
    unspent, cpu = result["unspent"], result["cpu_s"]
    fits = " / ".join(f"{exponent:.1f}" for exponent in result["exponents"].values())
    counts = " / ".join(f"{int(count):,}" for count in result["exponents"])
    notes = [
        f"With all of the 5 % spent, {unspent['held']:.0%} of {unspent['draws']} draws of {unspent['images']} held.",
        f"The exponent of the tail of all photos by `dct`, fit on the nearest {counts} pairs: {fits}.",
        "CPU time to compare, `dct`: "
        + ", ".join(f"{cost:.1f} s for {int(count):,} photos" for count, cost in cpu.items())
        + "; reading and editing up to 100 seeds comes on top.",
    ]
    return {
        "photos": "\n".join(photos),
        "spheres": "\n".join(spheres),
        "notes": "\n".join(f"- {note}" for note in notes),
    }


def write(result: Row, out: Path) -> None:
    """Write what is measured so far."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(f"written: {out}", flush=True)


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--descriptors", nargs="*", default=["dct", "pixels"])
    parser.add_argument("--floor", type=float, default=0.05, help="distance that copies were taken out up to")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/calibration.json")
    parser.add_argument("--write-docs", action="store_true", help="write the tables into docs/calibration.md")
    given = parser.parse_args()
    result: dict[str, Any] = {
        "command": f".venv/bin/python -m benchmarks.calibration_coverage --draws {given.draws}",
        "rate": RATE,
        "confidence": CONFIDENCE,
    }
    folder = Path(os.environ.get("NEARDUP_DATA") or ROOT / "../shared/data").resolve()
    result["spheres"] = measure_spheres(given.draws)
    result["photos"] = []
    if (folder / "photos_small").is_dir():
        for spec in given.descriptors:
            rows = described(spec, folder)
            if spec == "dct":
                result["unspent"] = held_unspent(rows, given.draws, given.floor)
                result["exponents"], result["cpu_s"] = exponents(rows), seconds(rows, given.floor)
            result["photos"] += measure_photos(spec, rows, given.draws, given.floor)
            result[f"fingerprint_{spec}"] = load_descriptor(spec).fingerprint
            write(result, given.out)
    else:
        print(f"no photos_small in {folder}: set NEARDUP_DATA", file=sys.stderr)
    write(result, given.out)
    if given.write_docs:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), tables(result)), "utf-8")


if __name__ == "__main__":
    main()
