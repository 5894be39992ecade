"""Building a new generation of an index beside the live one."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import redis
from numpy.typing import NDArray

from neardup.descriptors.pca import Pca
from neardup.errors import Misconfigured
from neardup.index.base import IndexMeta
from neardup.index.carry import Predecessor, another_finished
from neardup.index.stored.codec import encode_member, encode_sketcher
from neardup.index.stored.connection import require_no_eviction, translated_errors
from neardup.index.stored.events import Split, encode_split
from neardup.index.stored.generations import digests, remove_generation
from neardup.index.stored.keys import IndexKeys
from neardup.index.stored.scripts import load_script
from neardup.search.sketches import Sketcher
from neardup.types import Member

_PUSH_BYTES = 1 << 20
_PUSH_RECORDS = 5000
"""Lua's unpack takes no more than about 8,000 values."""


class MoreToCarry(Exception):
    """The predecessor has new events that are not carried over yet."""


class GenerationBuild:
    """Writes generation g + 1 while g serves; `publish` flips the pointer in one step.

    A crash before that leaves g live; the next build removes what was left behind. What consumers commit to g in the
    meantime is carried over if `publish` gets the predecessor: it flips only when there is nothing new.

    Parameters
    ----------
    client
        From `neardup.index.stored.connection.connect`.
    meta
        The index's metadata; the generation number is assigned here.
    centroids
        float32 (k, d).
    sketcher
        What consumers sketch descriptors with.
    splits
        The initial splits of cells, in order.
    pca
        The principal components that shorten descriptors, if any.
    keep_ms
        How long the generation that was live before is kept after the switch, in milliseconds; 0 removes it at once.

    Raises
    ------
    RedisUnavailable, Misconfigured
        As its methods do.
    """

    def __init__(
        self,
        client: redis.Redis,
        meta: IndexMeta,
        centroids: NDArray[np.float32],
        sketcher: Sketcher,
        splits: Sequence[Split] = (),
        *,
        pca: Pca | None = None,
        keep_ms: int = 0,
    ) -> None:
        self._client: Any = client
        self._keys = IndexKeys(meta.name)
        self._keep_ms = keep_ms
        self._append, self._give_up = (load_script(client, name) for name in ("append.lua", "abandon.lua"))
        self._flip = load_script(client, "keep.lua", "flip.lua")
        require_no_eviction(client)
        with translated_errors():
            generation = int(self._client.incr(self._keys.last))
            self._client.sadd(self._keys.generations, generation)
            self._client.set(self._keys.centroids(generation), centroids.astype("<f4").tobytes())
            self._client.set(self._keys.projection(generation), encode_sketcher(sketcher))
            if pca is not None:
                self._client.set(self._keys.pca(generation), pca.to_bytes())
            self._append_to(self._keys.splits(generation), 0, map(encode_split, splits))
        told = "" if pca is None else pca.fingerprint
        self.meta = replace(meta, generation=generation, clusters=len(centroids), pca=told)
        self._sizes: Counter[int] = Counter()
        self._written = b""

    def append(self, cell: int, members: Iterable[Member]) -> None:
        """Append members to a cell."""
        key = self._keys.cell(self.meta.generation, cell)
        added = list(members)
        with translated_errors():
            self._sizes[cell] = self._append_to(key, self._sizes[cell], map(encode_member, added))
            if self._keep_ms and added:
                # Whoever is removed again stays known: it never comes from a consumer under this key.
                self._client.append(self._keys.known(self.meta.generation), digests(member.key for member in added))

    def _append_to(self, key: str, size: int, records: Iterable[bytes]) -> int:
        for batch in _batches(records):
            self._append(keys=[key], args=[size, *batch])
            size += len(batch)
        return size

    def remove(self, cell: int, member: Member) -> None:
        """Take a member that was appended out of its cell."""
        key = self._keys.cell(self.meta.generation, cell)
        with translated_errors():
            self._client.lrem(key, 1, encode_member(member))
            self._sizes[cell] -= 1

    def publish(self, predecessor: Predecessor | None = None) -> IndexMeta:
        """Make this generation the live one, and return its metadata.

        All earlier ones are removed, except the one that was live, if it is kept.

        Parameters
        ----------
        predecessor
            Whose members are carried over, as far as `news` has returned them; None replaces whatever is
            live.

        Raises
        ------
        MoreToCarry
            The predecessor has new events. Carry them over and publish again.
        Misconfigured
            Another bootstrap of the same index finished meanwhile.
        """
        outcome = self._try_to_flip(predecessor)
        if outcome == b"NEWS":
            raise MoreToCarry
        if outcome != b"LIVE":
            self.abandon()
            raise Misconfigured(another_finished(self.meta.name))
        self._remove_earlier()
        return self.meta

    def _try_to_flip(self, predecessor: Predecessor | None) -> bytes:
        metadata = self._keys.metadata(self.meta.generation)
        before = predecessor.generation if predecessor else 0
        keys = [self._keys.live, metadata, self._keys.log(before), self._keys.trimmed(before)]
        keys.append(self._keys.known(self.meta.generation))
        carried: list[Any] = ["", 0, b""]
        if predecessor:
            carried = [before, predecessor.position.seen, predecessor.position.last]
        with translated_errors():
            if self.meta.to_json() != self._written:
                self._client.set(metadata, self.meta.to_json())
                self._written = self.meta.to_json()
            return cast("bytes", self._flip(keys=keys, args=[self.meta.generation, *carried, self._keep_ms]))

    def abandon(self) -> None:
        """Remove what this build has written, unless it has become the live generation meanwhile.

        That happens when the reply to the flip is lost, or an interrupt arrives just after it.
        """
        metadata = self._keys.metadata(self.meta.generation)
        with translated_errors():
            given_up = self._give_up(keys=[self._keys.live, metadata], args=[self.meta.generation])
        if given_up:
            remove_generation(self._client, self._keys, self.meta.generation)

    def _remove_earlier(self) -> None:
        # What is live or the previous one now may not be what this build made so: a rollback may have come since.
        with translated_errors():
            kept = self._client.mget([self._keys.live, self._keys.previous])
            numbers = self._client.smembers(self._keys.generations) - set(kept)
        for generation in sorted(int(number) for number in numbers if number.isdigit()):
            if generation < self.meta.generation:
                remove_generation(self._client, self._keys, generation)


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
