"""What a projection costs: recall of copies at one false pair in a million, with and without it.

    .venv/bin/python -m benchmarks.projection [--descriptors pixels] [--write-docs]

Components are fit on photos that nothing else here uses. False pairs among every fourth photo of `photos_small`, 15
million pairs; the 20 transforms of `benchmarks/quality/transforms.py` that keep the layout, of every fourth photo of
`photos_eval`. The photos are not part of the project: NEARDUP_DATA names their folder.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.pages import with_tables
from benchmarks.photos import data_folder
from benchmarks.quality.transforms import CORE_UPRIGHT, make_copy, photo_seed
from bootstrap.calibration.distances import nearest_pairs
from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.descriptors.pca import fit_pca
from neardup.descriptors.projected import ProjectedDescriptor
from neardup.search.distance import l2_distances
from neardup.types import Descriptors

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs/descriptors.md", ROOT / "benchmarks/results/projection.json"
FALSE_RATE = 1e-6
SEEDS = 5000
BATCH = 256
HARD = {"grey": "grey", "contrast_down20": "contrast -20 %", "crop5": "crop 5 %", "rotate2": "rotate 2°"}

Row = dict[str, Any]


def describe_files(descriptor: Descriptor, files: Sequence[Path]) -> Descriptors:
    """Return float16 (n, d) of image files, by the path of the service."""
    parts = []
    for start in range(0, len(files), BATCH):
        images = [file.read_bytes() for file in files[start : start + BATCH]]
        parts.append(describe(descriptor, images))
    return np.concatenate(parts)


def describe(descriptor: Descriptor, images: Sequence[bytes]) -> Descriptors:
    """Return float16 (n, d) of encoded images."""
    return descriptor.describe(
        [descriptor.prepare(decode(data, reduce_to_px=descriptor.reduce_to_px)) for data in images]
    )


def copy_distances(descriptors: Sequence[Descriptor], file: Path) -> NDArray[np.float64]:
    """Return float64 (descriptors, transforms): how far each copy of one photo lies from it."""
    data = file.read_bytes()
    image = Image.fromarray(decode(data))
    images = [data, *(make_copy(name, image, photo_seed(0, file.name)) for name in CORE_UPRIGHT)]
    rows = [describe(descriptor, images) for descriptor in descriptors]
    return np.concatenate([l2_distances(each[:1], each[1:]) for each in rows])


def measure(spec: str, folder: Path) -> list[Row]:
    """Return the figures of a descriptor, as it is and projected."""
    raw = load_descriptor(spec)
    small, photos = (sorted((folder / name).glob("*.jpg")) for name in ("photos_small", "photos_eval"))
    seeds = [file for number, file in enumerate(small) if number % 4 == 2]
    rows = describe_files(raw, seeds[:: max(1, len(seeds) // SEEDS)][:SEEDS])
    descriptors: dict[str, Descriptor] = {"as it is": raw}
    for components, whiten in ((256, False), (64, False), (256, True), (64, True)):
        if components < raw.dimension:
            pca = fit_pca(rows, components, whiten=whiten)
            descriptors[f"--project {components}{' --whiten' if whiten else ''}"] = ProjectedDescriptor(raw, pca)
    distances = np.stack([copy_distances(list(descriptors.values()), photo) for photo in photos[::4]], axis=1)
    found = []
    for (name, descriptor), of_copies in zip(descriptors.items(), distances, strict=True):
        different = describe_files(descriptor, small[::4])
        allowed = int(FALSE_RATE * len(different) * (len(different) - 1) / 2)
        radius = float(nearest_pairs(different, allowed + 1).l2_distance[allowed])
        recall = dict(zip(CORE_UPRIGHT, (of_copies < radius).mean(axis=0).tolist(), strict=True))
        row = {
            "descriptor": spec,
            "fingerprint": descriptor.fingerprint,
            "projection": name,
            "bytes": 2 * descriptor.dimension,
            "radius_at_rate": radius,
            "mean_recall": float(np.mean(list(recall.values()))),
            "recall": recall,
        }
        print(row, flush=True)
        found.append(row)
    return found


def tables(result: Row) -> dict[str, str]:
    """Return the figures of the page by the name of their place."""
    names = list(HARD.values())
    lines = [
        f"| descriptor | | bytes | distance at 1 in a million | 20 transforms | {' | '.join(names)} |",
        "|" + "---|" * (5 + len(names)),
    ]
    for row in result["rows"]:
        hard = " | ".join(f"{100 * row['recall'][name]:.1f} %" for name in HARD)
        how = row["projection"] if row["projection"] == "as it is" else f"`{row['projection']}`"
        lines.append(
            f"| `{row['descriptor']}` | {how} | {row['bytes']:,} | {row['radius_at_rate']:.4f} | "
            f"{100 * row['mean_recall']:.1f} % | {hard} |"
        )
    return {"projection": "\n".join(lines)}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--descriptors", nargs="+", default=["pixels"], metavar="SPEC")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--write-docs", action="store_true", help="write the table into docs/descriptors.md")
    given = parser.parse_args()
    rows = [row for spec in given.descriptors for row in measure(spec, data_folder())]
    result: Row = {"command": ".venv/bin/python -m benchmarks.projection", "rows": rows}
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(tables(result)["projection"])
    if given.write_docs:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), tables(result)), "utf-8")


if __name__ == "__main__":
    main()
