"""What must hold of an index at rest, read from Redis without the code that wrote it."""

from collections import Counter
from typing import cast

import numpy as np
import redis

from neardup.index.base import IndexMeta
from neardup.index.stored.codec import decode_member, decode_sketcher
from neardup.index.stored.events import Split, decode_event
from neardup.index.stored.keys import IndexKeys
from neardup.index.tree import CellTree
from neardup.search.cells import Cells
from neardup.search.distance import l2_distances
from neardup.types import Descriptors, Member

_BLOCK = 2048


class Contents:
    """A generation as it lies in Redis.

    Parameters
    ----------
    client
        Of redis-py.
    name
        Of the index.
    """

    def __init__(self, client: redis.Redis, name: str) -> None:
        keys = IndexKeys(name)
        generation = int(cast("bytes", client.get(keys.live)))
        self.meta = IndexMeta.from_json(cast("bytes", client.get(keys.metadata(generation))))
        centroids = cast("bytes", client.get(keys.centroids(generation)))
        rows = np.frombuffer(centroids, dtype="<f4").reshape(-1, self.meta.dimension)
        stored = cast("bytes", client.get(keys.projection(generation)))
        self.sketcher = decode_sketcher(stored, self.meta.dimension)
        self.tree = CellTree(Cells(rows))
        for event in cast("list[bytes]", client.lrange(keys.splits(generation), 0, -1)):
            self.tree.apply(cast("Split", decode_event(event)))
        self.cells: dict[int, list[Member]] = {}
        for cell in range(self.tree.cell_count):
            records = cast("list[bytes]", client.lrange(keys.cell(generation, cell), 0, -1))
            if records:
                self.cells[cell] = [decode_member(record, self.meta.dimension) for record in records]

    @property
    def members(self) -> list[Member]:
        """All members."""
        return [member for members in self.cells.values() for member in members]

    def faults(self, max_cluster: int) -> list[str]:
        """Return what is wrong with the cells and their members, one line each."""
        found = [f"cell {cell} was divided and has members" for cell in self.cells if not self.tree.is_leaf(cell)]
        for cell, members in self.cells.items():
            descriptors = np.stack([member.descriptor for member in members])
            sketches = self.sketcher.sketch(descriptors)
            homes = self.tree.homes(descriptors, sketches)
            found += [
                f"{member.key} lies in cell {cell} and belongs to {home}"
                for member, home in zip(members, homes, strict=True)
                if home != cell
            ]
            if len(members) > max_cluster and np.ptp(sketches[:, :-1], axis=0).max() > 1e-8:
                found.append(f"cell {cell} has {len(members)} members, the limit is {max_cluster}")
        counts = Counter(member.key for member in self.members)
        return found + [f"{key} is there {count} times" for key, count in counts.items() if count > 1]


def pairs_within(descriptors: Descriptors, radius: float) -> list[tuple[int, int, float]]:
    """Return every pair of float16 (n, d) rows within the radius, and its distance, by comparing all with all."""
    found = []
    for start in range(0, len(descriptors), _BLOCK):
        block = descriptors[start : start + _BLOCK]
        for other in range(start, len(descriptors), _BLOCK):
            distances = l2_distances(block, descriptors[other : other + _BLOCK])
            for one, two in np.argwhere(distances <= radius):
                if start + one < other + two:
                    found.append((int(start + one), int(other + two), float(distances[one, two])))
    return found
