"""Names of the keys in Redis. All keys of an index share one hash tag, so a Redis Cluster keeps them together."""

import re
from dataclasses import dataclass

from neardup.errors import Misconfigured

PREFIX = "neardup"
"""Begins every key; rules of access and backups name it, so that another makes all indexes new ones."""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class IndexKeys:
    """Keys of the index called `name`.

    Raises
    ------
    Misconfigured
        The name has other characters than letters, digits, dot, underscore and hyphen, or more than 64.
    """

    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise Misconfigured(f"index name {self.name!r}: use 1 to 64 letters, digits, '.', '_' or '-'")

    @property
    def prefix(self) -> str:
        """What every key of the index begins with."""
        return f"{PREFIX}:{{{self.name}}}:"

    @property
    def pattern(self) -> str:
        """What Redis finds all of them by; no character of a name stands for others there."""
        return f"{self.prefix}*"

    def of_generation(self, generation: int) -> str:
        """Return what Redis finds all keys of a generation by."""
        return f"{self.prefix}g{generation}:*"

    @property
    def live(self) -> str:
        """String: number of the live generation."""
        return f"{self.prefix}live"

    @property
    def previous(self) -> str:
        """String, with a time to live: number of the generation that a rollback would make live again."""
        return f"{self.prefix}previous"

    @property
    def last(self) -> str:
        """Counter: last generation number given out."""
        return f"{self.prefix}last"

    @property
    def generations(self) -> str:
        """Set: numbers of the generations that have keys: live, previous, being built or abandoned."""
        return f"{self.prefix}generations"

    @property
    def removed(self) -> str:
        """Hash: what was removed on request, by its key; see `neardup.index.stored.removals`."""
        return f"{self.prefix}removed"

    def decided(self, key: str) -> str:
        """Return the string that records the decision for an idempotency key."""
        return f"{self.prefix}decided:{key}"

    def metadata(self, generation: int) -> str:
        """Return the string with the generation's metadata, JSON."""
        return f"{self.prefix}g{generation}:meta"

    def centroids(self, generation: int) -> str:
        """Return the string with the generation's centroids, float32 little-endian, row by row."""
        return f"{self.prefix}g{generation}:centroids"

    def projection(self, generation: int) -> str:
        """Return the string with the generation's sketcher; see `neardup.index.stored.codec.encode_sketcher`."""
        return f"{self.prefix}g{generation}:projection"

    def pca(self, generation: int) -> str:
        """Return the string with what makes its descriptors short; see `neardup.descriptors.pca.Pca`."""
        return f"{self.prefix}g{generation}:pca"

    def splits(self, generation: int) -> str:
        """Return the list of the generation's splits, in order; see `neardup.index.stored.events`."""
        return f"{self.prefix}g{generation}:splits"

    def log(self, generation: int) -> str:
        """Return the list of the generation's latest events, oldest first."""
        return f"{self.prefix}g{generation}:log"

    def trimmed(self, generation: int) -> str:
        """Return the string that counts the events which have left the log."""
        return f"{self.prefix}g{generation}:trimmed"

    def known(self, generation: int) -> str:
        """Return the string that tells members which came after the generation went live; see `stored.generations`."""
        return f"{self.prefix}g{generation}:known"

    def cell(self, generation: int, cell: int) -> str:
        """Return the list with the records of a cell's members."""
        return f"{self.prefix}g{generation}:cell:{cell}"
