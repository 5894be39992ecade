"""Reads the head of an index: which generation is live, and its metadata.

Consumers, bootstrap and the operator's tools all use it, so all of them refuse a corrupt head with the same message.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import redis
from numpy.typing import NDArray

from neardup.descriptors.pca import Pca
from neardup.errors import CorruptIndex, IndexMissing
from neardup.index.base import IndexMeta
from neardup.index.stored.codec import decode_sketcher
from neardup.index.stored.connection import translated_errors
from neardup.index.stored.events import Split, decode_event
from neardup.index.stored.generations import previous_generation
from neardup.index.stored.keys import IndexKeys
from neardup.search.cells import Cells
from neardup.search.sketches import Sketcher

CURE = "restore Redis, or bootstrap afresh, which carries no member over"
_NUMBER = re.compile(rb"[1-9][0-9]{0,17}")
"""As Redis writes numbers: scripts compare the text, so "01" would never equal "1"."""


NO_EVENTS = b"0"
"""The counter of events that left the log, where there is none yet."""


@dataclass(frozen=True, slots=True)
class Live:
    """The head of a generation, read atomically while it was live, or the previous one.

    Attributes
    ----------
    meta
        Its metadata; name and number are those that were requested.
    roots
        The k-means cells.
    sketcher
        Makes sketches of descriptors.
    pca
        What makes descriptors short; None without any.
    """

    meta: IndexMeta
    roots: Cells
    sketcher: Sketcher
    pca: Pca | None


def live_generation(client: redis.Redis, name: str) -> int | None:
    """Return the number of an index's live generation; None when there is no such index.

    Raises
    ------
    CorruptIndex
        The stored number is invalid.
    """
    keys = IndexKeys(name)
    with _located(f"index {name!r}"):
        try:
            with translated_errors():
                live = cast("bytes | None", client.get(keys.live))
        except CorruptIndex:
            raise CorruptIndex(
                "the key that should hold the number of its live generation is of another type"
            ) from None
        if live is None:
            return None
        if not _NUMBER.fullmatch(live):
            raise CorruptIndex(f"the number of its live generation reads {live[:40]!r}")
    return int(live)


def find_live(client: redis.Redis, name: str) -> Live | None:
    """Return the head of an index's live generation; None when there is no such index.

    Raises
    ------
    CorruptIndex
        A part of it is missing or invalid.
    IndexMismatch
        Another version of neardup wrote it.
    RedisUnavailable
        Redis does not answer.
    """
    keys = IndexKeys(name)
    while True:
        generation = live_generation(client, name)
        if generation is None:
            return None
        still_live, *parts = _parts_of(client, keys, generation, keys.live)
        if still_live == b"%d" % generation:  # else a bootstrap finished between the two calls
            with _located(f"index {name!r}, generation {generation},"):
                return _head(name, generation, *parts)


def find_previous(client: redis.Redis, name: str) -> Live | None:
    """Return the head of an index's previous generation, which a rollback makes live; None when none is kept.

    Raises
    ------
    CorruptIndex, IndexMismatch, RedisUnavailable
        As `find_live`.
    """
    keys = IndexKeys(name)
    previous = previous_generation(client, name)
    if previous is None:
        return None
    still_kept, *parts = _parts_of(client, keys, previous.generation, keys.previous)
    if still_kept != b"%d" % previous.generation:
        return None
    with _located(f"index {name!r}, generation {previous.generation},"):
        return _head(name, previous.generation, *parts)


def _parts_of(client: redis.Redis, keys: IndexKeys, generation: int, named_by: str) -> list[bytes | None]:
    """Return what names a generation, and the parts of its head, all of it as of one moment."""
    wanted = [named_by, keys.metadata(generation), keys.centroids(generation), keys.projection(generation)]
    with translated_errors():
        return cast("list[bytes | None]", client.mget([*wanted, keys.pca(generation)]))


def read_live(client: redis.Redis, name: str) -> Live:
    """Return the head of an index's live generation, as `find_live`.

    Raises
    ------
    IndexMissing
        There is no such index.
    CorruptIndex, IndexMismatch, RedisUnavailable
        As above.
    """
    live = find_live(client, name)
    if live is None:
        raise IndexMissing(f"there is no index {name!r} in this Redis: run neardup bootstrap first")
    return live


def read_splits(client: redis.Redis, live: Live) -> list[Split]:
    """Return how cells were divided since the generation began, in order.

    Raises
    ------
    CorruptIndex
        The list holds something else, or the splits do not follow one another.
    """
    stored = stored_splits(client, live)
    with _located(_generation_of(live.meta)):
        return _in_sequence(stored, live)


def stored_splits(client: redis.Redis, live: Live) -> list[bytes]:
    """Return the list of splits as it is stored, valid or not.

    Raises
    ------
    CorruptIndex
        It is no list.
    """
    meta = live.meta
    with _located(_generation_of(meta)), translated_errors():
        return cast("list[bytes]", client.lrange(IndexKeys(meta.name).splits(meta.generation), 0, -1))


def count_events(client: redis.Redis, live: Live) -> tuple[int, int]:
    """Return how many events the log of a generation holds, and how many have left it before.

    Raises
    ------
    CorruptIndex
        The log is no list, or the counter no number.
    """
    meta = live.meta
    keys = IndexKeys(meta.name)
    with _located(_generation_of(meta)):
        with translated_errors():
            in_log = client.llen(keys.log(meta.generation))
            trimmed = cast("bytes | None", client.get(keys.trimmed(meta.generation))) or NO_EVENTS
        if wrong := wrong_count(trimmed):
            raise CorruptIndex(wrong)
    return in_log, int(trimmed)


def wrong_count(trimmed: bytes) -> str | None:
    """Return why the counter of events that left the log is none, as it is stored; None when it is one."""
    if trimmed == NO_EVENTS or _NUMBER.fullmatch(trimmed):
        return None
    return f"the number of events that left the log reads {trimmed[:40]!r}"


def _in_sequence(stored: Sequence[bytes], live: Live) -> list[Split]:
    found: dict[int, Split] = {}
    for number, split in enumerate(map(decode_event, stored)):
        low = len(live.roots) + 2 * number
        if not isinstance(split, Split):
            raise CorruptIndex(f"entry {number} of the list of splits is none")
        if (split.low, split.high) != (low, low + 1) or split.cell >= low or split.cell in found:
            raise CorruptIndex(f"split {number} does not follow those before it")
        if split.axis >= len(live.sketcher.basis) or not np.isfinite(split.threshold):
            raise CorruptIndex(f"split {number} cuts where there is nothing to cut")
        found[split.cell] = split
    return list(found.values())


def _generation_of(meta: IndexMeta) -> str:
    return f"index {meta.name!r}, generation {meta.generation},"


@contextmanager
def _located(what: str) -> Iterator[None]:
    """Add what is corrupt and what to do to the error."""
    try:
        yield
    except CorruptIndex as exc:
        raise CorruptIndex(f"{what} is corrupt: {exc}; {CURE}") from exc


def _head(name: str, generation: int, *parts: bytes | None) -> Live:
    metadata, centroids, sketcher, pca = parts
    if metadata is None:
        raise CorruptIndex("it is live and has no metadata")
    meta = IndexMeta.from_json(metadata)
    if (meta.name, meta.generation) != (name, generation):
        raise CorruptIndex(f"the metadata is that of index {meta.name!r}, generation {meta.generation}")
    return Live(meta, Cells(_centroids(centroids, meta)), decode_sketcher(sketcher, meta.dimension), meta.read_pca(pca))


def _centroids(stored: bytes | None, meta: IndexMeta) -> NDArray[np.float32]:
    expected = 4 * meta.clusters * meta.dimension
    if stored is None or len(stored) != expected or meta.clusters < 1 or meta.dimension < 1:
        held = "no" if stored is None else len(stored)
        raise CorruptIndex(f"the centroids take {expected} bytes, Redis holds {held}")
    centroids: NDArray[Any] = np.frombuffer(stored, dtype="<f4").reshape(meta.clusters, meta.dimension)
    if not np.isfinite(centroids).all():
        raise CorruptIndex("the centroids hold NaN or infinity")
    return centroids.astype(np.float32)
