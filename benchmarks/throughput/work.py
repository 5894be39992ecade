"""Describe and decide so many images, and nothing else: a program whose instructions are counted.

python -m benchmarks.throughput.work PROFILE DESCRIBED DECIDED REDIS_URL INDEX
"""

import itertools
import sys

import numpy as np

from benchmarks.throughput.describing import describe_batch, describer_of
from benchmarks.throughput.images import DRAWN_PX, drawn
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect
from neardup.types import Descriptors, Query

BATCH = 64
DIFFERENT = 8


def main() -> None:
    """Describe, then decide."""
    profile, described, decided, url, name = sys.argv[1:]
    pictures = [drawn(number, DRAWN_PX) for number in range(DIFFERENT)]
    describer = describer_of(profile)
    for start in range(0, int(described), BATCH):
        size = min(BATCH, int(described) - start)
        compared, _ = describe_batch(describer, [pictures[number % DIFFERENT] for number in range(size)])
    index = RedisIndex(connect(url), name)
    # What is kept is that of the pictures; descriptors are far from one another, so that each image is new.
    kept = [variants[0].kept for variants in compared[:DIFFERENT]]
    for start, rows in enumerate(np.split(unit_rows(int(decided), index.meta.dimension), int(decided) // BATCH)):
        seen = zip(rows, itertools.cycle(kept), strict=False)
        index.decide(
            [
                Query(f"{start}-{place}", "", row, kept=of_picture, seeks_parts=describer.seeks_parts)
                for place, (row, of_picture) in enumerate(seen)
            ]
        )


def unit_rows(count: int, dimension: int) -> Descriptors:
    """Return float16 (count, dimension) of unit length, the same ones every time."""
    rows = np.random.default_rng(0).standard_normal((count, dimension))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float16)


if __name__ == "__main__":
    main()
