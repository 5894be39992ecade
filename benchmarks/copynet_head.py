"""What the weights of copynet's numbers cost in recall, and spare in searching: the trade of docs/copynet.md.

    .venv/bin/python -m benchmarks.copynet_head

Numbers of the shipped model are given other weights, as if its head had been made so. Recall and radius are those at
one false pair in a million of photos that were held out; sketches are principal components, as the index makes them.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from benchmarks.photos import data_folder
from benchmarks.quality.evaluate import FALSE_RATE, choose_photos, never_trained_on
from benchmarks.quality.transforms import CORE, CORE_UPRIGHT, TRANSFORMS
from benchmarks.real_descriptors import CACHE
from neardup.descriptors import load_descriptor
from training.evaluate import load_trial
from training.head import DECAY_FROM, NUMBERS

HEADS = [(64, np.inf), (64, 32.0), (64, 16.0), (64, 8.0), (64, 4.0), (48, 16.0), (32, 16.0)]
SKETCHES = (12, 24)
_EVERY = 8
_DESCRIBED = 512

Floats = NDArray[np.float32]


def unit(rows: Floats) -> Floats:
    """Return rows of unit length."""
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def measure(different: Floats, copied: Floats, weights: Floats) -> list[str]:
    """Return the cells of a line: recall, radius, what sketches let pass, what the first numbers hold."""
    rows, copies = unit(different * weights), unit(copied * weights)
    cosines = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
    allowed = max(1, int(len(cosines) * FALSE_RATE))
    limit = float(np.partition(cosines, -allowed)[-allowed])
    found = np.einsum("id,ijd->ij", copies[:, 0], copies[:, 1:]) >= limit
    recall = dict(zip(TRANSFORMS, found.mean(axis=0), strict=True))
    squared = 2 - 2 * limit
    variances, directions = np.linalg.eigh(np.cov(rows.T))
    turned, variances = (rows - rows.mean(axis=0)) @ directions[:, ::-1], variances[::-1] / variances.sum()
    means = [float(np.mean([recall[name] for name in names])) for names in (CORE_UPRIGHT, CORE)]
    shares = [*means, recall["crop20"], recall["rotate90"], recall["blur2"]]
    passed = [_passed(turned, size, squared) for size in SKETCHES]
    held = [variances[:count].sum() for count in (8, 16, 32)]
    return [
        *(f"{100 * share:.1f}" for share in shares),
        f"{squared**0.5:.3f}",
        *(f"{100 * share:.3f}" for share in passed),
        " / ".join(f"{100 * share:.0f}" for share in held),
    ]


def _passed(turned: Floats, size: int, squared: float) -> float:
    """Return the share of pairs that a sketch of so many components and the length of the rest fails to exclude."""
    sketch, rest = turned[:, :size], np.linalg.norm(turned[:, size:], axis=1)
    some = np.arange(0, len(turned), _EVERY)
    norms = np.square(sketch).sum(axis=1)
    bounds = norms[some, np.newaxis] + norms - 2 * sketch[some] @ sketch.T + np.square(rest[some, np.newaxis] - rest)
    return float((bounds <= squared).mean() - 1 / len(turned))


def main() -> None:
    """Describe, and print a line for each head."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.copynet_head")
    parser.add_argument("--photos", type=int, default=1000, metavar="N", help="photos of make quality to choose from")
    given = parser.parse_args()
    photos = never_trained_on(choose_photos(data_folder(), given.photos, 21_916, 0))
    trial = load_trial(photos.different, CACHE / f"copynet-trial-{len(photos.different)}.npz")
    descriptor = load_descriptor("copynet")

    def described(images: NDArray[np.uint8]) -> Floats:
        starts = range(0, len(images), _DESCRIBED)
        return np.concatenate([descriptor.features(images[start : start + _DESCRIBED]) for start in starts])

    different = described(trial.different)
    flat = trial.copied.reshape(-1, *trial.copied.shape[2:])
    copied = described(flat).reshape(*trial.copied.shape[:2], -1)
    shipped = (1 + np.arange(NUMBERS) / DECAY_FROM) ** -0.5
    print("| numbers | falling from | of 20 | of 22 | crop20 | rotate90 | blur2 | radius | pass 12 | pass 24 | hold |")
    for numbers, decay_from in HEADS:
        wanted = (1 + np.arange(NUMBERS) / decay_from) ** -0.5 * (np.arange(NUMBERS) < numbers)
        cells = measure(different, copied, (wanted / shipped).astype(np.float32))
        print(f"| {numbers} | {decay_from:.0f} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
