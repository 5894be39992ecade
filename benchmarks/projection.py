"""What a projection costs: recall of light edits at one false pair in a million, with and without it.

    .venv/bin/python benchmarks/projection.py [SPEC]

Components are fit on photos that nothing else here uses. False pairs and edits as in `benchmarks/radius.py`, of whose
photos every fourth is taken: 15 million pairs. The photos are not part of the project: NEARDUP_DATA names their folder.
"""

import sys

import numpy as np

from benchmarks.radius import EDITS, FALSE_RATE, data_folder, describe_files, edit_distances, measure_false_pairs
from neardup.descriptors import load_descriptor
from neardup.descriptors.projected import ProjectedDescriptor
from neardup.pca import fit_pca

SEEDS = 5000
HARD = ("grey", "contrast -20 %", "crop 5 %", "rotate 2°")


def main() -> None:
    """Print the table."""
    raw = load_descriptor(sys.argv[1] if len(sys.argv) > 1 else "pixels")
    folder = data_folder()
    small, photos = (sorted((folder / name).glob("*.jpg")) for name in ("photos_small", "photos_eval"))
    seeds = [file for number, file in enumerate(small) if number % 4 == 2]
    rows = describe_files(raw, seeds[:: max(1, len(seeds) // SEEDS)][:SEEDS])
    descriptors = [raw]
    for components, whiten in ((256, False), (64, False), (256, True), (64, True)):
        descriptors.append(ProjectedDescriptor(raw, fit_pca(rows, components, whiten=whiten)))
    distances = np.stack([edit_distances(descriptors, photo) for photo in photos[::4]], axis=1)
    print(f"| descriptor | bytes | distance at {FALSE_RATE:g} | recall, all edits | {' | '.join(HARD)} |")
    for descriptor, of_edits in zip(descriptors, distances, strict=True):
        radius = measure_false_pairs(descriptor, small[::4]).radius_at_rate
        found = dict(zip(EDITS, (of_edits < radius).mean(axis=0), strict=True))
        hard = " | ".join(f"{100 * found[name]:.1f} %" for name in HARD)
        mean = 100 * np.mean(list(found.values()))
        name = descriptor.fingerprint.partition("+")[2].rpartition("-")[0] or descriptor.spec
        print(f"| {name} | {2 * descriptor.dimension:,} | {radius:.4f} | {mean:.1f} % | {hard} |", flush=True)


if __name__ == "__main__":
    main()
