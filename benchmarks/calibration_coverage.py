"""Measure how often the calibrated radius keeps the false-pair rate that it promises, and how careful it is.

    .venv/bin/python benchmarks/calibration_coverage.py [--draws 100] [--out benchmarks/results/calibration.json]

Known distributions: images that are uniform on a sphere of D dimensions, where the part of the pairs within a radius
is an incomplete beta function. Seeds are drawn, each is calibrated; the bound should lie at or below the true radius
in 95 % of the draws.

Real photos: seeds are drawn from `photos_small`, whose photos are all different; false pairs are counted among the
photos that were not drawn. The bound holds in a draw when they are at most the rate asked for.

The photos are not part of the project: NEARDUP_DATA names their folder (default: ../shared/data). Without them only
the spheres are measured.
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import betaincinv

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bootstrap.calibration.choice import CONFIDENCE
from bootstrap.calibration.distances import nearest_pairs
from bootstrap.calibration.isolation import without_copies
from bootstrap.calibration.tail import enough_pairs, tail_bound
from neardup.decode import decode
from neardup.descriptors import load_descriptor
from neardup.types import Descriptors

ROOT = Path(__file__).resolve().parent.parent
RATE = 1e-6
DIMENSIONS = (5, 10, 20, 40)
SPHERE_IMAGES = (100, 300, 1000)
PHOTOS = (50, 100, 200, 500, 2000, 5000)
FEWER_DRAWS_FROM = 5000
BATCH = 256

Row = dict[str, Any]


def bound_of(descriptors: Descriptors, floor: float) -> float:
    """Return the calibrated radius of a set of different images; 0 when there are too few."""
    near = nearest_pairs(descriptors, enough_pairs(len(descriptors), RATE), floor)
    bound = tail_bound(without_copies(descriptors, near), RATE, CONFIDENCE)
    return bound.radius if bound else 0.0


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


def measure_photos(spec: str, descriptors: Descriptors, draws: int, floor: float) -> list[Row]:
    """Measure how often the false pairs among the other photos are at most the rate."""
    count = len(descriptors)
    everything = nearest_pairs(descriptors, int(40 * RATE * count * count / 2))
    true = float(everything.l2_distance[int(RATE * everything.pairs)])
    rows = []
    for images in PHOTOS:
        rng = np.random.default_rng([images])
        rates, bounds = [], []
        drawings = draws if images < FEWER_DRAWS_FROM else draws // 2
        for _ in range(drawings):
            drawn = rng.permutation(count)[:images]
            radius = bound_of(descriptors[drawn], floor)
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
        }
        print(row, flush=True)
        rows.append(row)
    return rows


def write(result: Row, out: Path) -> None:
    """Write what is measured so far."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(f"written: {out}", flush=True)


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--descriptors", nargs="*", default=["dct", "pixels"])
    parser.add_argument("--floor", type=float, default=0.05, help="distance that copies were taken out up to")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/calibration.json")
    given = parser.parse_args()
    result: dict[str, Any] = {
        "command": shlex.join([".venv/bin/python", "benchmarks/calibration_coverage.py", *sys.argv[1:]]),
        "rate": RATE,
        "confidence": CONFIDENCE,
    }
    folder = Path(os.environ.get("NEARDUP_DATA") or ROOT / "../shared/data").resolve()
    result["spheres"] = measure_spheres(given.draws)
    result["photos"] = []
    if (folder / "photos_small").is_dir():
        for spec in given.descriptors:
            result["photos"] += measure_photos(spec, described(spec, folder), given.draws, given.floor)
            result[f"fingerprint_{spec}"] = load_descriptor(spec).fingerprint
            write(result, given.out)
    else:
        print(f"no photos_small in {folder}: set NEARDUP_DATA", file=sys.stderr)
    write(result, given.out)


if __name__ == "__main__":
    main()
