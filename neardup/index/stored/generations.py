"""The generations of an index that are not live: which is the previous one, what it takes, and how one is removed.

The previous generation is the one that was live before the last switch, by a bootstrap or a rollback. It is kept for
some time, so that a rollback can make it live again; nothing changes it meanwhile.

Which members came to the live generation after the switch cannot be seen from its cells. So the generation keeps, as
long as there is a previous one, 8 bytes for each member that it had at the switch, a hash of its key. Of 37 million
indexes with a million members each, one has two keys with the same hash.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neardup.errors import CorruptIndex
from neardup.index.stored.connection import translated_errors
from neardup.index.stored.keys import IndexKeys
from neardup.index.stored.scripts import load_script

_SCAN = 1000
DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class Previous:
    """The generation that a rollback would make live again.

    Attributes
    ----------
    generation
        Its number.
    left_ms
        How long it will still be there.
    """

    generation: int
    left_ms: int


def previous_generation(client: Any, name: str) -> Previous | None:  # noqa: ANN401 - redis.Redis, or a cluster
    """Return the previous generation of an index; None when there is none, or none any more.

    Raises
    ------
    CorruptIndex
        What is stored is no number.
    RedisUnavailable
        Redis does not answer.
    """
    key = IndexKeys(name).previous
    with translated_errors():
        stored, left_ms = client.pipeline(transaction=False).get(key).pttl(key).execute()
    if stored is None:
        return None
    if not stored.isdigit():
        raise CorruptIndex(f"index {name!r}: the number of its previous generation reads {stored[:40]!r}")
    return Previous(int(stored), max(0, left_ms))


def digests(keys: Iterable[str]) -> bytes:
    """Return the hashes of members' keys, 8 bytes each, one behind the other."""
    return b"".join(hashlib.blake2b(key.encode(), digest_size=DIGEST_BYTES).digest() for key in keys)


def as_numbers(hashes: bytes) -> NDArray[np.uint64]:
    """Return hashes of keys as uint64 (n,)."""
    return np.frombuffer(hashes, dtype="<u8").astype(np.uint64)


def keys_of_generation(client: Any, keys: IndexKeys, generation: int) -> list[bytes]:  # noqa: ANN401 - as above
    """Return the names of all keys of a generation, whether it is whole or not."""
    # By pattern, because the number of cells of an abandoned generation is not known.
    with translated_errors():
        return list(client.scan_iter(match=keys.of_generation(generation), count=_SCAN))


def remove_generation(client: Any, keys: IndexKeys, generation: int) -> None:  # noqa: ANN401 - as above
    """Remove all keys of a generation, unless it is live, or the previous one.

    From the first step on it can never become live: whoever still builds it is refused, however late.
    """
    own = [keys.live, keys.metadata(generation), keys.centroids(generation)]
    with translated_errors():
        given_up = load_script(client, "abandon.lua")(keys=own, args=[generation])
    if not given_up:
        return
    found = keys_of_generation(client, keys, generation)
    with translated_errors():
        for page in _pages(found):
            client.unlink(*page)
        client.srem(keys.generations, generation)


def count_members(client: Any, keys: IndexKeys, generation: int) -> int:  # noqa: ANN401 - as above
    """Return how many members a generation has, whatever its records look like."""
    cells = keys.cell(generation, 0).removesuffix("0").encode()
    found = [key for key in keys_of_generation(client, keys, generation) if key.startswith(cells)]
    return _sum_of(client, found, "llen")


def memory_of(client: Any, keys: IndexKeys, generation: int) -> int:  # noqa: ANN401 - as above
    """Return the bytes that a generation takes in Redis."""
    return _sum_of(client, keys_of_generation(client, keys, generation), "memory_usage")


def _sum_of(client: Any, found: list[bytes], command: str) -> int:  # noqa: ANN401 - as above
    """Return the sum of a command's replies; a key that is gone, or of another type than it should be, counts as 0."""
    total = 0
    for page in _pages(found):
        with translated_errors():
            pipeline = client.pipeline(transaction=False)
            for key in page:
                getattr(pipeline, command)(key)
            total += sum(reply for reply in pipeline.execute(raise_on_error=False) if isinstance(reply, int))
    return total


def _pages(found: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(found), _SCAN):
        yield found[start : start + _SCAN]
