"""What each choice of the second look is worth, alone: copies kept, and different pictures of one layout let through.

    .venv/bin/python -m benchmarks.look_choices [--photos 30] [--pictures 10] [--write-docs]

Photos of the half *chosen*, edits that choices may use, and the drawn classes for choices: what is reported is measured
by `make quality` on other photos, edits and classes.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from benchmarks.pages import share, table, with_tables
from benchmarks.photos import data_folder
from benchmarks.quality.halves import half_of
from benchmarks.quality.low_texture import LAYOUTS, layout_edits, picture
from benchmarks.quality.transforms import CORE_UPRIGHT, TRANSFORMS, jpeg, make_copy, photo_seed
from benchmarks.quality.widened import WIDENED
from neardup.cores import cores
from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.descriptors.names import COPYNET
from neardup.relation.describing import Describer
from neardup.relation.looks import common_map, contradiction, points, second_look
from neardup.relation.looks.second_look import DEFAULT_AGREEMENT
from neardup.relation.rule import Relation
from neardup.search.distance import l2_distances
from neardup.types import Variant

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs/second-look.md", ROOT / "benchmarks/results/look_choices.json"
TURNED = ("flip", "rotate90")
SYMMETRIC = frozenset(name for name, transform in TRANSFORMS.items() if transform.kind == "symmetric")
"""Kinds of the list that are other pictures unless they are asked for."""


@dataclass(frozen=True)
class Choice:
    """One change to the code as it is.

    Attributes
    ----------
    text
        For people.
    changes
        Constants: the module, their name, their value.
    """

    text: str
    changes: tuple[tuple[ModuleType, str, Any], ...] = ()


def _levels(count: int, shares: Sequence[float]) -> tuple[tuple[ModuleType, str, Any], ...]:
    scales = points.STEP ** np.concatenate([np.arange(count), np.arange(1 - count, 0)])
    halves = 2.0 ** (np.arange(-count, count) + 0.5)
    levels = [(module, "LEVELS", count) for module in (points, common_map, second_look)]
    return (
        *levels,
        (points, "_SHARES", tuple(shares)),
        (common_map, "_SCALES", scales),
        (second_look, "_HALF_LEVELS", halves),
    )


CHOICES = (
    Choice("as it is"),
    Choice("plain pictures need no more", ((second_look, "_MORE_IF_PLAIN", 0.0),)),
    Choice("cells of drawn pictures are not compared", ((contradiction, "_FEWEST", 1000),)),
    Choice("points along edges, too", ((points, "_MOST_CURVED", 1e9),)),
    Choice("a map held to 3 pixels", ((common_map, "FITTED_PX", 3.0), (second_look, "FITTED_PX", 3.0))),
    Choice("no more needed where neither lies within the other", ((second_look, "_LEAST_COVER", 1.0),)),
    Choice("no more needed after a turn", ((second_look, "_MORE_IF_TURNED", 1.0),)),
    Choice("three sizes", _levels(3, (0.40, 0.34, 0.26))),
    Choice("six sizes", _levels(6, (0.30, 0.25, 0.20, 0.14, 0.08, 0.03))),
)


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--photos", type=int, default=30)
    parser.add_argument("--pictures", type=int, default=10, help="of each class")
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--write-docs", action="store_true")
    given = parser.parse_args()
    found = sorted(path for path in (data_folder() / "photos_eval").glob("*.jpg") if half_of(path.name) == "chosen")
    photos = found[:: max(1, len(found) // given.photos)][: given.photos]
    rows = []
    with ProcessPoolExecutor(given.workers) as pool:
        for number, choice in enumerate(CHOICES):
            kept = np.concatenate(list(pool.map(partial(_kept, number), photos)))
            classes = list(pool.map(partial(_class, number, given.pictures), LAYOUTS))
            copies, turned = kept[:, 0], kept[:, 1]
            rows.append(
                {
                    "choice": choice.text,
                    "copies": float(copies[~np.isnan(copies)].mean()),
                    "turned": float(turned[~np.isnan(turned)].mean()),
                    "light": float(np.mean([light for light, _ in classes])),
                    "false": float(np.mean([false for _, false in classes])),
                }
            )
            print(*_line(rows[-1]), sep=", ", flush=True)
    results = {"photos": len(photos), "pictures": given.pictures, "classes": len(LAYOUTS), "rows": rows}
    given.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    if given.write_docs:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), tables(results)), "utf-8")


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Return the page's table."""
    head = (
        "what is changed",
        "copies kept",
        "turned copies kept",
        "light edits kept",
        "different pictures let through",
    )
    return {"choices": table(head, [_line(row) for row in results["rows"]])}


def _line(row: dict[str, Any]) -> list[str]:
    return [str(row["choice"]), *(share(row[name]) for name in ("copies", "turned", "light", "false"))]


@cache
def _loaded() -> Descriptor:
    return load_descriptor(COPYNET)


@contextmanager
def _as_chosen(number: int) -> Iterator[tuple[Describer, Relation]]:
    """Make a choice, and give what describes and compares by it, at any distance."""
    descriptor = _loaded()
    switches = {"match_flips": True, "match_rotations": True}
    relation = Relation(descriptor.candidate_radius, None, DEFAULT_AGREEMENT, turned_by_look=True, **switches)
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1))
        for module, name, value in CHOICES[number].changes:
            stack.enter_context(patch.object(module, name, value))
        yield Describer(descriptor, relation), relation


def _described(describer: Describer, images: Sequence[bytes]) -> list[Variant]:
    prepared = [describer.prepare(decode(data, reduce_to_px=describer.reduce_to_px)) for data in images]
    return [variants[0] for variants in describer.describe(prepared)]


def _alike(relation: Relation, later: Variant, earlier: Variant, *, near: bool) -> bool:
    """Return whether a look finds both the same; `near` whether their distance has to allow it, too."""
    l2 = float(l2_distances(later.descriptor[np.newaxis], earlier.descriptor[np.newaxis])[0, 0])
    allowed = bool(relation.check_one(later.kept, earlier.kept, l2).allowed[0])
    return allowed and (l2 <= relation.radius or not near)


def _kept(number: int, photo: Path) -> list[tuple[float, float]]:
    """Return for each edit of a photo whether a look keeps it: as copy, as turned copy; what it is none of is NaN."""
    image, seed = Image.open(photo).convert("RGB"), photo_seed(0, photo.name)
    upright = [name for name in CORE_UPRIGHT if name not in SYMMETRIC]
    copies = [make_copy(name, image, seed) for name in upright]
    copies += [make_copy(name, image, seed, WIDENED) for name in WIDENED]
    turned = [make_copy(name, image, seed) for name in TURNED]
    with _as_chosen(number) as (describer, relation):
        original, *described = _described(describer, [jpeg(image), *copies, *turned])
        alike = [float(_alike(relation, each, original, near=False)) for each in described]
    kinds = len(copies)
    return [(each, np.nan) if place < kinds else (np.nan, each) for place, each in enumerate(alike)]


def _class(number: int, pictures: int, name: str) -> tuple[float, float]:
    """Return the share of light edits found, and of pairs of different pictures called duplicates, of one class."""
    images = [picture(name, which, 0) for which in range(pictures)]
    copies = [
        layout_edits(image, photo_seed(0, f"{name}/{which}")) for which, image in enumerate(images[: pictures // 2])
    ]
    with _as_chosen(number) as (describer, relation):
        stored = _described(describer, [jpeg(image) for image in images])
        found = [
            _alike(relation, copy, original, near=False)
            for original, own in zip(stored, copies, strict=False)
            for copy in _described(describer, own)
        ]
        false = [
            _alike(relation, later, earlier, near=True)
            for later in stored
            for earlier in stored
            if later is not earlier
        ]
    return float(np.mean(found)), float(np.mean(false))


if __name__ == "__main__":
    main()
