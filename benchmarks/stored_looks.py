"""How many members `neardup index verify` names that were rightly told apart, seeing half of the points that were.

    .venv/bin/python -m benchmarks.stored_looks [--photos 80] [--pictures 10]

Photos of the half *chosen* with five edits each, and drawn pages and cards of one layout with light edits, judged one
after the other by `--profile scraper` at the largest radius that calibration takes: which become members is then known
to be right. Beside them how many of the duplicates it would name, had they become members by mistake.

The photos are not part of the project: NEARDUP_DATA names their folder (default: ../shared/data).
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.photos import data_folder
from benchmarks.quality import low_texture
from benchmarks.quality.halves import half_of
from benchmarks.quality.setting import Described, described, settings
from benchmarks.quality.transforms import CORE, TRANSFORMS, jpeg, make_copy, photo_seed
from benchmarks.quality.widened import WIDENED
from bootstrap.live.checks import is_certain
from neardup.relation.kept import stored_kept
from neardup.search.distance import l2_distances, paired_l2_distances
from neardup.types import Descriptors, Kept

SETTING = settings()[0]
RELATION = SETTING.relation
KINDS = (*CORE, *WIDENED, "crop20", "meme")
EDITS = 5
EDITED = 3
"""Pictures of a class that get edits."""


def photos(folder: Path, count: int) -> Iterator[Described]:
    """Yield photos, each before its edits."""
    files = sorted(file for file in folder.glob("*.jpg") if half_of(file.name) == "chosen")
    for number, file in enumerate(files[:count]):
        image = Image.open(file).convert("RGB")
        image.thumbnail((512, 512))
        kinds = np.random.default_rng(number).choice(KINDS, EDITS, replace=False).tolist()
        copies = [make_copy(kind, image, photo_seed(0, file.name), TRANSFORMS | WIDENED) for kind in kinds]
        yield from described(SETTING, [file.read_bytes(), *copies])


def layouts(count: int) -> Iterator[Described]:
    """Yield drawn pictures, class by class."""
    for name in low_texture.LAYOUTS:
        for number in range(count):
            image = low_texture.picture(name, number, 0)
            edits = low_texture.drawn_edits(image, photo_seed(0, name)) if number < EDITED else {}
            yield from described(SETTING, [jpeg(image), *edits.values()])


@dataclass(frozen=True)
class Seen:
    """Images as they are judged, and as they are stored if they become members; a row each."""

    descriptors: Descriptors
    whole: Kept
    stored: Kept


def seen(found: Sequence[Described]) -> Seen:
    """Return the arrays of described images."""
    whole = [each[0].kept for each in found if each[0].kept is not None]
    stored = [each for each in map(stored_kept, whole) if each is not None]
    return Seen(np.stack([each[0].descriptor for each in found]), np.stack(whole), np.stack(stored))


def judged(images: Seen) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the rows that become members, and the pairs of a duplicate and a member before it that it duplicates."""
    members: list[int] = []
    duplicates: list[tuple[int, int]] = []
    for row, whole in enumerate(images.whole):
        l2 = l2_distances(images.descriptors[row : row + 1], images.descriptors[members])[0]
        near = np.array(members, dtype=np.intp)[l2 <= RELATION.radius]
        zeros = np.zeros(len(near), dtype=np.intp)
        allowed = RELATION.check(whole[np.newaxis], zeros, images.stored[near], l2[l2 <= RELATION.radius]).allowed
        duplicates += [(row, member) for member in near[allowed].tolist()]
        if not allowed.any():
            members.append(row)
    return members, duplicates


def named(images: Seen, pairs: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return how many pairs agree as they are stored, and of how many of these that is certain."""
    ones, others = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    l2 = paired_l2_distances(images.descriptors[ones], images.descriptors[others])
    agree = np.flatnonzero(RELATION.allow_both_ways(images.stored, ones, images.stored[others], l2)).tolist()
    certain = [
        is_certain(RELATION, images.stored[ones[pair]], images.stored[others[pair]], float(l2[pair])) for pair in agree
    ]
    return len(agree), sum(certain)


def measure(name: str, found: Sequence[Described]) -> None:
    """Print what verify says of members that are right, and of duplicates."""
    images = seen(found)
    members, duplicates = judged(images)
    l2 = l2_distances(images.descriptors[members], images.descriptors[members])
    near = [(members[one], members[other]) for one, other in np.argwhere(np.triu(l2 <= RELATION.radius, 1)).tolist()]
    for what, pairs in (("near pairs of members", near), ("duplicates and what they duplicate", duplicates)):
        agree, certain = named(images, pairs)
        print(
            f"{name}, {len(found)} images, {len(members)} members, {len(pairs)} {what}: {agree} agree, {certain} surely"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--photos", type=int, default=80)
    parser.add_argument("--pictures", type=int, default=10, help="of each drawn class")
    given = parser.parse_args()
    measure("drawn", list(layouts(given.pictures)))
    measure("photos", list(photos(data_folder() / "photos_eval", given.photos)))


if __name__ == "__main__":
    main()
