"""What the profiles do: calibration by photos, copies found and false pairs; by the camera's, low texture.

    .venv/bin/python -m benchmarks.quality.profiles [--write-docs]

A profile is calibrated as a bootstrap does it, by photos of the half *chosen*. Copies and false pairs are of either
half apart, photos that it was not calibrated by. Beside the profiles stands `dataset` with a second look, to tell
whether it should take one: that is chosen by the half *chosen*, and reported by the other.

The clips are measured by `benchmarks.quality.camera`. The photos are not part of the project: NEARDUP_DATA names
their folder (default: ../shared/data).
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.pages import share, table, with_tables
from benchmarks.photos import data_folder
from benchmarks.quality import low_texture
from benchmarks.quality.evaluate import evenly
from benchmarks.quality.halves import HALVES, Half, half_of
from benchmarks.quality.setting import (
    Setting,
    compared,
    count_pairs,
    described,
    duplicate_pairs,
    is_found,
    setting_of,
)
from benchmarks.quality.tools import TRAINED
from benchmarks.quality.transforms import CORE, CORE_UPRIGHT, TRANSFORMS, jpeg, make_copy, photo_seed
from benchmarks.quality.widened import WIDENED
from bootstrap.calibration.radius import Calibration
from bootstrap.calibration.seeds import SecondLook, calibrate_seeds
from bootstrap.seeds.describe import describe_seeds
from neardup.cores import cores
from neardup.decoding.decode import decode
from neardup.descriptors import DEFAULT, load_descriptor
from neardup.relation.images import Images
from neardup.relation.local_change import largest_change, thumbnail_of
from neardup.relation.rule import Relation
from neardup.search.distance import l2_distances, paired_l2_distances
from neardup.search.sketch_trees import SketchTrees
from neardup.search.sketches import fit_sketcher
from neardup.settings.profiles import AUTO_AGREEMENT, CAMERA_LOCAL_CHANGE, CAMERA_RADIUS, PROFILES
from neardup.sources.files import find_images
from training.photos import held_out

ROOT = Path(__file__).resolve().parents[2]
PAGE, RESULTS = ROOT / "docs/quality.md", ROOT / "benchmarks/results/profiles.json"
DEFAULT_FALSE_PAIRS = 1e-6
MEASURED: dict[str, Mapping[str, object]] = {
    "none": {},
    "scraper": PROFILES["scraper"],
    "dataset": PROFILES["dataset"],
    "dataset, looking twice": {**PROFILES["dataset"], "agreement": AUTO_AGREEMENT},
}
KINDS = TRANSFORMS | WIDENED
COPIES = (*CORE, "crop20", "meme", *WIDENED)
PICTURES = 12
"""Of each drawn class."""
_QUERIES = 512

Row = dict[str, Any]


@dataclass(frozen=True)
class Photos:
    """Photos to calibrate by, and by half different ones and those to copy."""

    seeds: list[Path]
    others: dict[Half, list[Path]]
    copied: dict[Half, list[Path]]

    def unseen(self) -> "Photos":
        """Return those that no training has seen; nobody trains on those that are copied."""
        others = {half: [file for file in files if held_out(file.name)] for half, files in self.others.items()}
        return replace(self, seeds=[file for file in self.seeds if held_out(file.name)], others=others)


def choose_photos(folder: Path, seeds: int, different: int, copied: int) -> Photos:
    """Return at most as many photos as are told: to calibrate by, and of each half different ones and those to copy."""
    small, large = (
        {half: [file for file in files if half_of(file.name) == half] for half in HALVES}
        for files in (sorted((folder / name).glob("*.jpg")) for name in ("photos_small", "photos_eval"))
    )
    chosen = evenly(small["chosen"], seeds)
    others = {half: evenly(sorted(set(small[half]) - set(chosen)), different) for half in HALVES}
    return Photos(chosen, others, {half: evenly(large[half], copied) for half in HALVES})


def photos_for(setting: Setting, photos: Photos) -> Photos:
    """Return the photos that a setting is measured on."""
    return photos.unseen() if setting.spec in TRAINED else photos


def images_of(files: Sequence[Path], setting: Setting) -> tuple[list[str], Images]:
    """Return the ids of files, and what they are compared by."""
    found = describe_seeds(
        find_images([str(file) for file in files]), load_descriptor(setting.spec), setting.relation, workers=cores()
    )
    return [image.image_id for image in found.images], found.compared


def calibrated(setting: Setting, false_pairs: float, seeds: Sequence[Path]) -> Calibration:
    """Calibrate as a bootstrap with ``--radius auto`` does, and ``--agreement auto`` where a second look is taken."""
    ids, images = images_of(seeds, setting)
    return calibrate_seeds(
        find_images([str(seed) for seed in seeds]),
        ids,
        images.descriptors,
        load_descriptor(setting.spec),
        false_pairs,
        comparisons=len(setting.relation.described_after),
        second_look=None if setting.relation.agreement is None else SecondLook(images, setting.relation),
        workers=cores(),
    )


def false_pairs(images: Images, relation: Relation) -> int:
    """Count the pairs of n images of which the later one is called a duplicate of the earlier."""
    sketcher = fit_sketcher(images.descriptors)
    trees = SketchTrees(sketcher.size, relation.radius)
    trees.add(sketcher.sketch(images.descriptors), np.arange(len(images), dtype=np.int32))
    found: set[tuple[int, int]] = set()
    for variant in (images, *images.variants):
        for start in range(0, len(variant), _QUERIES):
            block = variant.descriptors[start : start + _QUERIES]
            row, other = trees.within(sketcher.sketch(block), relation.radius)
            row = start + row
            later = other < variant.images[row]
            row, other = row[later], other[later]
            l2 = paired_l2_distances(variant.descriptors[row], images.descriptors[other])
            near = l2 <= relation.radius
            row, other, l2 = row[near], other[near], l2[near]
            earlier = None if images.kept is None else images.kept[other]
            allowed = relation.check(variant.kept, row, earlier, l2).allowed
            found |= set(zip(variant.images[row[allowed]].tolist(), other[allowed].tolist(), strict=True))
    return len(found)


def copies_found(settings: Sequence[Setting], file: Path) -> list[list[bool]]:
    """Return for each setting which copies of a photo are found."""
    data = file.read_bytes()
    image = Image.fromarray(decode(data))
    copies = [make_copy(name, image, photo_seed(0, file.name), KINDS) for name in COPIES]
    return [_found(setting, data, copies) for setting in settings]


def _found(setting: Setting, original: bytes, copies: Sequence[bytes]) -> list[bool]:
    first, *others = described(setting, [original, *copies])
    return [is_found(compared(setting, copy, first)) for copy in others]


def of_one_layout(settings: Sequence[Setting], name: str) -> list[tuple[float, float]]:
    """Return for each setting the share of pairs of a drawn class called duplicates, and of light edits found."""
    images = [low_texture.picture(name, number, 0) for number in range(PICTURES)]
    originals = [jpeg(image) for image in images]
    edits = [list(low_texture.drawn_edits(image, photo_seed(0, name)).values()) for image in images]
    figures = []
    for setting in settings:
        false = len(duplicate_pairs(setting, described(setting, originals))) / count_pairs(len(originals))
        found = [_found(setting, *each) for each in zip(originals, edits, strict=True)]
        figures.append((false, float(np.mean(found))))
    return figures


def measure(photos: Photos) -> Iterator[Row]:
    """Yield the figures of each profile."""
    rows, settings = [], []
    for name, profile in MEASURED.items():
        setting, row = _by_photos(name, profile, photos)
        rows.append(row)
        settings.append(setting)
    with ProcessPoolExecutor(cores()) as pool:
        found = {
            half: np.array(list(pool.map(partial(copies_found, settings), photos.copied[half]))) for half in HALVES
        }
        classes = np.array(list(pool.map(partial(of_one_layout, settings), low_texture.LAYOUTS)))
    for number, row in enumerate(rows):
        recall = {half: dict(zip(COPIES, found[half][:, number].mean(axis=0).tolist(), strict=True)) for half in HALVES}
        layouts = dict(zip(low_texture.LAYOUTS, classes[:, number].tolist(), strict=True))
        yield row | {"recall": recall, "layouts": layouts}


def _by_photos(name: str, profile: Mapping[str, object], photos: Photos) -> tuple[Setting, Row]:
    """Return the setting that a profile comes to by calibration, with what it says of different photos."""
    setting = setting_of(name, {"descriptor": DEFAULT, **profile})
    photos, rate = photos_for(setting, photos), float(str(profile.get("false_pairs", DEFAULT_FALSE_PAIRS)))
    chosen = calibrated(setting, rate, photos.seeds)
    setting = replace(setting, relation=replace(setting.relation, radius=chosen.radius, agreement=chosen.agreement))
    row = {
        **setting.facts,
        "fingerprint": load_descriptor(setting.spec).fingerprint,
        "false_pairs_asked": rate,
        "seeds": len(photos.seeds),
        "method": chosen.method,
        "shown": chosen.shown,
        "warning": chosen.warning,
        "different": {},
    }
    for half, files in photos.others.items():
        _, images = images_of(files, setting)
        row["different"][half] = {"pairs": count_pairs(len(images)), "false": false_pairs(images, setting.relation)}
    print(row, flush=True)
    return setting, row


def measure_low_texture(name: str) -> dict[str, Any]:
    """Return how many pairs of different pictures of a class are duplicates by the camera profile, and edits found."""
    by_distance = setting_of("dct", {"descriptor": DEFAULT})
    rows, thumbnails = [], []
    edits = near_edits = found_edits = 0
    for number in range(low_texture.COUNT):
        images = [jpeg(low_texture.picture(name, number, 0)), *low_texture.edits(name, number, 0).values()]
        described_images = np.stack([each[0].descriptor for each in described(by_distance, images)])
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


def tables(result: Row) -> dict[str, str]:
    """Return the page's table by the name of its place."""
    head = [
        *("profile", "false pairs asked for", "radius", "agreement", "half", "false pairs", "per million"),
        *(
            "20 kinds",
            "22 kinds",
            "`flip`",
            "`crop10`",
            "`crop20`",
            "14 wider kinds",
            "light edits, drawn",
            "one layout",
        ),
    ]
    return {"profiles": table(head, [_line(row, half) for row in result["profiles"] for half in HALVES])}


def _line(row: Row, half: Half) -> list[str]:
    different, recall = row["different"][half], row["recall"][half]
    false, found = np.array(list(row["layouts"].values())).mean(axis=0).tolist()
    kinds = (CORE_UPRIGHT, CORE, ("flip",), ("crop10",), ("crop20",), tuple(WIDENED))
    return [
        *(row["setting"], f"{row['false_pairs_asked']:g}", f"{row['radius']:.3f}"),
        "" if row["agreement"] is None else f"{row['agreement']:g}",
        *(
            half,
            f"{different['false']} of {different['pairs']:,}",
            f"{1e6 * different['false'] / different['pairs']:.2g}",
        ),
        *(share(float(np.mean([recall[each] for each in group]))) for group in kinds),
        *(share(found), share(false)),
    ]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.profiles")
    parser.add_argument("--seeds", type=int, default=5000, metavar="N", help="photos to calibrate by")
    parser.add_argument(
        "--different", type=int, default=21_916, metavar="N", help="photos for false pairs, of each half"
    )
    parser.add_argument("--photos", type=int, default=100, metavar="N", help="photos to copy, of each half")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--write-docs", action="store_true")
    given = parser.parse_args()
    photos = choose_photos(data_folder(), given.seeds, given.different, given.photos)
    result = {
        "photos": {half: len(files) for half, files in photos.copied.items()},
        "profiles": list(measure(photos)),
        "camera_on_low_texture": [measure_low_texture(name) for name in low_texture.CLASSES],
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(tables(result)["profiles"])
    if given.write_docs:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), tables(result)), "utf-8")


if __name__ == "__main__":
    main()
