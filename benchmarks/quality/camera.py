"""How well the local change tells a change from a still scene: labelled frame pairs, made edits, streams of frames.

    .venv/bin/python -m benchmarks.quality.camera [--local-change 2.5] [--descriptor dct]

`camera_pairs.csv`, beside this file, names 200 pairs of frames of four real clips. A person looked at each pair: a
`change` is an object that entered, left or moved by its own size or more; `same` is a still scene, or movement well
below that. What lies between was left out. The frames are not part of the project: NEARDUP_DATA names the folder that
`camera/` lies in (default: ../shared/data).

Made pairs, seeded, beside them: frames against edits of themselves that are no change (noise, flicker, recompression, a
shift by a pixel), and against themselves with an object drawn or pasted in, by its height.
"""

import argparse
import csv
import io
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.result_files import results_of
from neardup.decoding.decode import decode
from neardup.descriptors import DEFAULT, load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.relation.describing import Describer
from neardup.relation.local_change import DEFAULT_LOCAL_CHANGE, THUMBNAIL_BYTES, largest_change, thumbnail_of
from neardup.relation.rule import Relation
from neardup.search.distance import l2_distances
from neardup.types import Pixels

ROOT = Path(__file__).resolve().parents[2]
PAIRS = Path(__file__).with_name("camera_pairs.csv")
REDUCE_TO_PX = 128
"""As the service decodes for `dct` and `copynet`."""
FPS = {"vtest_pedestrians": 10.0, "car_detection": 12.5, "bottle_detection": 29.8, "dashcam_solidWhiteRight": 25.0}
STILL_FRAMES: dict[str, tuple[int, ...]] = {
    "vtest_pedestrians": (20, 160, 300, 520),
    "car_detection": (10, 76, 209, 260),
    "bottle_detection": (50, 190, 280),
    "dashcam_solidWhiteRight": (30, 150),
}
"""Frames that are edited."""
NOTHING_MOVES = {
    "car_detection": (*range(50), *range(115, 180), *range(245, 310), *range(355, 377)),
    "bottle_detection": (*range(160), *range(225, 320)),
}
"""Frames of stretches in which nothing moves but the camera, a little, and the light."""
HEIGHTS_PERCENT = (4, 5, 6, 8, 10, 12, 15, 20, 30)
CONTRASTS = (30, 60, 90)
DRAWN = 48
"""Objects drawn a height and contrast."""

Floats = NDArray[np.float64]
Measure = Callable[[Pixels, Pixels], float]


@dataclass(frozen=True)
class Pair:
    """Two frames of a clip, and what a person says of them; `kind` is the first word of `what`."""

    clip: str
    frame_a: int
    frame_b: int
    label: str
    what: str

    @property
    def kind(self) -> str:
        """How they differ: still, moves a little, enters, left, moved, other, camera moves."""
        return self.what.partition(":")[0]


def camera_folder() -> Path:
    """Return the folder with the clips, or end with a line that says how to name it."""
    folder = Path(os.environ.get("NEARDUP_DATA") or ROOT / "../shared/data").resolve() / "camera"
    if not folder.is_dir():
        sys.exit(f"no {folder}: set NEARDUP_DATA to the folder that camera/ lies in")
    return folder


def labelled_pairs() -> list[Pair]:
    """Return the pairs of `camera_pairs.csv`."""
    with PAIRS.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [Pair(row["clip"], int(row["frame_a"]), int(row["frame_b"]), row["label"], row["what"]) for row in rows]


def frame_bytes(clip: str, number: int) -> bytes:
    """Return one frame as it is stored."""
    return (camera_folder() / clip / f"{number:05d}.jpg").read_bytes()


@cache
def frame(clip: str, number: int, reduce_to_px: int = REDUCE_TO_PX) -> Pixels:
    """Return one frame as the service decodes it."""
    return decode(frame_bytes(clip, number), reduce_to_px=reduce_to_px)


@cache
def stream(clip: str, descriptor: Descriptor) -> list[Pixels]:
    """Return all frames of a clip in order, as the service decodes them for a descriptor and thumbnails."""
    relation = Relation(descriptor.default_radius, local_change=DEFAULT_LOCAL_CHANGE)
    size = Describer(descriptor, relation).reduce_to_px
    return [frame(clip, number, size) for number in range(len(list((camera_folder() / clip).glob("*.jpg"))))]


@cache
def frame_distances(clip: str, descriptor: Descriptor) -> Floats:
    """Return the distances of all frames of a clip from each other, float64 (frames, frames)."""
    rows = descriptor.describe([descriptor.prepare(pixels) for pixels in stream(clip, descriptor)])
    return l2_distances(rows, rows)


def through_jpeg(pixels: NDArray[Any], quality: int = 92) -> Pixels:
    """Return (height, width, 3) pixels after one more compression, as the service decodes them."""
    buffer = io.BytesIO()
    Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return decode(buffer.getvalue(), reduce_to_px=REDUCE_TO_PX)


def base_frames() -> list[Pixels]:
    """Return full-size frames of all four clips, to be edited."""
    return [decode(frame_bytes(clip, number)) for clip, numbers in STILL_FRAMES.items() for number in numbers]


def no_changes(pixels: Pixels, rng: np.random.Generator) -> Iterator[tuple[str, Pixels, Pixels]]:
    """Yield (name, frame, frame): what a camera does to a scene in which nothing happens."""
    plain, first = pixels.astype(np.float64), through_jpeg(pixels)
    small = np.asarray(Image.fromarray(pixels).resize((160, 120), Image.Resampling.BOX), dtype=np.float64)
    for sigma in (2, 4, 8):
        yield f"noise {sigma}", _noisy(plain, sigma, rng), _noisy(plain, sigma, rng)
    for sigma in (4, 8):
        yield f"noise {sigma} at 160 x 120", _noisy(small, sigma, rng), _noisy(small, sigma, rng)
    for gain in (0.9, 1.1):
        yield "flicker 10 %", first, through_jpeg(plain * gain)
    for offset in (-20, 20):
        yield "brightness 20", first, through_jpeg(plain + offset)
    for contrast in (0.8, 1.2):
        yield "contrast 20 %", first, through_jpeg((plain - plain.mean()) * contrast + plain.mean())
    for gamma in (0.8, 1.25):
        yield "gamma 0.8, 1.25", first, through_jpeg(255.0 * (plain / 255.0) ** gamma)
    for quality in (90, 50, 30):
        yield f"JPEG {quality}", first, through_jpeg(plain, quality)
    for down, right in ((0, 1), (1, 0), (1, 1)):
        yield "shift 1 px", first, through_jpeg(_shifted(plain, down, right))
    yield "all at once", first, through_jpeg(_shifted(plain, 0, 1) * 1.1 + rng.normal(0.0, 4.0, plain.shape), 50)


def _noisy(pixels: Floats, sigma: float, rng: np.random.Generator) -> Pixels:
    return through_jpeg(pixels + rng.normal(0.0, sigma, pixels.shape))


def _shifted(pixels: Floats, down: int, right: int) -> Floats:
    height, width = pixels.shape[:2]
    return np.pad(pixels, ((down, 0), (right, 0), (0, 0)), mode="edge")[:height, :width]


def drawn(pixels: Pixels, percent: int, contrast: int, rng: np.random.Generator) -> Pixels:
    """Return the frame with an upright box, a third as wide as high, of that contrast to what it covers."""
    copy = pixels.astype(np.float64)
    place = _place(pixels, percent, 0.35, rng)
    mean = copy[place].mean()
    copy[place] = mean - contrast if mean > contrast else mean + contrast
    return through_jpeg(copy)


def pasted(pixels: Pixels, percent: int, others: list[Pixels], rng: np.random.Generator) -> Pixels:
    """Return the frame with a square piece of another frame in it, of whatever contrast it happens to have."""
    other = others[rng.integers(len(others))]
    place = _place(pixels, percent, 1.0, rng)
    height, width = pixels[place].shape[:2]
    top, left = rng.integers(0, other.shape[0] - height), rng.integers(0, other.shape[1] - width)
    copy = pixels.copy()
    copy[place] = other[top : top + height, left : left + width]
    return through_jpeg(copy)


def _place(pixels: Pixels, percent: int, aspect: float, rng: np.random.Generator) -> tuple[slice, slice]:
    height = max(2, round(pixels.shape[0] * percent / 100))
    width = max(2, round(height * aspect))
    top, left = rng.integers(0, pixels.shape[0] - height), rng.integers(0, pixels.shape[1] - width)
    return slice(top, top + height), slice(left, left + width)


def local_change(one: Pixels, other: Pixels) -> float:
    """Return the measure that the product uses."""
    return float(largest_change(thumbnail_of(one), thumbnail_of(other)[np.newaxis])[0])


def labelled_changes(pairs: list[Pair], measure: Measure) -> Floats:
    """Return the measure of each pair, float64 (n,)."""
    return np.array([measure(frame(pair.clip, pair.frame_a), frame(pair.clip, pair.frame_b)) for pair in pairs])


def edited_changes(frames: list[Pixels], measure: Measure) -> dict[str, Floats]:
    """Return the measure of frames against edits of themselves, by edit."""
    rng = np.random.default_rng(3)
    changes: dict[str, list[float]] = {}
    for pixels in frames:
        for name, one, other in no_changes(pixels, rng):
            changes.setdefault(name, []).append(measure(one, other))
    return {name: np.array(values) for name, values in changes.items()}


def middle(same: Floats, change: Floats) -> float:
    """Return the geometric mean of what 97 % of `same` lie below and 97 % of `change` above."""
    return float(np.sqrt(np.quantile(same, 0.97) * np.quantile(change, 0.03)))


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--local-change", type=float, default=DEFAULT_LOCAL_CHANGE)
    parser.add_argument("--descriptor", default=DEFAULT, metavar="SPEC", help="says which frames are near at all")
    parser.add_argument("--out", type=Path, help="where the JSON goes (default: benchmarks/results/camera[-SPEC].json)")
    arguments = parser.parse_args()
    most: float = arguments.local_change
    descriptor = load_descriptor(arguments.descriptor)
    out = arguments.out or results_of("camera", arguments.descriptor)
    pairs, frames = labelled_pairs(), base_frames()
    changes, edits = labelled_changes(pairs, local_change), edited_changes(frames, local_change)
    report = {
        "command": shlex.join(["python", "-m", "benchmarks.quality.camera", *sys.argv[1:]]),
        "local_change": most,
        "bytes_a_member": THUMBNAIL_BYTES,
        "microseconds_a_comparison": timed(),
        "near": near_by_label(pairs, descriptor),
        "pairs": by_clip(pairs, changes, most),
        "kinds": by_kind(pairs, changes, most),
        "wrong": wrong(pairs, changes, most),
        "held_out": held_out(pairs, changes, edits),
        "edits": {name: {"largest": round(float(values.max()), 2)} for name, values in edits.items()},
        "sways": sways(frames, most),
        "objects": objects(frames, most),
        "streams": [streamed(clip, pairs, most, descriptor) for clip in FPS],
    }
    show(report)
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def near_by_label(pairs: list[Pair], descriptor: Descriptor) -> dict[str, dict[str, int]]:
    """Return by label how many pairs there are, and how many the descriptor alone calls duplicates."""
    counts = {label: {"pairs": 0, "near": 0} for label in ("same", "change")}
    for pair in pairs:
        distance = frame_distances(pair.clip, descriptor)[pair.frame_a, pair.frame_b]
        counts[pair.label]["pairs"] += 1
        counts[pair.label]["near"] += int(distance <= descriptor.default_radius)
    return counts


def timed() -> dict[str, float]:
    """Return microseconds a comparison, one member at a time and a hundred: the fastest of many runs."""
    rows = np.random.default_rng(0).integers(0, 256, (100, THUMBNAIL_BYTES), dtype=np.uint8)
    times = {}
    for count in (1, 100):
        seconds = []
        for _ in range(50):
            start = time.perf_counter()
            largest_change(rows[0], rows[:count])
            seconds.append(time.perf_counter() - start)
        times[f"{count} at once"] = round(min(seconds) / count * 1e6, 1)
    return times


def rates(pairs: list[Pair], changes: Floats, most: float) -> dict[str, Any]:
    """Return how many are called by the wrong name."""
    is_change = np.array([pair.label == "change" for pair in pairs])
    called = changes > most
    return {
        "same": int((~is_change).sum()),
        "false_alarms": int((called & ~is_change).sum()),
        "change": int(is_change.sum()),
        "missed": int((~called & is_change).sum()),
        "accuracy": round(float((called == is_change).mean()), 3),
    }


def _group(pairs: list[Pair], changes: Floats, most: float, name: Callable[[Pair], str]) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[int]] = {}
    for number, pair in enumerate(pairs):
        groups.setdefault(name(pair), []).append(number)
    return {key: rates([pairs[n] for n in numbers], changes[numbers], most) for key, numbers in groups.items()}


def by_clip(pairs: list[Pair], changes: Floats, most: float) -> dict[str, dict[str, Any]]:
    """Return the rates by clip, and over all."""
    return _group(pairs, changes, most, lambda pair: pair.clip) | {"all": rates(pairs, changes, most)}


def by_kind(pairs: list[Pair], changes: Floats, most: float) -> dict[str, dict[str, Any]]:
    """Return the rates and the range of the measure by kind of difference."""
    grouped = _group(pairs, changes, most, lambda pair: pair.kind)
    for kind, row in grouped.items():
        values = changes[[pair.kind == kind for pair in pairs]]
        row |= {"smallest": round(float(values.min()), 2), "median": round(float(np.median(values)), 2)}
        row["largest"] = round(float(values.max()), 2)
    return grouped


def wrong(pairs: list[Pair], changes: Floats, most: float) -> list[str]:
    """Return the pairs that are called by the wrong name, in words."""
    return [
        f"{pair.clip} {pair.frame_a} {pair.frame_b}: {change:.2f} is {pair.label} ({pair.what})"
        for pair, change in zip(pairs, changes, strict=True)
        if (change > most) != (pair.label == "change")
    ]


def held_out(pairs: list[Pair], changes: Floats, edits: dict[str, Floats]) -> dict[str, dict[str, Any]]:
    """Choose the limit on all clips but one and judge that one with it, clip by clip.

    The limit is the middle between still scenes (with the edits that are no change) and changes.
    """
    results = {}
    for clip in FPS:
        chosen_on = np.array([pair.clip != clip for pair in pairs])
        still = chosen_on & np.array([pair.kind == "still" for pair in pairs])
        change = chosen_on & np.array([pair.label == "change" for pair in pairs])
        limit = middle(np.concatenate([changes[still], *edits.values()]), changes[change])
        tested = [pair for pair in pairs if pair.clip == clip]
        kinds = by_kind(tested, changes[~chosen_on], limit)
        results[clip] = {"limit": round(limit, 2)} | rates(tested, changes[~chosen_on], limit)
        results[clip]["false_alarms_on_still"] = kinds.get("still", {}).get("false_alarms", 0)
    return results


def sways(frames: list[Pixels], most: float) -> dict[str, dict[str, float]]:
    """Return the largest change, and the share of frames called changed, by a shift of the camera across."""
    rows = {}
    for shift_px in (1, 2, 3, 4, 6, 8, 10, 12):
        pairs = [
            (through_jpeg(pixels), through_jpeg(_shifted(pixels.astype(np.float64), 0, shift_px))) for pixels in frames
        ]
        changes = np.array([local_change(one, other) for one, other in pairs])
        rows[f"{shift_px} px"] = {"largest": round(float(changes.max()), 2), "called": int((changes > most).sum())}
    return rows


def objects(frames: list[Pixels], most: float) -> dict[str, dict[str, float]]:
    """Return the share of drawn and pasted objects that are found, by what they are and their height."""
    rng = np.random.default_rng(5)
    found: dict[str, dict[str, float]] = {}
    for percent in HEIGHTS_PERCENT:
        for contrast in CONTRASTS:
            row = found.setdefault(f"person-shaped, contrast {contrast}", {})
            row[f"{percent} %"] = _share(frames, most, lambda pixels: drawn(pixels, percent, contrast, rng))  # noqa: B023
        row = found.setdefault("square piece of another frame", {})
        row[f"{percent} %"] = _share(frames, most, lambda pixels: pasted(pixels, percent, frames, rng))  # noqa: B023
    return found


def _share(frames: list[Pixels], most: float, edit: Callable[[Pixels], Pixels]) -> float:
    bases = [frames[number % len(frames)] for number in range(DRAWN)]
    return round(float(np.mean([local_change(through_jpeg(pixels), edit(pixels)) > most for pixels in bases])), 2)


def streamed(clip: str, pairs: list[Pair], most: float, descriptor: Descriptor) -> dict[str, Any]:
    """Send a clip's frames in order through a filter without and with the second test, at the descriptor's radius."""
    frames, near = stream(clip, descriptor), frame_distances(clip, descriptor)
    thumbnails = np.stack([thumbnail_of(pixels) for pixels in frames])
    local = np.stack([largest_change(thumbnail, thumbnails) for thumbnail in thumbnails])
    still = set(NOTHING_MOVES.get(clip, ()))
    result: dict[str, Any] = {"clip": clip, "frames": len(frames), "still_frames": len(still)}
    result |= {"descriptor": descriptor.fingerprint, "radius": descriptor.default_radius}
    labelled = [pair for pair in pairs if pair.clip == clip and pair.label == "change"]
    for name, limit in (("off", np.inf), ("on", most)):
        alike = (near <= descriptor.default_radius) & (local <= limit)
        stands_for = represented(np.where(alike, near, np.inf), range(len(frames)))
        sampled = represented(np.where(alike, near, np.inf), np.arange(0, len(frames), FPS[clip]).astype(int).tolist())
        result[name] = {
            "uniques": len(set(stands_for.values())),
            "still_uniques": len(still & set(stands_for.values())),
            "changes_kept_apart": sum(stands_for[pair.frame_a] != stands_for[pair.frame_b] for pair in labelled),
            "uniques_at_1_fps": len(set(sampled.values())),
        }
    return result | {"labelled_changes": len(labelled), "frames_at_1_fps": len(sampled)}


def represented(distances: Floats, numbers: Iterable[int]) -> dict[int, int]:
    """Return for each frame the unique that stands for it: itself, or the nearest alike (finite) earlier one."""
    stands_for: dict[int, int] = {}
    uniques: list[int] = []
    for number in numbers:
        nearest = min(uniques, key=lambda unique: distances[number, unique], default=None)
        if nearest is None or np.isinf(distances[number, nearest]):
            uniques.append(number)
            nearest = number
        stands_for[number] = nearest
    return stands_for


def show(report: dict[str, Any]) -> None:
    """Print the report for people."""
    print(f"local change above {report['local_change']} is a change; {report['bytes_a_member']} bytes a member")
    print("microseconds a comparison:", report["microseconds_a_comparison"])
    for title in ("near", "pairs", "kinds", "held_out", "edits", "sways", "objects"):
        print(f"\n{title}")
        for name, row in report[title].items():
            print(f"  {name:32s}", "  ".join(f"{key} {value}" for key, value in row.items()))
    print("\nstreams")
    for row in report["streams"]:
        print(" ", "  ".join(f"{key} {value}" for key, value in row.items()))
    print("\ncalled by the wrong name")
    print(*(f"  {line}" for line in report["wrong"]), sep="\n")


if __name__ == "__main__":
    main()
