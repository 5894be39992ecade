"""Building a new generation of an index beside the live one."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import redis
from numpy.typing import NDArray

from neardup.descriptors.pca import Pca
from neardup.engine import Engine, with_pieces
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

Filled = tuple[int, list[Member]]
"""A cell, and members of it."""
Connected = Callable[[], redis.Redis]
"""Returns a new client; can be pickled."""


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
        self._append = load_script(client, "append.lua")
        self._flip = load_script(client, "keep.lua", "flip.lua")
        require_no_eviction(client)
        with translated_errors():
            generation = int(self._client.incr(self._keys.last))
            # Who finds the number removes what there is. Centroids are written only once: who removes the generation
            # takes them, and it can never be live. Removed in between, it is as if it had begun just now.
            self._client.sadd(self._keys.generations, generation)
            self._client.set(self._keys.centroids(generation), centroids.astype("<f4").tobytes())
            self._client.sadd(self._keys.generations, generation)
            self._client.set(self._keys.projection(generation), encode_sketcher(sketcher))
            if pca is not None:
                self._client.set(self._keys.pca(generation), pca.to_bytes())
            there = self._keys.centroids(generation)
            _append_to(self._append, [self._keys.splits(generation), there], 0, map(encode_split, splits))
        told = "" if pca is None else pca.fingerprint
        self.meta = replace(meta, generation=generation, clusters=len(centroids), pca=told)
        self._sizes: Counter[int] = Counter()
        self._written = b""

    def append(self, cell: int, members: Iterable[Member]) -> None:
        """Append members to a cell."""
        added = list(members)
        with translated_errors():
            records = map(encode_member, added)
            keys = _keys_of(self._keys, self.meta.generation, cell)
            self._sizes[cell] = _append_to(self._append, keys, self._sizes[cell], records)
            self._note(added)

    def _note(self, added: Sequence[Member]) -> None:
        """Note that members were added: whoever is removed again never comes from a consumer under its key."""
        if self._keep_ms and added:
            self._client.append(self._keys.known(self.meta.generation), digests(member.key for member in added))

    def append_each(self, cells: Iterable[Filled]) -> Iterator[int]:
        """Append members to some cells; iterate over how many are there, cell by cell."""
        for cell, members in cells:
            self.append(cell, members)
            yield len(members)

    def fill(self, cells: Iterable[Filled], engine: Engine, connected: Connected) -> Iterator[int]:
        """Append members to empty cells by an engine; iterate as `append_each` does.

        Parameters
        ----------
        cells
            Each with its members.
        engine
            Writes them.
        connected
            Returns a client of the same Redis, wherever that is done.
        """
        write = partial(_write, connected=connected, keys=self._keys, generation=self.meta.generation)
        for piece, _ in with_pieces(engine, write, _pieces(cells)):
            for cell, members in piece:
                self._sizes[cell] = len(members)
                with translated_errors():
                    self._note(members)
                yield len(members)

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

        That happens when the reply to the flip is lost, or an interrupt arrives just after it. By now it may be the
        previous one, which stays as well.
        """
        remove_generation(self._client, self._keys, self.meta.generation)

    def _remove_earlier(self) -> None:
        # What is live or the previous one now may not be what this build made so: a rollback may have come since.
        with translated_errors():
            kept = self._client.mget([self._keys.live, self._keys.previous])
            numbers = self._client.smembers(self._keys.generations) - set(kept)
        for generation in sorted(int(number) for number in numbers if number.isdigit()):
            if generation < self.meta.generation:
                remove_generation(self._client, self._keys, generation)


def _keys_of(keys: IndexKeys, generation: int, cell: int) -> list[str]:
    return [keys.cell(generation, cell), keys.centroids(generation)]


def _append_to(append: Any, keys: Sequence[str], size: int, records: Iterable[bytes]) -> int:  # noqa: ANN401 - a script
    for batch in _batches(records):
        append(keys=keys, args=[size, *batch])
        size += len(batch)
    return size


def _pieces(cells: Iterable[Filled]) -> Iterator[list[Filled]]:
    piece: list[Filled] = []
    for cell in cells:
        piece.append(cell)
        if sum(len(members) for _, members in piece) >= _PUSH_RECORDS:
            yield piece
            piece = []
    if piece:
        yield piece


def _write(
    cells: Sequence[Filled],
    connected: Connected,
    keys: IndexKeys,
    generation: int,
) -> None:
    """Write cells, whole; a second time nothing is written twice."""
    client = connected()
    append = load_script(client, "append.lua")
    with closing(client), translated_errors():
        for cell, members in cells:
            _append_to(append, _keys_of(keys, generation, cell), 0, map(encode_member, members))


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
