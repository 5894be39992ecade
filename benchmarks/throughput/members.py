"""An index filled with members of other images, as one is after months."""

from collections.abc import Callable

from benchmarks.index_material import member_of, place
from benchmarks.real_descriptors import descriptors_of_images
from neardup.index.build import GenerationBuild
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect

MEMBERS = 1_000_000
_TOLD = 10
"""How often it is said how many have been written."""


def _nothing(_: str) -> None:
    """Say nothing."""


def fill(redis_url: str, index: str, count: int, say: Callable[[str], None] = _nothing) -> None:
    """Replace what is in an index by so many members of `dct`; the rest of it stays as it was bootstrapped."""
    client = connect(redis_url)
    meta = RedisIndex(client, index).meta
    rows, source = descriptors_of_images(count, meta.descriptor)
    say(f"{count:,} descriptors: {source}; putting them into clusters")
    placed = place(rows)
    building = GenerationBuild(client, meta, placed.tree.roots.centroids, placed.sketcher, placed.splits)
    written = 0
    for cell, numbers in placed.rows_of.items():
        building.append(cell, [member_of(int(number), rows[number]) for number in numbers])
        tenths, written = _TOLD * written // count, written + len(numbers)
        if _TOLD * written // count > tenths:
            say(f"{written:,} of {count:,} members are in Redis")
    building.publish()
