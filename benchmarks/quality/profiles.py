"""What the profiles do: by those for photos, the radius, copies found and false pairs; by the camera's, low texture.

    .venv/bin/python -m benchmarks.quality.profiles

The clips are measured by `benchmarks.quality.camera`. The photos are not part of the project: NEARDUP_DATA names
their folder (default: ../shared/data).
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.quality import low_texture
from benchmarks.quality.__main__ import data_folder
from benchmarks.quality.evaluate import cores, evenly
from benchmarks.quality.tools import TRAINED
from benchmarks.quality.transforms import CORE, CORE_UPRIGHT, TRANSFORMS, jpeg, make_copy, photo_seed
from bootstrap.calibration.seeds import calibrate_seeds
from neardup.decoding.decode import decode
from neardup.descriptors import DEFAULT, load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.relation.describing import Describer
from neardup.relation.local_change import largest_change, thumbnail_of
from neardup.relation.rule import Relation
from neardup.search.distance import l2_distances, paired_l2_distances
from neardup.search.sketch_trees import SketchTrees
from neardup.search.sketches import fit_sketcher
from neardup.settings.profiles import CAMERA_LOCAL_CHANGE, CAMERA_RADIUS, PROFILES
from neardup.sources.files import find_images
from neardup.types import Descriptors
from training.photos import held_out

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_FALSE_PAIRS = 1e-6
NAMES = ("none", "scraper", "dataset")
_QUERIES = 512


@cache
def _loaded(spec: str) -> Descriptor:
    return load_descriptor(spec)


def described(spec: str, relation: Relation, images: list[bytes]) -> Descriptors:
    """Return float16 (images, variants, d), the image as it came first."""
    describer = Describer(_loaded(spec), relation)
    prepared = [describer.prepare(decode(image, reduce_to_px=describer.reduce_to_px)) for image in images]
    rows: Descriptors = np.stack([[variant.descriptor for variant in image] for image in describer.describe(prepared)])
    return rows


def described_file(spec: str, relation: Relation, file: Path) -> Descriptors:
    """Return float16 (variants, d) of a photo."""
    rows: Descriptors = described(spec, relation, [file.read_bytes()])[0]
    return rows


def copy_distances(spec: str, relation: Relation, file: Path) -> NDArray[np.float64]:
    """Return float64 (transforms,): of each copy of a photo, by its nearest variant."""
    data = file.read_bytes()
    image = Image.fromarray(decode(data))
    copies = [make_copy(name, image, photo_seed(0, file.name)) for name in TRANSFORMS]
    (original,) = described(spec, relation, [data])[:, :1]
    rows = described(spec, relation, copies)
    distances = l2_distances(rows.reshape(-1, rows.shape[2]), original).reshape(rows.shape[:2])
    return np.asarray(distances.min(axis=1))


def false_pairs(rows: Descriptors, radius: float) -> int:
    """Count pairs of float16 (n, variants, d) images of which a variant of the later one is near the earlier one."""
    stored = np.ascontiguousarray(rows[:, 0])
    sketcher = fit_sketcher(stored)
    trees = SketchTrees(sketcher.size, radius)
    trees.add(sketcher.sketch(stored), np.arange(len(stored), dtype=np.int32))
    found: set[tuple[int, int]] = set()
    for variant in range(rows.shape[1]):
        compared = np.ascontiguousarray(rows[:, variant])
        for start in range(0, len(rows), _QUERIES):
            place, other = trees.within(sketcher.sketch(compared[start : start + _QUERIES]), radius)
            later = other < place + start
            place, other = place[later] + start, other[later]
            near = paired_l2_distances(compared[place], stored[other]) <= radius
            found |= set(zip(place[near].tolist(), other[near].tolist(), strict=True))
    return len(found)


def measure(name: str, seeds: list[Path], copied: list[Path], others: list[Path]) -> dict[str, Any]:
    """Return the figures of a profile; of one whose descriptor was trained, on photos that were held out."""
    profile = PROFILES.get(name, {})
    spec = str(profile.get("descriptor", DEFAULT))
    if spec in TRAINED:
        seeds, others = ([file for file in files if held_out(file.name)] for files in (seeds, others))
    relation = Relation(0.0, match_flips=bool(profile.get("match_flips")))
    rate = float(str(profile.get("false_pairs", DEFAULT_FALSE_PAIRS)))
    with ProcessPoolExecutor(cores()) as pool:
        rows = np.stack(list(pool.map(partial(described_file, spec, relation), others, chunksize=64)))
        of_seeds = np.stack(list(pool.map(partial(described_file, spec, relation), seeds, chunksize=64)))[:, 0]
        distances = np.stack(list(pool.map(partial(copy_distances, spec, relation), copied, chunksize=4)))
    sources = find_images([str(seed) for seed in seeds])
    descriptor = load_descriptor(spec)
    comparisons = len(relation.described_after)
    ids = [source.image_id for source in sources]
    calibration = calibrate_seeds(sources, ids, of_seeds, descriptor, rate, comparisons=comparisons)
    recall = dict(zip(TRANSFORMS, (distances <= calibration.radius).mean(axis=0).tolist(), strict=True))
    pairs = len(rows) * (len(rows) - 1) // 2
    false = false_pairs(rows, calibration.radius)
    return {
        "profile": name,
        "descriptor": descriptor.fingerprint,
        "false_pairs_asked": rate,
        "comparisons": comparisons,
        "seeds": len(seeds),
        "radius": calibration.radius,
        "method": calibration.method,
        "warning": calibration.warning,
        "pairs": pairs,
        "false_pairs": false,
        "rate": false / pairs,
        "recall_of_20": float(np.mean([recall[each] for each in CORE_UPRIGHT])),
        "recall_of_22": float(np.mean([recall[each] for each in CORE])),
        "flip": recall["flip"],
        "crop10": recall["crop10"],
        "crop20": recall["crop20"],
        "meme": recall["meme"],
    }


def measure_low_texture(name: str) -> dict[str, Any]:
    """Return how many pairs of different pictures of a class are duplicates by the camera profile, and edits found."""
    rows, thumbnails = [], []
    edits = near_edits = found_edits = 0
    for number in range(low_texture.COUNT):
        images = [jpeg(low_texture.picture(name, number, 0)), *low_texture.edits(name, number, 0).values()]
        described_images = described(DEFAULT, Relation(0.0), images)[:, 0]
        thumbs = np.stack([thumbnail_of(decode(image)) for image in images])
        near = l2_distances(described_images[:1], described_images[1:])[0] <= CAMERA_RADIUS
        unchanged = largest_change(thumbs[0], thumbs[1:]) <= CAMERA_LOCAL_CHANGE
        edits, near_edits, found_edits = (
            edits + len(near),
            near_edits + near.sum(),
            found_edits + (near & unchanged).sum(),
        )
        rows.append(described_images[0])
        thumbnails.append(thumbs[0])
    ones, others = np.nonzero(np.triu(l2_distances(np.stack(rows), np.stack(rows)) <= CAMERA_RADIUS, k=1))
    changes = [
        largest_change(thumbnails[one], thumbnails[other][np.newaxis])[0]
        for one, other in zip(ones, others, strict=True)
    ]
    return {
        "class": name,
        "pairs": len(rows) * (len(rows) - 1) // 2,
        "near": len(ones),
        "near_and_unchanged": int(np.sum(np.array(changes) <= CAMERA_LOCAL_CHANGE)),
        "edits_near": float(near_edits / edits),
        "edits_found": float(found_edits / edits),
    }


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.profiles")
    parser.add_argument("--seeds", type=int, default=5000, metavar="N", help="photos to calibrate by")
    parser.add_argument("--photos", type=int, default=300, metavar="N", help="photos to copy")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/profiles.json")
    given = parser.parse_args()
    folder = data_folder()
    small = sorted((folder / "photos_small").glob("*.jpg"))
    seeds = evenly(small, given.seeds)
    others = sorted(set(small) - set(seeds))
    copied = evenly(sorted((folder / "photos_eval").glob("*.jpg")), given.photos)
    rows = [measure(name, seeds, copied, others) for name in NAMES]
    of_camera = [measure_low_texture(name) for name in low_texture.CLASSES]
    for row in [*rows, *of_camera]:
        print(row)
    result = {
        "photos": len(copied),
        "profiles": rows,
        "camera_on_low_texture": of_camera,
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
