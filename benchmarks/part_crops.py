"""By which crops of an image a picture inside it is found, and what they cost: the choice behind `--match-parts`.

    .venv/bin/python -m benchmarks.part_crops [--write-docs]

Found: photos of `photos_eval` of the half for choices (`benchmarks/quality/halves.py`), and copies that show each in a
larger picture (`benchmarks/quality/widened.py`): in how many does a crop of the copy lie within the radius of the
photo, and how many does the second look leave. Strangers: photos of `photos_small`, all different, and the drawn
pictures of one layout of `benchmarks/quality/low_texture.py`: how many pairs come within the radius through crops
alone, and how many the second look leaves. The photos are not part of the project: NEARDUP_DATA names their folder.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.pages import share, table, with_tables
from benchmarks.quality.__main__ import data_folder
from benchmarks.quality.halves import half_of
from benchmarks.quality.low_texture import LAYOUTS, picture
from benchmarks.quality.transforms import TRANSFORMS, jpeg, make_copy, photo_seed
from benchmarks.quality.widened import WIDENED
from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.relation.crops import CROPS, cropped
from neardup.relation.describing import Describer
from neardup.relation.look import look_of, stored_look
from neardup.relation.rule import Relation
from neardup.relation.second_look import DEFAULT_AGREEMENT, UNLIKE_L2, looks
from neardup.search.distance import l2_distances
from neardup.types import Box, Pixels

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs/parts.md", ROOT / "benchmarks/results/part_crops.json"
INSIDE = ("picture_in_picture", "collage", "phone_screenshot", "caption_bars", "screen_photo", "scan")
"""Edits that show the photo in a larger picture."""
CUT = ("side_cut30", "crop20")
"""Edits that show a part of the photo: for these, crops of the member might help."""
EDITS = {name: (TRANSFORMS | WIDENED)[name] for name in (*INSIDE, *CUT)}
RADII = (0.64, 0.7, 0.8)
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
MOST_CROPS = 6
LAYOUT_PICTURES = 24
BATCH = 64

Row = dict[str, Any]
Floats = NDArray[np.float64]


def sides(percent: int) -> dict[str, Box]:
    """Return the part at the left, right, top and bottom that has such a share of the image."""
    part, rest = percent / 100, 1 - percent / 100
    return {
        f"left {percent}": (0.0, 0.0, part, 1.0),
        f"right {percent}": (rest, 0.0, 1.0, 1.0),
        f"top {percent}": (0.0, 0.0, 1.0, part),
        f"bottom {percent}": (0.0, rest, 1.0, 1.0),
    }


def middle(across: int, down: int) -> Box:
    """Return the part in the middle that has such shares, in percent, of the width and of the height."""
    left, top = (100 - across) / 200, (100 - down) / 200
    return (left, top, 1 - left, 1 - top)


CANDIDATES: dict[str, Box] = {
    **{name: box for percent in (50, 60, 70, 75) for name, box in sides(percent).items()},
    **{f"centre {percent}": middle(percent, percent) for percent in (50, 60, 70, 80)},
    **{f"middle row {percent}": middle(100, percent) for percent in (50, 60, 70)},
    **{f"middle column {percent}": middle(percent, 100) for percent in (50, 60, 70)},
}
SETS: dict[str, tuple[str, ...]] = {
    "no crop": (),
    **{f"four sides of {percent} %": tuple(sides(percent)) for percent in (50, 60, 70, 75)},
    **{f"centre of {percent} %": (f"centre {percent}",) for percent in (50, 60, 70, 80)},
    "four sides of 50 %, centre of 70 %": (*sides(50), "centre 70"),
    "four sides of 60 %, centre of 60 %": (*sides(60), "centre 60"),
    "four halves, centres of 60 and 80 %": (*sides(50), "centre 60", "centre 80"),
    "four sides of 60 %, centres of 60 and 80 %": (*sides(60), "centre 60", "centre 80"),
    "four halves, middle row of 50 %, centre of 70 %": (*sides(50), "middle row 50", "centre 70"),
    "four halves, middle row and column of 60 %": (*sides(50), "middle row 60", "middle column 60"),
    "every candidate": tuple(CANDIDATES),
}


class Seen:
    """Images as they are compared: by whole and crops, and by their looks.

    Attributes
    ----------
    rows
        float16 (n, 1 + crops, d), of the whole image first.
    looks
        uint8 (n, b), of the whole images.
    """

    def __init__(self, images: Iterator[bytes], descriptor: Descriptor, boxes: Sequence[Box]) -> None:
        size = round(descriptor.reduce_to_px / min(min(b[2] - b[0], b[3] - b[1]) for b in (WHOLE, *boxes)))
        rows, found = [], []
        for some in batched(images):
            pixels = [decode(data, reduce_to_px=size) for data in some]
            inputs = [descriptor.prepare(each) for image in pixels for each in parts(image, boxes)]
            rows.append(descriptor.describe(inputs).reshape(len(some), 1 + len(boxes), -1))
            found += [look_of(image) for image in pixels]
        self.rows = np.concatenate(rows)
        self.looks = np.stack(found)

    @property
    def stored(self) -> NDArray[np.uint8]:
        """What is stored of the looks, uint8 (n, b)."""
        return np.stack([stored_look(each) for each in self.looks])


def batched(images: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Iterate over the images, some at a time."""
    remaining = iter(images)
    while some := list(islice(remaining, BATCH)):
        yield some


def parts(pixels: Pixels, boxes: Sequence[Box]) -> Iterator[Pixels]:
    """Iterate over the image and its crops."""
    yield pixels
    for box in boxes:
        yield cropped(pixels, box)


# -- copies -----------------------------------------------------------------------------------------------------------


def agreed(later: NDArray[np.uint8], stored: NDArray[np.uint8]) -> bool:
    """Return whether the second look finds the earlier picture in the later one."""
    found = looks(later, stored[np.newaxis], np.full(1, UNLIKE_L2), DEFAULT_AGREEMENT, ())
    return bool(found.agreement[0] >= found.needed[0])


def copy_of(edit: str, photo: Path, data: bytes) -> bytes:
    """Return an edited copy of a photo."""
    return make_copy(edit, Image.fromarray(decode(data)), photo_seed(0, photo.name), EDITS)


def measure_copies(descriptor: Descriptor, photos: Sequence[Path]) -> tuple[dict[str, Floats], dict[str, Any]]:
    """Return how far whole and crops of each copy lie from the photo, and the other way; and what a look confirms.

    The first by edit, float64 (photos, 1 + candidates); of `CUT` also by ``member EDIT``, for crops of the photo.
    """
    boxes = tuple(CANDIDATES.values())
    data = [photo.read_bytes() for photo in photos]
    originals = Seen(iter(data), descriptor, boxes)
    stored = originals.stored
    apart: dict[str, Floats] = {}
    confirmed: dict[str, Any] = {}
    for name in EDITS:
        copies = Seen(
            (
                make_copy(name, Image.fromarray(decode(d)), photo_seed(0, p.name), EDITS)
                for d, p in zip(data, photos, strict=True)
            ),
            descriptor,
            boxes,
        )
        apart[name] = pairwise(copies.rows, originals.rows[:, :1])
        confirmed[name] = np.array([agreed(a, b) for a, b in zip(copies.looks, stored, strict=True)])
        if name in CUT:
            apart[f"member {name}"] = pairwise(originals.rows, copies.rows[:, :1])
    return apart, confirmed


def pairwise(crops: NDArray[np.float16], whole: NDArray[np.float16]) -> Floats:
    """Return float64 (n, c): how far each of an image's crops, (n, c, d), lies from the other image, (n, 1, d)."""
    return np.stack([l2_distances(each, other)[:, 0] for each, other in zip(crops, whole, strict=True)])


def shares_found(apart: Mapping[str, Floats], names: Sequence[str], radius: float) -> dict[str, float]:
    """Return the share of each edit's copies that these crops, or the whole, bring within the radius."""
    columns = [0, *(1 + list(CANDIDATES).index(name) for name in names)]
    return {edit: float((l2[:, columns].min(axis=1) <= radius).mean()) for edit, l2 in apart.items()}


def greedy(apart: Mapping[str, Floats], radius: float) -> list[str]:
    """Return the crops that find most pairs of `INSIDE`, each beside those before it."""
    chosen: list[str] = []
    for _ in range(MOST_CROPS):
        left = [name for name in CANDIDATES if name not in chosen]
        chosen.append(max(left, key=lambda name: sum_found(apart, [*chosen, name], radius)))
    return chosen


def sum_found(apart: Mapping[str, Floats], names: Sequence[str], radius: float) -> float:
    """Return the shares found of `INSIDE`, added up."""
    found = shares_found(apart, names, radius)
    return sum(found[edit] for edit in INSIDE)


# -- strangers --------------------------------------------------------------------------------------------------------


def false_pairs(seen: Seen, radius: float) -> Row:
    """Return how many ordered pairs come within the radius, and how many the second look leaves: whole and by crops."""
    stored, rows = seen.stored, seen.rows
    counts = {"pairs": len(rows) * (len(rows) - 1), "whole": 0, "crops": 0, "crops_after_look": 0}
    members = rows[:, 0].astype(np.float32)
    for number, (row, look) in enumerate(zip(rows.astype(np.float32), seen.looks, strict=True)):
        near = 2.0 - 2.0 * (row @ members.T) <= radius * radius
        near[:, number] = False
        through = np.flatnonzero(near[1:].any(axis=0) & ~near[0])
        counts["whole"] += int(near[0].sum())
        counts["crops"] += len(through)
        found = looks(look, stored[through], np.full(len(through), UNLIKE_L2), DEFAULT_AGREEMENT, ())
        counts["crops_after_look"] += int((found.agreement >= found.needed).sum())
    return counts


# -- all --------------------------------------------------------------------------------------------------------------


def cost_ms(descriptor: Descriptor, images: Sequence[bytes]) -> dict[str, float]:
    """Return CPU milliseconds an image, from bytes to what is compared: without crops and with them."""
    found = {}
    for name, match_parts in (("without", False), ("with", True)):
        describer = Describer(descriptor, Relation(0.0, agreement=DEFAULT_AGREEMENT, match_parts=match_parts))
        times = []
        for some in batched(images):
            start = time.process_time()
            describer.describe([describer.prepare(decode(data, reduce_to_px=describer.reduce_to_px)) for data in some])
            times.append((time.process_time() - start) / len(some))
        found[name] = round(1000 * float(np.median(times)), 2)
    return found


def measure(every: int) -> Row:
    """Return all figures; of every so many photos."""
    folder = data_folder()
    descriptor = load_descriptor("copynet")
    radius = descriptor.default_radius
    photos = [each for each in sorted((folder / "photos_eval").glob("*.jpg")) if half_of(each.name) == "chosen"][
        ::every
    ]
    apart, confirmed = measure_copies(descriptor, photos)
    chosen = [name for name, box in CANDIDATES.items() if box in CROPS]
    columns = [0, *(1 + list(CANDIDATES).index(name) for name in chosen)]
    near = {edit: apart[edit][:, columns].min(axis=1) <= radius for edit in EDITS}
    small = sorted((folder / "photos_small").glob("*.jpg"))[:: 8 * every]
    strangers = {"photos": false_pairs(Seen((file.read_bytes() for file in small), descriptor, CROPS), radius)}
    for name in LAYOUTS:
        drawn = (jpeg(picture(name, number, 0, among=LAYOUTS)) for number in range(LAYOUT_PICTURES))
        strangers[name] = false_pairs(Seen(drawn, descriptor, CROPS), radius)
    return {
        "command": ".venv/bin/python -m benchmarks.part_crops",
        "fingerprint": descriptor.fingerprint,
        "radius": radius,
        "photos": len(photos),
        "small": len(small),
        "greedy": {f"{r:g}": greedy(apart, r) for r in RADII},
        "sets": {name: {f"{r:g}": shares_found(apart, names, r) for r in RADII} for name, names in SETS.items()},
        "crops": chosen,
        "confirmed": {edit: float((near[edit] & confirmed[edit]).mean()) for edit in EDITS},
        "confirmed_whole": {edit: float(((apart[edit][:, 0] <= radius) & confirmed[edit]).mean()) for edit in EDITS},
        "could_be_confirmed": {edit: float(confirmed[edit].mean()) for edit in EDITS},
        "strangers": strangers,
        "cost_ms": cost_ms(descriptor, [photo.read_bytes() for photo in photos[: 4 * BATCH]]),
    }


def tables(result: Row) -> dict[str, str]:
    """Return the figures of the page by the name of their place."""
    first, *wider = result["sets"]["no crop"]
    greedily = [[radius, ", ".join(names)] for radius, names in result["greedy"].items()]
    sets = [
        [
            name,
            *(share(found[first][edit]) for edit in INSIDE),
            *(share(sum(found[radius][edit] for edit in INSIDE) / len(INSIDE)) for radius in (first, *wider)),
        ]
        for name, found in result["sets"].items()
    ]
    members = [
        [name, *(share(found[first][f"{whose}{edit}"]) for edit in CUT for whose in ("", "member "))]
        for name, found in result["sets"].items()
    ]
    edits = [
        [
            EDITS[edit].text,
            *(share(result[key][edit]) for key in ("confirmed_whole", "confirmed", "could_be_confirmed")),
        ]
        for edit in EDITS
    ]
    strangers = [
        [name, *(f"{row[key]:,}" for key in ("pairs", "whole", "crops", "crops_after_look"))]
        for name, row in result["strangers"].items()
    ]
    of_cut = [f"`{edit}`, crops of the {whose}" for edit in CUT for whose in ("copy", "member")]
    means = [f"mean at {radius}" for radius in (first, *wider)]
    return {
        "crops": table(["crops", *(f"`{edit}`" for edit in INSIDE), *means], sets),
        "greedy": table(["radius", "crops, each the one that finds most beside those before it"], greedily),
        "found": table(["copy", "without parts", "with parts", "the look alone"], edits),
        "strangers": table(["pictures", "pairs", "near as a whole", "near by a part only", "left"], strangers),
        "members": table(["crops", *of_cut], members),
        "cost": table(
            ["", "CPU ms an image"], [[f"{name} parts", f"{ms:.2f}"] for name, ms in result["cost_ms"].items()]
        ),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--every", type=int, default=1, help="measure with every so many photos only")
    parser.add_argument("--write-docs", action="store_true", help="write the tables into docs/parts.md")
    given = parser.parse_args()
    result = measure(given.every)
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    for text in tables(result).values():
        print(text, end="\n\n")
    if given.write_docs:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), tables(result)), "utf-8")


if __name__ == "__main__":
    main()
