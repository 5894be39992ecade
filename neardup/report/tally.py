"""Counts of all verdicts, however many there are, in a few bytes for each."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neardup.report.entry import Bad, Judged

_LISTED_FILES = 200
"""Of what could not be judged for one reason."""


@dataclass(slots=True)
class BadFiles:
    """What could not be judged for one reason: how many, and the first of them."""

    count: int = 0
    files: list[Bad] = field(default_factory=list)


@dataclass(slots=True)
class OfCluster:
    """The images of a cluster."""

    unique: int = 0
    duplicate: int = 0

    @property
    def images(self) -> int:
        """How many there are."""
        return self.unique + self.duplicate


class Tally:
    """What all verdicts of a source come to.

    Attributes
    ----------
    unique, duplicate
        How many images are.
    ruled_out
        How many are unique though they are within the radius of another.
    radii, fingerprints, kept
        How many verdicts are by each.
    clusters
        By number; images without one are left out.
    bad
        By reason.
    """

    def __init__(self) -> None:
        self.unique = self.duplicate = self.ruled_out = 0
        self.radii: Counter[float] = Counter()
        self.fingerprints: Counter[str] = Counter()
        self.kept: Counter[tuple[bool, bool]] = Counter()
        self.clusters: dict[int, OfCluster] = {}
        self.bad: dict[str, BadFiles] = {}
        self._keys, self._groups, self._distances = array("Q"), array("Q"), array("d")
        self._is_duplicate = bytearray()

    def count(self, found: Iterable[Judged | Bad]) -> None:
        """Count what a source has."""
        for each in found:
            if isinstance(each, Judged):
                self._count_judged(each)
            else:
                self._count_bad(each)

    def _count_judged(self, judged: Judged) -> None:
        entry = judged.entry
        self.unique += not entry.is_duplicate
        self.duplicate += entry.is_duplicate
        self.ruled_out += judged.is_ruled_out
        self.radii[judged.radius] += 1
        self.fingerprints[judged.fingerprint] += 1
        self.kept[judged.kept] += 1
        if entry.cluster >= 0:
            cluster = self.clusters.setdefault(entry.cluster, OfCluster())
            cluster.unique += not entry.is_duplicate
            cluster.duplicate += entry.is_duplicate
        key = number_of(entry.key)
        self._keys.append(key)
        self._groups.append(number_of(entry.other) if entry.is_duplicate and entry.other else key)
        self._distances.append(np.nan if entry.distance is None else entry.distance)
        self._is_duplicate.append(entry.is_duplicate)

    def _count_bad(self, bad: Bad) -> None:
        found = self.bad.setdefault(bad.reason, BadFiles())
        found.count += 1
        if len(found.files) < _LISTED_FILES:
            found.files.append(bad)

    @property
    def images(self) -> int:
        """How many were judged."""
        return self.unique + self.duplicate

    @property
    def radius(self) -> float:
        """The radius of most of the verdicts; 0 without any."""
        return self.radii.most_common(1)[0][0] if self.radii else 0.0

    @property
    def keys(self) -> NDArray[np.uint64]:
        """The number of each image's key, uint64 (n,), in the order of counting."""
        return np.frombuffer(self._keys, dtype=np.uint64) if self._keys else np.empty(0, dtype=np.uint64)

    @property
    def groups(self) -> NDArray[np.uint64]:
        """The number of the key of each one's unique image, uint64 (n,); of a unique image its own."""
        return np.frombuffer(self._groups, dtype=np.uint64) if self._groups else np.empty(0, dtype=np.uint64)

    @property
    def distances(self) -> NDArray[np.float64]:
        """Distance of each, float64 (n,); NaN where there is none."""
        return np.frombuffer(self._distances) if self._distances else np.empty(0)

    @property
    def is_duplicate(self) -> NDArray[np.bool_]:
        """Whether each is a duplicate, bool (n,)."""
        return np.frombuffer(self._is_duplicate, dtype=np.bool_)


def number_of(key: str) -> int:
    """Return a number that stands for a key: the same in each run, and as good as random."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
