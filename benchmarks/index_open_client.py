"""The process that `index_open.py` measures: a client of an index, which does what it is told.

Any build runs it, in its own way, so it asks little of the package. Commands come as lines of JSON, a name and numbers;
each is answered with a line that says what it cost. CPU is that of this process alone.
"""

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from benchmarks.index_material import member_of, place
from neardup.index.base import IndexMeta
from neardup.index.build import GenerationBuild
from neardup.index.redis import RedisIndex
from neardup.types import Member, Query

BATCH = 64
BATCHES = 16
"""Decided at one command."""
LOOK_UPS = 64
"""At one command."""
_NEIGHBOURS = 5
"""As many as the look-up service tells of where nobody says how many."""
_LOOKS = 64
_TIMEOUT_S = 60.0
"""Two builds at work at once may keep a reply waiting longer than a client usually does."""
_MIB = 1 << 20


class Client:
    """A client.

    Parameters
    ----------
    url
        Of a Redis.
    name
        Of the index.
    rows
        A file with descriptors, float16 (n, d): those of members, then those of images to decide.
    scene
        Descriptor, radius and, for an index with a second look, agreement, as in the index's metadata.
    """

    def __init__(self, url: str, name: str, rows: str, *scene: str) -> None:
        descriptor, radius, *agreement = scene
        self._redis = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S)
        self._rows = np.load(rows, mmap_mode="r")
        self._meta = IndexMeta(name, 0, descriptor, "index-open", self._rows.shape[1], float(radius))
        self._left = Path(rows).with_name("left")
        self._looks: list[NDArray[np.uint8]] = []
        if agreement:
            # An older build has none.
            self._meta = dataclasses.replace(self._meta, agreement=float(agreement[0]))
            self._looks = _looks_of_pictures()

    def fill(self, members: int) -> dict[str, float]:
        """Make the index, as a bootstrap does."""
        placed = place(self._rows[:members])
        # An older build has another name for the second.
        tree, sketcher, splits, rows_of = (getattr(placed, field.name) for field in dataclasses.fields(placed))
        building = GenerationBuild(self._redis, self._meta, tree.roots.centroids, sketcher, splits)
        for cell, rows in rows_of.items():
            building.append(cell, [self._member(int(row)) for row in rows])
        building.publish()
        return {"cells": len(rows_of)}

    def open(self) -> dict[str, float]:
        """Open the index."""
        before, began_s = _most_memory(), time.process_time()
        self._index = RedisIndex(self._redis, self._meta.name)
        return {
            "open_cpu_s": time.process_time() - began_s,
            "open_peak_mib": (_most_memory() - before) / _MIB,
        }

    def open_left(self) -> dict[str, float]:
        """Open the index from what a process before left on disk, or leave it there."""
        # An older build has neither.
        from neardup.index.redis import CACHE_BYTES, RedisIndexOptions  # noqa: PLC0415
        from neardup.index.shared.folder import lasting_folder  # noqa: PLC0415
        from neardup.index.shared.views import SharedViews  # noqa: PLC0415

        before, began_s = _most_memory(), time.process_time()
        shared = SharedViews(lasting_folder(self._left, self._meta.name, CACHE_BYTES), lasting=True)
        self._index = RedisIndex(self._redis, self._meta.name, options=RedisIndexOptions(shared=shared))
        return {
            "open_left_cpu_s": time.process_time() - began_s,
            "open_left_peak_mib": (_most_memory() - before) / _MIB,
        }

    def look_up(self, first: int) -> dict[str, float]:
        """Look up some images by themselves, from one on; none becomes a member."""
        try:
            from neardup.index.looking.neighbours import neighbours  # noqa: PLC0415 - an older build has none
        except ImportError:
            return {}
        queries = [self._query(number) for number in range(first, first + LOOK_UPS)]
        began_s = time.process_time()
        found = [neighbours(self._index, query, _NEIGHBOURS) for query in queries]
        spent_s = time.process_time() - began_s
        return {
            "look_up_cpu_ms_an_image": 1e3 * spent_s / len(found),
            "look_ups_exact": sum(each.exact for each in found) / len(found),
        }

    def decide(self, first: int) -> dict[str, float]:
        """Decide some batches of images, from one on."""
        starts = range(first, first + BATCHES * BATCH, BATCH)
        batches = [[self._query(number) for number in range(start, start + BATCH)] for start in starts]
        began_s = time.process_time()
        decided = [decision.verdict.value for batch in batches for decision in self._index.decide(batch)]
        spent_s = time.process_time() - began_s
        return {"decide_cpu_ms_an_image": 1e3 * spent_s / len(decided), "unique": decided.count("unique")}

    def follow(self, events: int) -> dict[str, float]:
        """Follow so many events of another client."""
        began_s = time.process_time()
        self._index.pca()  # of all that can be asked for, this does nothing else
        return {"follow_cpu_us_an_event": 1e6 * (time.process_time() - began_s) / events}

    def _member(self, number: int) -> Member:
        member = member_of(number, self._rows[number])
        return dataclasses.replace(member, kept=self._looks[number % _LOOKS]) if self._looks else member

    def _query(self, number: int) -> Query:
        fields: dict[str, Any] = {
            field.name: getattr(self._member(number), field.name) for field in dataclasses.fields(Member)
        }
        return Query(**fields)


def _looks_of_pictures() -> list[NDArray[np.uint8]]:
    from neardup.relation.looks.look import look_of  # noqa: PLC0415 - an older build has none

    coarse = np.random.default_rng(0).integers(0, 256, (_LOOKS, 16, 16, 3), dtype=np.uint8)
    return [look_of(picture.repeat(12, axis=0).repeat(12, axis=1)) for picture in coarse]


def _most_memory() -> int:
    """Return the most bytes that this process ever held; `resource` would count those of its parent."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    client = Client(*sys.argv[1:])
    for line in sys.stdin:
        command, *numbers = json.loads(line)
        print(json.dumps(getattr(client, command)(*numbers)), flush=True)
