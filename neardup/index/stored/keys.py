"""Names of the keys in Redis. All keys of an index share one hash tag, so a Redis Cluster keeps them together."""

import re
from dataclasses import dataclass

from neardup.errors import Misconfigured

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
    def live(self) -> str:
        """String: number of the live generation."""
        return f"neardup:{{{self.name}}}:live"

    @property
    def last(self) -> str:
        """Counter: last generation number given out."""
        return f"neardup:{{{self.name}}}:last"

    @property
    def generations(self) -> str:
        """Set: numbers of the generations that have keys, live, being built or abandoned."""
        return f"neardup:{{{self.name}}}:generations"

    def decided(self, key: str) -> str:
        """Return the string that records the decision for an idempotency key."""
        return f"neardup:{{{self.name}}}:decided:{key}"

    def metadata(self, generation: int) -> str:
        """Return the string with the generation's metadata, JSON."""
        return f"neardup:{{{self.name}}}:g{generation}:meta"

    def centroids(self, generation: int) -> str:
        """Return the string with the generation's centroids, float32 little-endian, row by row."""
        return f"neardup:{{{self.name}}}:g{generation}:centroids"

    def projection(self, generation: int) -> str:
        """Return the string with the generation's sketcher; see `neardup.index.stored.codec.encode_sketcher`."""
        return f"neardup:{{{self.name}}}:g{generation}:projection"

    def pca(self, generation: int) -> str:
        """Return the string with what makes its descriptors short; see `neardup.descriptors.pca.Pca`."""
        return f"neardup:{{{self.name}}}:g{generation}:pca"

    def splits(self, generation: int) -> str:
        """Return the list of the generation's splits, in order; see `neardup.index.stored.events`."""
        return f"neardup:{{{self.name}}}:g{generation}:splits"

    def log(self, generation: int) -> str:
        """Return the list of the generation's latest events, oldest first."""
        return f"neardup:{{{self.name}}}:g{generation}:log"

    def trimmed(self, generation: int) -> str:
        """Return the string that counts the events which have left the log."""
        return f"neardup:{{{self.name}}}:g{generation}:trimmed"

    def cell(self, generation: int, cell: int) -> str:
        """Return the list with the records of a cell's members."""
        return f"neardup:{{{self.name}}}:g{generation}:cell:{cell}"
