"""What `--match-parts` finds, and what it costs: insets that are found, beside six fixed crops and none.

    .venv/bin/python -m benchmarks.part_crops [--every N] [--write-docs]

Found: photos of `photos_eval` of the half for choices (`benchmarks/quality/halves.py`), shown in a larger picture
(`benchmarks/quality/widened.py`, `framings.py`): of how many lies a part within the radius, and which of these does the
second look leave. Strangers: other photos of that half, and drawn pictures of one layout: how many pairs come within
the radius through parts alone, and how many are left. The photos are not part of the project: NEARDUP_DATA names them.
"""

import argparse
import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits

from benchmarks.pages import share, table, with_tables
from benchmarks.photos import data_folder
from benchmarks.quality.framings import FRAMINGS
from benchmarks.quality.halves import half_of
from benchmarks.quality.low_texture import LAYOUTS, picture
from benchmarks.quality.transforms import TRANSFORMS, jpeg, make_copy, photo_seed
from benchmarks.quality.widened import WIDENED
from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.relation.describing import Describer
from neardup.relation.insets import cropped, insets
from neardup.relation.looks.look import look_of, stored_look
from neardup.relation.looks.second_look import DEFAULT_AGREEMENT, UNLIKE_L2, looks
from neardup.relation.rule import Relation
from neardup.types import Box, Pixels

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs/parts.md", ROOT / "benchmarks/results/part_crops.json"
FIXED: tuple[Box, ...] = (
    (0.0, 0.0, 0.5, 1.0),
    (0.5, 0.0, 1.0, 1.0),
    (0.0, 0.0, 1.0, 0.5),
    (0.0, 0.5, 1.0, 1.0),
    (0.0, 0.25, 1.0, 0.75),
    (0.15, 0.15, 0.85, 0.85),
)
"""The four halves, a landscape across the middle, and the centre: the best six that are the same in each image."""
WAYS: dict[str, Callable[[Pixels], Sequence[Box]]] = {
    "off": lambda _: (),
    "found": insets,
    "six fixed": lambda _: FIXED,
}
COPIES = {
    name: (TRANSFORMS | WIDENED)[name]
    for name in (
        "phone_screenshot",
        "collage",
        "picture_in_picture",
        "caption_bars",
        "scan",
        "screenshot",
        "meme",
        "letterbox",
    )
}
LAYOUT_PICTURES = 24
BATCH = 64
ROUNDS = 5

Row = dict[str, Any]
Make = Callable[[Path], bytes]


class Seen:
    """Images as they are compared, in each way.

    Attributes
    ----------
    whole
        float32 (n, d).
    looks
        uint8 (n, b).
    parts, part_looks
        By way, the parts of each image, float32 (k, d), and their looks, uint8 (k, b).
    """

    def __init__(self, images: Iterable[bytes], descriptor: Descriptor) -> None:
        pixels = [decode(data, reduce_to_px=Describer(descriptor, _relation()).reduce_to_px) for data in images]
        self.whole = _described(descriptor, pixels)
        self.parts: dict[str, list[NDArray[np.float32]]] = {}
        self.part_looks: dict[str, list[list[NDArray[np.uint8]]]] = {}
        for way, find in WAYS.items():
            found = [[(box, cropped(each, box)) for box in find(each)] for each in pixels]
            self.parts[way] = [_described(descriptor, [part for _, part in parts]) for parts in found]
            self.part_looks[way] = [[look_of(part, box) for box, part in parts] for parts in found]
        self.looks = np.stack([look_of(each) for each in pixels])

    @property
    def stored(self) -> NDArray[np.uint8]:
        """What is stored of the looks, uint8 (n, b)."""
        return np.stack([stored_look(each) for each in self.looks])


def _relation(*, match_parts: bool = False) -> Relation:
    return Relation(0.0, agreement=DEFAULT_AGREEMENT, match_parts=match_parts)


def _described(descriptor: Descriptor, pixels: Sequence[Pixels]) -> NDArray[np.float32]:
    if not pixels:
        return np.empty((0, descriptor.dimension), dtype=np.float32)
    return descriptor.describe([descriptor.prepare(each) for each in pixels]).astype(np.float32)


def _near(rows: NDArray[np.float32], members: NDArray[np.float32], radius: float) -> NDArray[np.bool_]:
    """Return which members, (n, d), lie within the radius of each row, (m, d), bool (m, n)."""
    return np.asarray(2.0 - 2.0 * rows @ members.T <= radius * radius).reshape(len(rows), len(members))


def _agreed(later: NDArray[np.uint8], stored: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return in which of the earlier pictures, (n, b), a second look finds the later one's, bool (n,)."""
    found = looks(later, stored, np.full(len(stored), UNLIKE_L2), DEFAULT_AGREEMENT)
    return np.asarray(found.agreement >= found.needed)


# -- copies -----------------------------------------------------------------------------------------------------------


def makers() -> dict[str, Make]:
    """Return by name what makes a larger picture of a photo."""

    def copied(name: str) -> Make:
        return lambda photo: make_copy(name, _image(photo), photo_seed(0, photo.name), COPIES)

    def framed(name: str) -> Make:
        return lambda photo: jpeg(FRAMINGS[name].make(_image(photo), _random(name, photo))[0], 90)

    return {name: copied(name) for name in COPIES} | {name: framed(name) for name in FRAMINGS}


def _image(photo: Path) -> Image.Image:
    return Image.fromarray(decode(photo.read_bytes()))


def _random(name: str, photo: Path) -> np.random.Generator:
    key = hashlib.sha256(f"{photo_seed(0, photo.name)}:{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(key[:8], "big"))


def of_copies(copies: Seen, originals: Seen, radius: float) -> Row:
    """Return what each way finds of larger pictures: in shares that are near, and that the second look leaves."""
    alone = np.array([_agreed(a, b[None])[0] for a, b in zip(copies.looks, originals.stored, strict=True)])
    found: Row = {"look": float(alone.mean())}
    for way, parts in copies.parts.items():
        near, left = np.zeros((2, len(alone)), dtype=np.bool_)
        for number, (own, stored) in enumerate(zip(originals.whole, originals.stored, strict=True)):
            whole = bool(_near(copies.whole[number : number + 1], own[None], radius)[0, 0])
            by_part = _near(parts[number], own[None], radius)[:, 0]
            near[number] = whole or by_part.any()
            left[number] = (whole and alone[number]) or any(
                _agreed(look, stored[None])[0]
                for look, is_near in zip(copies.part_looks[way][number], by_part, strict=True)
                if is_near
            )
        found[way] = {
            "near": float(near.mean()),
            "left": float(left.mean()),
            "parts": statistics.mean(map(len, parts)),
        }
    return found


# -- strangers --------------------------------------------------------------------------------------------------------


def of_strangers(seen: Seen, radius: float) -> Row:
    """Return how many ordered pairs come within the radius as wholes, by parts alone, and are left of the latter."""
    count, stored = len(seen.whole), seen.stored
    found: Row = {"pairs": count * (count - 1), "whole": 0}
    found |= {way: {"near": 0, "left": 0, "parts": statistics.mean(map(len, seen.parts[way]))} for way in WAYS}
    for row in range(count):
        whole = _near(seen.whole[row : row + 1], seen.whole, radius)[0]
        whole[row] = True
        found["whole"] += int(whole.sum()) - 1
        for way, parts in seen.parts.items():
            by_part = _near(parts[row], seen.whole, radius) & ~whole
            left = np.zeros(count, dtype=np.bool_)
            for look, near in zip(seen.part_looks[way][row], by_part, strict=True):
                others = np.flatnonzero(near)
                left[others] |= _agreed(look, stored[others]) if len(others) else False
            found[way]["near"] += int(by_part.any(axis=0).sum())
            found[way]["left"] += int(left.sum())
    return found


# -- cost -------------------------------------------------------------------------------------------------------------


def cost_ms(descriptor: Descriptor, images: Sequence[bytes]) -> dict[str, float]:
    """Return CPU ms an image, from bytes to what is compared, by way: in turn, the least of some rounds."""
    spent: dict[str, list[float]] = {way: [] for way in WAYS}
    with threadpool_limits(1):
        for _ in range(ROUNDS):
            for way, find in WAYS.items():
                describer = Describer(descriptor, _relation(match_parts=way != "off"))
                with patch("neardup.relation.describing.insets", find):
                    start = time.process_time()
                    for some in _batched(images):
                        pixels = [decode(data, reduce_to_px=describer.reduce_to_px) for data in some]
                        describer.describe([describer.prepare(each) for each in pixels])
                    spent[way].append((time.process_time() - start) / len(images))
    return {way: round(1000 * min(each), 2) for way, each in spent.items()}


def finding_ms(images: Sequence[bytes]) -> float:
    """Return CPU ms that looking for insets takes in an image: the median over images of the least of some rounds."""
    found = []
    for data in images:
        pixels, times = decode(data, reduce_to_px=128), []
        for _ in range(ROUNDS):
            start = time.thread_time()
            insets(pixels)
            times.append(time.thread_time() - start)
        found.append(min(times))
    return round(1000 * statistics.median(found), 2)


def _batched(images: Iterable[bytes]) -> Iterator[list[bytes]]:
    remaining = iter(images)
    while some := list(islice(remaining, BATCH)):
        yield some


# -- all --------------------------------------------------------------------------------------------------------------


def measure(every: int) -> Row:
    """Return all figures; of every so many photos."""
    descriptor = load_descriptor("copynet")
    radius = descriptor.candidate_radius
    every_photo = sorted((data_folder() / "photos_eval").glob("*.jpg"))
    photos = [each for each in every_photo if half_of(each.name) == "chosen"][::every]
    data = [photo.read_bytes() for photo in photos]
    originals = Seen(data, descriptor)
    made = {name: [make(photo) for photo in photos] for name, make in makers().items()}
    strangers = {"photos": of_strangers(originals, radius)}
    for name in LAYOUTS:
        drawn = (jpeg(picture(name, number, 0, among=LAYOUTS)) for number in range(LAYOUT_PICTURES))
        strangers[name] = of_strangers(Seen(drawn, descriptor), radius)
    return {
        "command": f".venv/bin/python -m benchmarks.part_crops --every {every}",
        "fingerprint": descriptor.fingerprint,
        "radius": radius,
        "photos": len(photos),
        "copies": {name: of_copies(Seen(copies, descriptor), originals, radius) for name, copies in made.items()},
        "strangers": strangers,
        "cost_ms": {name: cost_ms(descriptor, some) for name, some in (("photos", data), ("page", made["page"]))},
        "finding_ms": finding_ms(data),
    }


def tables(result: Row) -> dict[str, str]:
    """Return the figures of the page by the name of their place."""
    texts = {name: kind.text for name, kind in (COPIES | FRAMINGS).items()}
    copies = [
        [
            texts[name],
            *(share(row[way][key]) for key in ("near", "left") for way in WAYS),
            share(row["look"]),
            f"{row['found']['parts']:.1f}",
        ]
        for name, row in result["copies"].items()
    ]
    strangers = [
        [
            name,
            f"{row['pairs']:,}",
            f"{row['whole']:,}",
            *(f"{row[way][key]:,}" for way in ("found", "six fixed") for key in ("near", "left")),
            f"{row['found']['parts']:.1f}",
        ]
        for name, row in result["strangers"].items()
    ]
    cost = [
        [name, *(f"{row[way]:.2f}" for way in WAYS), *(f"{row[way] / row['off']:.2f}" for way in list(WAYS)[1:])]
        for name, row in result["cost_ms"].items()
    ]
    return {
        "found": table(
            [
                "picture",
                *(f"near, {way}" for way in WAYS),
                *(f"left, {way}" for way in WAYS),
                "the look alone",
                "insets",
            ],
            copies,
        ),
        "strangers": table(
            [
                "pictures",
                "pairs",
                "near as a whole",
                "near by an inset only",
                "left",
                "near by a fixed crop only",
                "left",
                "insets a picture",
            ],
            strangers,
        ),
        "cost": table(["images", *(f"{way}, ms" for way in WAYS), "found : off", "six fixed : off"], cost),
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
