"""What --match-flips and --match-rotations find, and what they cost in false pairs.

    .venv/bin/python -m benchmarks.symmetries [--write-docs]

Recall: every third photo of `photos_eval`, the 22 transforms of the core list of `benchmarks/quality/transforms.py` and
the five other symmetries of a square, at the default radius. False pairs: every second photo of `photos_small`, which
are all different, 60 million pairs; a pair is false when any variant of the later photo lies within the radius of the
earlier one. The photos are not part of the project: NEARDUP_DATA names their folder.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.pages import with_tables
from benchmarks.photos import data_folder
from benchmarks.quality.transforms import CORE, jpeg, make_copy, photo_seed
from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.relation.describing import Describer
from neardup.relation.rule import Relation
from neardup.relation.symmetry import Switches, symmetries, transformed
from neardup.search.distance import l2_distances
from neardup.types import Symmetry

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs/descriptors.md", ROOT / "benchmarks/results/symmetries.json"
BATCH = 64
BLOCK = 1024
SWITCHES = {
    "none": (False, False),
    "--match-flips": (True, False),
    "--match-rotations": (False, True),
    "both": (True, True),
}
TURNED = {
    "rotate180": Symmetry.ROTATE_180,
    "rotate270": Symmetry.ROTATE_270,
    "upside_down": Symmetry.MIRROR_ROTATE_180,
    "flip_rotate90": Symmetry.MIRROR_ROTATE_90,
    "flip_rotate270": Symmetry.MIRROR_ROTATE_270,
}

Row = dict[str, Any]
Variants = NDArray[np.float16]


def variants_of(describer: Describer, images: list[bytes]) -> Variants:
    """Return float16 (n, 8, d): each image as it came and after each symmetry."""
    prepared = [describer.prepare(decode(data, reduce_to_px=describer.reduce_to_px)) for data in images]
    return np.stack(
        [np.stack([variant.descriptor for variant in variants]) for variants in describer.describe(prepared)]
    )


def columns() -> dict[str, list[int]]:
    """Return which of the eight variants each setting of the switches compares."""
    every = [Symmetry.NONE, *symmetries(Switches(match_flips=True, match_rotations=True))]
    return {
        name: [0, *(every.index(each) for each in symmetries(Switches(match_flips=flips, match_rotations=rotations)))]
        for name, (flips, rotations) in SWITCHES.items()
    }


def copy_distances(describer: Describer, file: Path) -> NDArray[np.float64]:
    """Return float64 (copies, 8): how far each variant of each copy lies from the photo as it is."""
    data = file.read_bytes()
    pixels = decode(data)
    image = Image.fromarray(pixels)
    copies = [make_copy(name, image, photo_seed(0, file.name)) for name in CORE]
    copies += [jpeg(Image.fromarray(transformed(pixels, symmetry))) for symmetry in TURNED.values()]
    rows = variants_of(describer, [data, *copies])
    l2 = l2_distances(rows[0, :1], rows[1:].reshape(-1, rows.shape[2]))
    return np.asarray(l2.reshape(len(copies), rows.shape[1]))


def false_pairs(rows: Variants, radius: float) -> dict[str, int]:
    """Return how many pairs are false by each setting; distances by float32."""
    stored = rows[:, 0].astype(np.float32)
    counts = dict.fromkeys(SWITCHES, 0)
    wanted = columns()
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK].astype(np.float32)
        earlier = np.arange(len(rows)) < (start + np.arange(len(block)))[:, None]
        near = [
            (2.0 - 2.0 * (block[:, variant] @ stored.T) <= radius * radius) & earlier
            for variant in range(rows.shape[1])
        ]
        for name, variants in wanted.items():
            counts[name] += int(np.count_nonzero(np.logical_or.reduce([near[variant] for variant in variants])))
    return counts


def measure() -> Row:
    """Return all figures."""
    folder = data_folder()
    descriptor = load_descriptor("dct")
    describer = Describer(descriptor, Relation(0.0, match_flips=True, match_rotations=True))
    radius = descriptor.default_radius
    photos = sorted((folder / "photos_eval").glob("*.jpg"))[::3]
    distances = np.stack([copy_distances(describer, photo) for photo in photos])
    names = [*CORE, *TURNED]
    recall = {
        setting: dict(zip(names, (distances[..., variants].min(axis=2) <= radius).mean(axis=0).tolist(), strict=True))
        for setting, variants in columns().items()
    }
    small = sorted((folder / "photos_small").glob("*.jpg"))[::2]
    rows = np.concatenate(
        [
            variants_of(describer, [file.read_bytes() for file in small[start : start + BATCH]])
            for start in range(0, len(small), BATCH)
        ]
    )
    pairs = len(rows) * (len(rows) - 1) // 2
    return {
        "command": ".venv/bin/python -m benchmarks.symmetries",
        "fingerprint": descriptor.fingerprint,
        "radius": radius,
        "photos": len(photos),
        "pairs": pairs,
        "variants": {name: len(variants) for name, variants in columns().items()},
        "recall": recall,
        "false_pairs": false_pairs(rows, radius),
    }


def tables(result: Row) -> dict[str, str]:
    """Return the figures of the page by the name of their place."""
    first = result["false_pairs"]["none"]
    heads = [name if not name.startswith("--") else f"`{name}`" for name in SWITCHES]
    lines = [f"| | {' | '.join(heads)} |", "|" + "---|" * (1 + len(heads))]
    rows: dict[str, list[str]] = {
        "variants compared": [str(result["variants"][name]) for name in SWITCHES],
        "false pairs": [str(result["false_pairs"][name]) for name in SWITCHES],
        "false pairs in a million": [f"{1e6 * result['false_pairs'][name] / result['pairs']:.2f}" for name in SWITCHES],
        "times as many": [f"{result['false_pairs'][name] / first:.1f}" for name in SWITCHES],
    }
    for copy in [*CORE, *TURNED]:
        rows[f"`{copy}`"] = [f"{100 * result['recall'][name][copy]:.1f} %" for name in SWITCHES]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    return {"symmetries": "\n".join(lines)}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--write-docs", action="store_true", help="write the table into docs/descriptors.md")
    given = parser.parse_args()
    result = measure()
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(tables(result)["symmetries"])
    if given.write_docs:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), tables(result)), "utf-8")


if __name__ == "__main__":
    main()
