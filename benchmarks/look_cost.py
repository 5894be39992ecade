"""What the second look costs: CPU an image with it and without, in turn in one run, and bytes a member.

    .venv/bin/python -m benchmarks.look_cost [--members 20000] [--images 1000]

Members are random crops of photos of NEARDUP_DATA. Half of the images that arrive are copies of members (a crop, saved
again), half are photos that are none. Everything is done in one thread: decode, describe, look, judge.
"""

import argparse
import io
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from benchmarks.photos import data_folder
from benchmarks.quality.transforms import jpeg
from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.descriptors.names import COPYNET, hardly_sees_turns
from neardup.index.stored.codec import encode_member
from neardup.library.members import Members
from neardup.relation.describing import Describer, PreparedImage
from neardup.relation.images import side_by_side
from neardup.relation.looks.second_look import DEFAULT_AGREEMENT
from neardup.relation.rule import Relation
from neardup.types import Member, Variant

BATCH = 32
ROUNDS = 5


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--radius", type=float, help="with the second look (default: the descriptor's)")
    given = parser.parse_args()
    descriptor = load_descriptor(COPYNET)
    before = Relation(descriptor.default_radius)
    after = replace(
        before,
        radius=given.radius or before.radius,
        agreement=DEFAULT_AGREEMENT,
        turned_by_look=hardly_sees_turns(COPYNET),
        match_flips=True,
        match_rotations=True,
    )
    photos = sorted((data_folder() / "photos_small").glob("*.jpg"))
    random = np.random.default_rng(0)
    order = random.permutation(len(photos)).tolist()
    known, strange = order[: 2 * len(order) // 3], order[2 * len(order) // 3 :]
    stored = [_crop(photos[known[place % len(known)]].read_bytes(), random, 0.5) for place in range(given.members)]
    arriving = [
        _crop(stored[int(random.integers(len(stored)))], random, 0.9)
        if place % 2
        else photos[strange[place % len(strange)]].read_bytes()
        for place in range(given.images)
    ]
    with threadpool_limits(1):
        runs = {name: _Run(Describer(descriptor, relation), relation) for name, relation in _named(before, after)}
        for run in runs.values():
            run.fill(stored)
        for _ in range(ROUNDS):
            for run in runs.values():
                run.measure(arriving)
    for name, run in runs.items():
        print(f"{name}: {run.told()}")
    one, other = runs.values()
    extra = [sum(b.values()) - sum(a.values()) for a, b in zip(one.spent, other.spent, strict=True)]
    ratio = [sum(b.values()) / sum(a.values()) for a, b in zip(one.spent, other.spent, strict=True)]
    print(f"more an image: {statistics.median(extra):.2f} ms; ratio {statistics.median(ratio):.2f}")
    print(f"{given.members:,} members, {given.images:,} images, medians of {ROUNDS} rounds")


def _named(before: Relation, after: Relation) -> list[tuple[str, Relation]]:
    return [("without", before), (f"with, radius {after.radius:g}", after)]


def _crop(data: bytes, random: np.random.Generator, least: float) -> bytes:
    """Return a part of an encoded image, of which each side is at least so large a share, saved as JPEG."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    wide, high = (round(side * random.uniform(least, 1)) for side in image.size)
    left, top = int(random.integers(image.width - wide + 1)), int(random.integers(image.height - high + 1))
    return jpeg(image.crop((left, top, left + wide, top + high)), 80)


class _Run:
    """One relation, its members, and the ms that each round spent on an image, by step."""

    def __init__(self, describer: Describer, relation: Relation) -> None:
        self._describer, self._members = describer, Members(describer.descriptor.dimension, relation)
        self._parts = relation.parts
        self._bytes: list[int] = []
        self.spent: list[dict[str, float]] = []
        self._found = 0

    def fill(self, stored: Sequence[bytes]) -> None:
        for start in range(0, len(stored), BATCH):
            described = self._describe([self._prepare(data) for data in stored[start : start + BATCH]])
            self._bytes += [
                len(encode_member(Member("images-0-1234567", f"{start}.jpg", one[0].descriptor, 0, one[0].kept)))
                for one in described[:1]
            ]
            self._members.append(side_by_side(described, self._parts).with_variants())

    def measure(self, arriving: Sequence[bytes]) -> None:
        spent = dict.fromkeys(("decode and prepare", "describe", "judge"), 0.0)
        self._found = 0
        for start in range(0, len(arriving), BATCH):
            times = [time.thread_time()]
            prepared = [self._prepare(data) for data in arriving[start : start + BATCH]]
            times.append(time.thread_time())
            described = self._describe(prepared)
            times.append(time.thread_time())
            self._found += sum(self._members.alike(compared) is not None for compared in described)
            times.append(time.thread_time())
            for name, seconds in zip(spent, np.diff(times).tolist(), strict=True):
                spent[name] += 1000 * seconds / len(arriving)
        self.spent.append(spent)

    def told(self) -> str:
        steps = {name: statistics.median(each[name] for each in self.spent) for name in self.spent[0]}
        told = ", ".join(f"{name} {spent:.2f} ms" for name, spent in steps.items())
        return f"{told}; {self._found} duplicates; {statistics.mean(self._bytes):.0f} bytes a member's record"

    def _prepare(self, data: bytes) -> PreparedImage:
        return self._describer.prepare(decode(data, reduce_to_px=self._describer.reduce_to_px))

    def _describe(self, prepared: Sequence[PreparedImage]) -> list[tuple[Variant, ...]]:
        return self._describer.describe(prepared)


if __name__ == "__main__":
    main()
