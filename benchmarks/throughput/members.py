"""An index filled with members of other images, as one is after months."""

from benchmarks.index_material import member_of, place
from benchmarks.real_descriptors import descriptors_of_images
from neardup.index.build import GenerationBuild
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect

MEMBERS = 1_000_000


def fill(redis_url: str, index: str, count: int) -> None:
    """Replace what is in an index by so many members of `dct`; the rest of it stays as it was bootstrapped."""
    client = connect(redis_url)
    meta = RedisIndex(client, index).meta
    rows, _ = descriptors_of_images(count, meta.descriptor)
    placed = place(rows)
    building = GenerationBuild(client, meta, placed.tree.roots.centroids, placed.sketcher, placed.splits)
    for cell, numbers in placed.rows_of.items():
        building.append(cell, [member_of(int(number), rows[number]) for number in numbers])
    building.publish()
