"""Decides which keys under an index's prefix belong to it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bootstrap.live.inspection import scan_keys
from bootstrap.live.layout import Layout
from bootstrap.live.reading import LiveGeneration
from neardup.index.stored.connection import translated_errors
from neardup.index.stored.generations import previous_generation

_TYPES = {
    "live": b"string",
    "previous": b"string",
    "last": b"string",
    "generations": b"set",
    "removed": b"hash",
    "meta": b"string",
    "centroids": b"string",
    "projection": b"string",
    "pca": b"string",
    "splits": b"list",
    "log": b"list",
    "trimmed": b"string",
    "known": b"string",
    "cell": b"list",
}
_OF_INDEX = {"live", "previous", "last", "generations", "removed"}
_OF_GENERATION = re.compile(r"g(\d+):(meta|centroids|projection|pca|splits|log|trimmed|known|cell)(?::(\d+))?")
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class _Known:
    """Decides which keys belong, as of one moment."""

    generation: LiveGeneration
    layout: Layout
    numbers: frozenset[int]
    previous: int | None

    def wrong(self, key: bytes) -> str | None:
        """Return why a key does not belong; None if it does. Its type is checked elsewhere."""
        name = self.name_of(key)
        if name in _OF_INDEX or name.startswith("decided:"):
            return None
        found = _OF_GENERATION.fullmatch(name)
        if found is None or (found[2] == "cell") is (found[3] is None):
            return "does not belong to the index"
        number = int(found[1])
        if number == self.generation.number:
            alone = found[3] is None or self.layout.is_leaf(int(found[3]))
            return None if alone else "is a cell that was divided, or never made"
        if number == self.previous:
            return None  # kept for a rollback
        if number > self.generation.number and number in self.numbers:
            return None  # being built, or given up: the next bootstrap removes it
        return f"is of generation {number}, which is not live, not kept and not being built"

    def name_of(self, key: bytes) -> str:
        """Return what follows the index's prefix."""
        return key.decode(errors="backslashreplace").removeprefix(self.generation.keys.prefix)

    def expected_type(self, key: bytes) -> bytes:
        """Return the Redis type of a key that belongs."""
        name = self.name_of(key)
        if name.startswith("decided:"):
            return b"string"
        found = _OF_GENERATION.fullmatch(name)
        return _TYPES[found[2] if found else name]


def _known(generation: LiveGeneration) -> _Known:
    with translated_errors():
        numbers = generation.client.smembers(generation.keys.generations)
    previous = previous_generation(generation.client, generation.keys.name)
    generation.require_live()
    known = frozenset(int(number) for number in numbers if number.isdigit())
    return _Known(generation, generation.layout(), known, previous.generation if previous else None)


def suspicious_keys(generation: LiveGeneration) -> tuple[int, list[bytes]]:
    """Return how many keys the index has, and those that seem not to belong there."""
    known, count, suspects, page = _known(generation), 0, set[bytes](), list[bytes]()
    for key in scan_keys(generation):
        count += 1
        if known.wrong(key):
            suspects.add(key)
        elif not known.name_of(key).startswith("decided:"):
            page.append(key)
        if len(page) >= _PAGE:
            suspects |= set(_of_other_type(known, page))
            page = []
    return count, sorted(suspects | set(_of_other_type(known, page)))


def foreign_keys(generation: LiveGeneration, suspects: Iterable[bytes]) -> Iterator[str]:
    """Yield the suspects that still exist and still do not belong."""
    known, listed = _known(generation), list(suspects)
    with translated_errors():
        pipeline = generation.client.pipeline(transaction=False)
        for key in listed:
            pipeline.type(key)
        types = pipeline.execute()
    for key, kind in zip(listed, types, strict=True):
        why = known.wrong(key)
        if kind != b"none" and why:
            yield f"{key.decode(errors='backslashreplace')} {why}"
        elif kind not in {b"none", known.expected_type(key) if not why else kind}:
            yield f"{key.decode(errors='backslashreplace')} is a {kind.decode()}"


def _of_other_type(known: _Known, keys: list[bytes]) -> Iterator[bytes]:
    with translated_errors():
        pipeline = known.generation.client.pipeline(transaction=False)
        for key in keys:
            pipeline.type(key)
        types = pipeline.execute() if keys else []
    for key, kind in zip(keys, types, strict=True):
        if kind not in {known.expected_type(key), b"none"}:
            yield key
