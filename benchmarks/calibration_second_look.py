"""Measure whether a radius and an agreement that were chosen together keep what they promise, and what copies do to it.

    .venv/bin/python -m benchmarks.calibration_second_look [--images 800] [--write-docs]

Halves: seeds are photos, garments, drawn pages of one layout, or all together, of one half; false pairs are counted
among those of the other half: photos and garments by their names, pages by their class, so that none of these was
seen. Where a descriptor was trained on photos, only those that were held out are used.

Copies: photos of `photos_eval` get 3 to 10 edits each, of the kinds of `transforms` and `widened`; the radius should
be that of the photos alone.

The photos are not part of the project: NEARDUP_DATA names their folder (default: ../shared/data).
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.calibration_coverage import RATE
from benchmarks.pages import table, with_tables
from benchmarks.photos import data_folder
from benchmarks.quality.halves import HALVES, Half, half_of
from benchmarks.quality.low_texture import COUNT, LAYOUTS, picture
from benchmarks.quality.transforms import TRANSFORMS, jpeg, make_copy, photo_seed
from benchmarks.quality.widened import WIDENED
from bootstrap.calibration.distances import nearest_pairs
from bootstrap.calibration.seeds import SecondLook, calibrate_seeds
from bootstrap.seeds.describe import describe_seeds
from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.relation.images import Images
from neardup.relation.rule import Relation
from neardup.sources.images import BytesImage, SourceImage
from training.photos import held_out

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/calibration.md"
RESULTS = ROOT / "benchmarks/results/calibration_second_look.json"
SPECS = ("copynet", "dct")
LOOKED = Relation(0.0, agreement=0.3)
GARMENTS = "clothing"
COPIED_PHOTOS = 150
FEWEST_EDITS, MOST_EDITS = 3, 10
MOST_COUNTED = 20_000
"""Pairs within the radius that are looked at on the other half; of more, as many of the nearest."""

Row = dict[str, Any]


def seeds_of(kind: str, half: Half, images: int) -> list[SourceImage]:
    """Return the pictures of a kind, of one half: photos, garments, layouts or all together."""
    if kind == "all":
        return [seed for each in ("photos", "garments", "layouts") for seed in seeds_of(each, half, images // 2)]
    if kind == "layouts":
        classes = [name for number, name in enumerate(LAYOUTS) if HALVES[number % 2] == half]
        return [
            BytesImage(f"{name}-{number}", jpeg(picture(name, number, 0)))
            for name in classes
            for number in range(COUNT)
        ]
    files = sorted((data_folder() / "photos_small").glob("*.jpg"))
    wanted = [
        file
        for file in files
        if held_out(file.name) and half_of(file.name) == half and file.name.startswith(GARMENTS) == (kind == "garments")
    ]
    chosen = np.random.default_rng(0).permutation(len(wanted))[:images]
    return [BytesImage(wanted[row].name, wanted[row].read_bytes()) for row in chosen.tolist()]


def false_pairs(images: Images, relation: Relation) -> tuple[int, int]:
    """Return how many pairs of different images are near and agree, and how many are near."""
    near = nearest_pairs(images.descriptors, MOST_COUNTED, 0.0)
    near = near.at(near.l2_distance <= relation.radius)
    allowed = relation.allow_both_ways(
        images.kept, near.rows[:, 0], None if images.kept is None else images.kept[near.rows[:, 1]], near.l2_distance
    )
    return int(allowed.sum()), len(near)


def measure_half(spec: str, kind: str, images: int) -> Row:
    """Calibrate on one half, and count on the other."""
    descriptor = load_descriptor(spec)
    seeds, others = (seeds_of(kind, half, images) for half in HALVES)
    described = describe_seeds(seeds, descriptor, LOOKED)
    ids = [image.image_id for image in described.images]
    second_look = SecondLook(described.compared, LOOKED)
    chosen = calibrate_seeds(seeds, ids, described.descriptors, descriptor, RATE, second_look=second_look)
    alone = calibrate_seeds(seeds, ids, described.descriptors, descriptor, RATE)
    counted = describe_seeds(others, descriptor, LOOKED).compared
    false, near = false_pairs(counted, Relation(chosen.radius, agreement=chosen.agreement))
    row = {
        "descriptor": spec,
        "kind": kind,
        "seeds": len(ids),
        "left_out": chosen.copied,
        "by_distance": alone.radius,
        "radius": chosen.radius,
        "agreement": chosen.agreement,
        "method": chosen.method,
        "shown": chosen.shown,
        "others": len(counted),
        "near": near,
        "false": false,
        "rate": false / (len(counted) * (len(counted) - 1) / 2),
    }
    print(row, flush=True)
    return row


def with_copies(files: Sequence[Path], *, copies: bool) -> list[SourceImage]:
    """Return photos, each with 3 to 10 edits if it is to have copies."""
    edits = {name: TRANSFORMS for name, each in TRANSFORMS.items() if each.kind != "beyond"}
    edits |= dict.fromkeys(WIDENED, WIDENED)
    found: list[SourceImage] = []
    for file in files:
        data, random = file.read_bytes(), np.random.default_rng(photo_seed(0, file.name))
        found.append(BytesImage(file.name, data))
        names = random.permutation(list(edits))[: random.integers(FEWEST_EDITS, MOST_EDITS + 1)].tolist()
        for name in names if copies else ():
            copy = make_copy(name, Image.fromarray(decode(data)), photo_seed(0, file.name), edits[name])
            found.append(BytesImage(f"{file.stem}-{name}", copy))
    return found


def measure_copies(spec: str) -> list[Row]:
    """Calibrate on photos, and on the same photos with their copies, by distances and together."""
    descriptor, rows = load_descriptor(spec), []
    files = sorted((data_folder() / "photos_eval").glob("*.jpg"))[::4][:COPIED_PHOTOS]
    for copies in (False, True):
        seeds = with_copies(files, copies=copies)
        described = describe_seeds(seeds, descriptor, LOOKED)
        ids = [image.image_id for image in described.images]
        for second_look in (None, SecondLook(described.compared, LOOKED)):
            found = calibrate_seeds(seeds, ids, described.descriptors, descriptor, RATE, second_look=second_look)
            rows.append(
                {
                    "descriptor": spec,
                    "seeds": len(ids),
                    "photos": len(files),
                    "second_look": second_look is not None,
                    "different": found.images,
                    "radius": found.radius,
                    "agreement": found.agreement,
                }
            )
            print(rows[-1], flush=True)
    return rows


def tables(result: Row) -> dict[str, str]:
    """Return the figures of the page by the name of their place."""
    halves = table(
        [
            *("descriptor", "seeds", "of them", "by distances", "radius", "agreement", "shown, per million"),
            *("others", "near", "false", "per million"),
        ],
        [
            [
                *(f"`{row['descriptor']}`", row["kind"], f"{row['seeds']:,}", f"{row['by_distance']:.3f}"),
                *(f"{row['radius']:.3f}", f"{row['agreement']:g}", _shown(row["shown"])),
                *(f"{row['others']:,}", f"{row['near']:,}", str(row["false"]), f"{1e6 * row['rate']:.1f}"),
            ]
            for row in result["halves"]
        ],
    )
    copies = table(
        ["descriptor", "seeds", "second look", "taken for different", "radius", "agreement"],
        [
            [
                *(f"`{row['descriptor']}`", f"{row['seeds']:,} of {row['photos']} photos"),
                *("yes" if row["second_look"] else "no", str(row["different"]), f"{row['radius']:.3f}"),
                "" if row["agreement"] is None else f"{row['agreement']:g}",
            ]
            for row in result["copies"]
        ],
    )
    return {"second-look": halves, "full of copies": copies}


def _shown(share: float | None) -> str:
    return "by the tail" if share is None else f"{1e6 * share:.1f}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--images", type=int, default=800, help="photos of a kind and half")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--write-docs", action="store_true", help="write the tables into docs/calibration.md")
    given = parser.parse_args()
    result = {
        "command": f".venv/bin/python -m benchmarks.calibration_second_look --images {given.images}",
        "rate": RATE,
        "fingerprints": {spec: load_descriptor(spec).fingerprint for spec in SPECS},
        "halves": [
            measure_half(spec, kind, given.images)
            for spec in SPECS
            for kind in ("photos", "garments", "layouts", "all")
        ],
        "copies": [row for spec in SPECS for row in measure_copies(spec)],
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if given.write_docs:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), tables(result)), "utf-8")


if __name__ == "__main__":
    main()
