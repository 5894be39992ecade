"""How the sizes of the local change were chosen: each varied alone, on the pairs of `camera.py`.

    .venv/bin/python -m benchmarks.quality.camera_choice [--out benchmarks/results/camera_choice.json]

The figure to be large is the ratio: what 97 % of the labelled changes lie above, over what 97 % of the still scenes
and edits without a change lie below. A limit in the middle of the two (their geometric mean) is what `misses`, `alarms`
and `found` are counted at.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from benchmarks.quality.camera import (
    ROOT,
    Floats,
    base_frames,
    drawn,
    edited_changes,
    labelled_changes,
    labelled_pairs,
    middle,
    through_jpeg,
)
from neardup.types import Pixels


@dataclass(frozen=True)
class Variant:
    """The measure with other sizes, in floating point; as it stands it is the product's up to rounding.

    Attributes
    ----------
    side_px
        Of the thumbnail.
    surroundings_px
        Side of the square whose mean is subtracted; 0 subtracts the median of the thumbnail instead.
    edge_share
        Of the steepest edge beside a pixel, subtracted from its difference.
    tile_px
        Side of the tiles.
    tiles
        How many of the most changed tiles are averaged.
    max_gain
        Ratio of the strengths of two contrasts up to which they are made equal; 1 leaves them as they are.
    is_coloured
        Whether Cb and Cr are compared as well, and the largest of the three counts: three times the bytes.
    """

    side_px: int = 32
    surroundings_px: int = 5
    edge_share: float = 3 / 8
    tile_px: int = 3
    tiles: int = 1
    max_gain: float = 1.6
    is_coloured: bool = False

    @property
    def bytes_a_member(self) -> int:
        """Bytes of a thumbnail."""
        return self.side_px**2 * (3 if self.is_coloured else 1)

    def __call__(self, one: Pixels, other: Pixels) -> float:
        """Return the local change of two images."""
        pairs = zip(self._planes(one), self._planes(other), strict=True)
        return max(self._change(first, second) for first, second in pairs)

    def _planes(self, pixels: Pixels) -> Iterator[Floats]:
        size = (self.side_px, self.side_px)
        bands = Image.fromarray(pixels).convert("YCbCr").split()
        for band in bands if self.is_coloured else bands[:1]:
            plane = np.asarray(band.resize(size, Image.Resampling.BILINEAR), dtype=np.float64)
            if self.surroundings_px:
                yield plane - ndimage.uniform_filter(plane, self.surroundings_px, mode="nearest")
            else:
                yield plane - np.median(plane)

    def _change(self, first: Floats, second: Floats) -> float:
        ours, theirs = (1.0 + np.abs(plane).mean() for plane in (first, second))
        gain = float(np.clip(theirs / ours, 1 / self.max_gain, self.max_gain)) ** 0.5
        first, second = first * gain, second / gain
        difference = first - second
        explained = self.edge_share * np.maximum(_steepest(first), _steepest(second))
        unexplained = difference - np.clip(difference, -explained, explained)
        windows = np.lib.stride_tricks.sliding_window_view(unexplained, (self.tile_px, self.tile_px))
        means = np.abs(windows.mean(axis=(2, 3))).ravel()
        return float(np.sort(means)[-self.tiles :].mean())


def _steepest(plane: Floats) -> Floats:
    cross = ndimage.generate_binary_structure(2, 1)
    above = ndimage.maximum_filter(plane, footprint=cross, mode="nearest") - plane
    return np.asarray(np.maximum(above, plane - ndimage.minimum_filter(plane, footprint=cross, mode="nearest")))


def variants() -> Iterator[Variant]:
    """Yield the choice, then each size varied alone (the surroundings with the side), then colour."""
    chosen = Variant()
    yield chosen
    for side_px, surroundings_px in ((16, 3), (24, 3), (40, 5), (48, 7), (64, 9)):
        yield replace(chosen, side_px=side_px, surroundings_px=surroundings_px)
    yield from (replace(chosen, surroundings_px=value) for value in (0, 3, 7, 9, 13))
    yield from (replace(chosen, edge_share=value) for value in (0.0, 0.15, 0.25, 0.5))
    yield from (replace(chosen, tile_px=value) for value in (1, 2, 4))
    yield from (replace(chosen, tiles=value) for value in (3, 9))
    yield replace(chosen, max_gain=1.0)
    yield replace(chosen, is_coloured=True)


def judged(variant: Variant, material: tuple[list[Any], list[Pixels], list[tuple[Pixels, Pixels]]]) -> dict[str, Any]:
    """Return the figures of one variant."""
    pairs, frames, objects = material
    changes = labelled_changes(pairs, variant)
    edits = np.concatenate(list(edited_changes(frames, variant).values()))
    still, is_change = (np.array([test(pair) for pair in pairs]) for test in _TESTS)
    same = np.concatenate([changes[still], edits])
    limit = middle(same, changes[is_change])
    small = changes[~still & ~is_change]
    found = np.array([variant(one, other) for one, other in objects]) > limit
    return {
        "bytes": variant.bytes_a_member,
        "ratio": round(float(np.quantile(changes[is_change], 0.03) / np.quantile(same, 0.97)), 2),
        "limit": round(limit, 2),
        "misses": int((changes[is_change] <= limit).sum()),
        "alarms_still": int((changes[still] > limit).sum()),
        "alarms_small_moves": int((small > limit).sum()),
        "found_8_percent_high": round(float(found.mean()), 2),
    }


_TESTS: tuple[Callable[[Any], bool], ...] = (lambda pair: pair.kind == "still", lambda pair: pair.label == "change")


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/camera_choice.json")
    arguments = parser.parse_args()
    frames, rng = base_frames(), np.random.default_rng(6)
    bases = [frames[number % len(frames)] for number in range(48)]
    objects = [(through_jpeg(pixels), drawn(pixels, 8, 90, rng)) for pixels in bases]
    material = (labelled_pairs(), frames[:-2], objects)
    report = {}
    for variant in variants():
        report[str(variant)] = judged(variant, material)
        print(variant, report[str(variant)], flush=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
