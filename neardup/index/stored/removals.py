"""Notes of what was removed from an index on request, so that no repair brings it back; kept as long as the index."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from neardup.errors import CorruptIndex
from neardup.index.stored.connection import translated_errors
from neardup.index.stored.keys import IndexKeys

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Removal:
    """Who removed a member, and when.

    Attributes
    ----------
    image_id
        Of the member.
    generation
        That it was removed from.
    at
        UTC, ISO 8601, to the microsecond: no two calls note the same.
    by
        Whoever asked for it.
    """

    image_id: str
    generation: int
    at: str
    by: str

    def to_json(self) -> bytes:
        """Return the note as UTF-8 JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Removal":
        """Read `to_json`.

        Raises
        ------
        CorruptIndex
            It is none.
        """
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError) as exc:
            raise CorruptIndex(f"not a note of a removal: {text[:80]!r}") from exc


class Removals:
    """The notes of an index.

    Parameters
    ----------
    client
        Of redis-py.
    name
        Of the index.

    Raises
    ------
    RedisUnavailable, CorruptIndex
        By each method: Redis does not answer, or the key is no hash.
    """

    def __init__(self, client: Any, name: str) -> None:  # noqa: ANN401 - redis.Redis, or a cluster
        self._client = client
        self._key = IndexKeys(name).removed

    def __len__(self) -> int:
        """Return how many there are."""
        with translated_errors():
            return int(self._client.hlen(self._key))

    def of(self, key: str) -> Removal | None:
        """Return the note on a member's key; None when it was not removed."""
        with translated_errors():
            stored = cast("bytes | None", self._client.hget(self._key, key))
        return None if stored is None else Removal.from_json(stored)

    def keys(self) -> set[bytes]:
        """Return the keys of all members that were removed."""
        with translated_errors():
            return set(cast("Sequence[bytes]", self._client.hkeys(self._key)))

    def stored(self) -> dict[bytes, bytes]:
        """Return all notes as they are stored, by key."""
        with translated_errors():
            return cast("dict[bytes, bytes]", self._client.hgetall(self._key))

    def add(self, stored: Mapping[bytes, bytes]) -> None:
        """Add notes of another index."""
        notes = list(stored.items())
        for start in range(0, len(notes), _PAGE):
            with translated_errors():
                self._client.hset(self._key, mapping=dict(notes[start : start + _PAGE]))
