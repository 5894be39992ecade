"""Building a new generation of an index beside the live one."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import redis
from numpy.typing import NDArray

from neardup.errors import Misconfigured
from neardup.index.base import IndexMeta
from neardup.index.codec import encode_member
from neardup.index.connection import require_no_eviction, translated_errors
from neardup.index.keys import IndexKeys
from neardup.types import Member

_PUSH_BYTES = 1 << 20
_PUSH_RECORDS = 5000
"""Lua unpacks no more than some 8,000 values."""

# APPEND: add records to a cell of a generation that is being built, once.
#   KEYS[1] cell (list); ARGV[1] its length before, ARGV[2...] records
#   A client that lost the reply sends again: the length tells that it was done.
_APPEND = """
if redis.call('LLEN', KEYS[1]) == tonumber(ARGV[1]) then
  redis.call('RPUSH', KEYS[1], unpack(ARGV, 2))
end
"""

# FLIP: make a complete generation the live one, unless a later one already is.
#   KEYS[1] live (string), KEYS[2] metadata of the generation (string); ARGV[1] generation
#   Returns 1 when it is live now, 0 when it is not complete any more or a later one is live.
_FLIP = """
local live = tonumber(redis.call('GET', KEYS[1]) or '0')
if live > tonumber(ARGV[1]) or redis.call('EXISTS', KEYS[2]) == 0 then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""

# ABANDON: make sure that a generation can never become the live one.
#   KEYS[1] live (string), KEYS[2] metadata of the generation (string); ARGV[1] generation
#   Returns 0 when it is live already and must stay, else 1: without its metadata FLIP refuses it.
_ABANDON = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[2])
return 1
"""


def live_generation(client: redis.Redis, name: str) -> int | None:
    """Return the number of an index's live generation; None when there is no such index."""
    with translated_errors():
        live = cast("bytes | None", client.get(IndexKeys(name).live))
    return None if live is None else int(live)


class GenerationBuild:
    """Writes generation g + 1 while g serves; `publish` flips the pointer in one step.

    A crash before that leaves g live; what was left behind is removed by the next build.

    Parameters
    ----------
    client
        From `neardup.index.connection.connect`.
    meta
        What the index is made for; its generation is given out here.
    centroids
        float32 (k, d).

    Raises
    ------
    RedisUnavailable, Misconfigured
        As its methods do.
    """

    def __init__(self, client: redis.Redis, meta: IndexMeta, centroids: NDArray[np.float32]) -> None:
        self._client: Any = client
        self._keys = IndexKeys(meta.name)
        self._append = client.register_script(_APPEND)
        self._flip = client.register_script(_FLIP)
        self._give_up = client.register_script(_ABANDON)
        require_no_eviction(client)
        with translated_errors():
            generation = int(self._client.incr(self._keys.last))
            self._client.sadd(self._keys.generations, generation)
            self._client.set(self._keys.centroids(generation), centroids.astype("<f4").tobytes())
        self.meta = replace(meta, generation=generation, clusters=len(centroids))
        self._sizes: Counter[int] = Counter()

    def append(self, cell: int, members: Iterable[Member]) -> None:
        """Append members to a cell."""
        key = self._keys.cell(self.meta.generation, cell)
        with translated_errors():
            for records in _batches(encode_member(member) for member in members):
                self._append(keys=[key], args=[self._sizes[cell], *records])
                self._sizes[cell] += len(records)

    def publish(self) -> IndexMeta:
        """Make this generation the live one, remove all earlier ones, and return its metadata.

        Raises
        ------
        Misconfigured
            Another bootstrap of the same index finished meanwhile.
        """
        metadata = self._keys.metadata(self.meta.generation)
        with translated_errors():
            self._client.set(metadata, self.meta.to_json())
            flipped = self._flip(keys=[self._keys.live, metadata], args=[self.meta.generation])
        if not flipped:
            self.abandon()
            raise Misconfigured(
                f"another bootstrap of index {self.meta.name!r} finished while this one ran; its index stays live"
            )
        self._remove_earlier()
        return self.meta

    def abandon(self) -> None:
        """Remove what this build has written, unless it has become the live generation meanwhile.

        That happens when the reply to the flip is lost, or an interrupt arrives just after it.
        """
        metadata = self._keys.metadata(self.meta.generation)
        with translated_errors():
            given_up = self._give_up(keys=[self._keys.live, metadata], args=[self.meta.generation])
        if given_up:
            self._remove(self.meta.generation)

    def _remove_earlier(self) -> None:
        with translated_errors():
            known = sorted(int(number) for number in self._client.smembers(self._keys.generations))
        for generation in known:
            if generation < self.meta.generation:
                self._remove(generation)

    def _remove(self, generation: int) -> None:
        # By pattern, because the number of cells of an abandoned generation is not known.
        prefix = self._keys.cell(generation, 0).removesuffix("0")
        with translated_errors():
            cells = list(self._client.scan_iter(match=_escaped(prefix) + "*", count=_SCAN))
            for start in range(0, len(cells), _SCAN):
                self._client.unlink(*cells[start : start + _SCAN])
            self._client.unlink(self._keys.metadata(generation), self._keys.centroids(generation))
            self._client.srem(self._keys.generations, generation)


_SCAN = 1000


def _escaped(prefix: str) -> str:
    return "".join(f"\\{character}" if character in "*?[]\\" else character for character in prefix)


def _batches(records: Iterable[bytes]) -> Iterable[Sequence[bytes]]:
    batch: list[bytes] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record)
        if size >= _PUSH_BYTES or len(batch) >= _PUSH_RECORDS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
