"""Compare models of copynet on photos that none was trained on: copies found at several rates of strangers.

python -m benchmarks.copynet_models training/models/far

A second look takes most strangers out again, so what a model finds among few strangers in a million says more of it
there than what it finds with next to none.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.photos import data_folder
from benchmarks.quality.transforms import TRANSFORMS
from benchmarks.quality.widened import WIDENED
from neardup.descriptors.copynet import CopynetDescriptor
from neardup.search.distance import l2_distances
from training.evaluate import Trial, load_trial
from training.photos import held_out, image_files
from training.ship import ROOT, WEIGHTS

RATES = (1e-6, 1e-5, 3e-5, 1e-4, 3e-4)
"""Pairs of different photos within the radius, of all."""
FARTHEST = 1.05
"""Distances above are not kept: no rate comes so far."""
_ROWS = 512


def main() -> None:
    """Print a line for each model, and one for each kind of copy of which some are missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="folders with a model, beside the one that ships")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="photos (default: photos_small)")
    parser.add_argument("--cache", type=Path, default=ROOT / "training-run" / "set" / "trial.npz", metavar="FILE")
    given = parser.parse_args()
    photos = image_files(given.photos or data_folder() / "photos_small")
    trial = load_trial([path for path in photos if held_out(path.name)], given.cache)
    for folder in (WEIGHTS, *given.models):
        report(folder, trial)


def report(folder: Path, trial: Trial) -> None:
    """Print what a model finds."""
    descriptor = CopynetDescriptor(str(folder))
    different = descriptor.describe(list(trial.different))
    pairs = len(different) * (len(different) - 1) // 2
    near = near_distances(different)
    radii = near[[int(pairs * rate) for rate in RATES]]
    photos, seen = trial.copied.shape[:2]
    rows = descriptor.describe(list(trial.copied.reshape(-1, *trial.copied.shape[2:]))).reshape(photos, seen, -1)
    away = np.stack([l2_distances(of_photo[:1], of_photo[1:])[0] for of_photo in rows])
    print(f"{folder}: {pairs} pairs; at rates of {RATES} radii {radii.round(3).tolist()}")
    for name, kinds in (("listed", TRANSFORMS), ("widened", WIDENED), *((kind, [kind]) for kind in trial.kinds)):
        shares = [float((away[:, [trial.kinds.index(kind) for kind in kinds]] <= radius).mean()) for radius in radii]
        if len(kinds) > 1 or shares[2] < 0.985:
            print(f"  {name}: {percentages(shares)}")


def near_distances(rows: NDArray[np.float16]) -> NDArray[np.float64]:
    """Return the distances up to `FARTHEST` of all pairs, the smallest first."""
    found = []
    for start in range(0, len(rows), _ROWS):
        distances = l2_distances(rows[start : start + _ROWS], rows)
        apart = np.triu(np.ones(distances.shape, dtype=np.bool_), k=start + 1)
        found.append(distances[apart & (distances <= FARTHEST)])
    return np.sort(np.concatenate(found))


def percentages(shares: Sequence[float]) -> str:
    """Return shares as they are printed."""
    return " ".join(f"{100 * share:.1f}" for share in shares)


if __name__ == "__main__":
    main()
