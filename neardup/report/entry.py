"""What a report knows of an image before it is shown, wherever that comes from."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from neardup.types import Box

Outline = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
"""Four corners, x and y in shares of an image's width and height."""


class Missing(Exception):
    """An image cannot be had any more: the message says in a few words why, the same for many."""


Read = Callable[[], bytes | Exception]
"""Reads an image, in any thread, or returns why it cannot: a `Missing`, a BadInput, an OSError."""


class Kind(StrEnum):
    """Where verdicts come from."""

    FOLDER = "folder"
    BOOTSTRAP = "bootstrap"
    TOPIC = "topic"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image's bytes are.

    Attributes
    ----------
    path
        Of its file; None where it is no file here.
    topic, partition, offset
        Of its message; an empty topic where it came in none.
    found_ms
        Time of that message, or when the file was found, milliseconds since the epoch.
    size, mtime_ns
        Bytes and modification time of the file when it was judged; None where nobody noted them.
    uri
        Where a claim check said that it is.
    """

    path: str | None = None
    topic: str = ""
    partition: int = 0
    offset: int = 0
    found_ms: int = 0
    size: int | None = None
    mtime_ns: int | None = None
    uri: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An image that was judged.

    Attributes
    ----------
    key
        What identifies it.
    name
        What it is called.
    is_duplicate
        The verdict.
    other, other_name
        Key and name of the image that it was compared with; None where that is not known, as mostly of a unique image.
    distance
        To that image; of a unique image to the nearest that it was compared with. None without any.
    cluster
        Number of its cluster, -1 if none.
    done
        What was done to it, in words.
    outline, other_outline
        The part that both show: in the image, and in the other; None for all, or where nothing is known.
    place
        Where its bytes are.
    x, y
        Its place on the map; None where that is not known.
    judged_ms
        When it was judged, milliseconds since the epoch; 0 where the order of reading says which was first.
    record
        Of the member that it became, as a verdict carries it; None where there is none.
    is_outside
        Whether it is none of the images judged here, but one that was there before and is duplicated by some.
    """

    key: str
    name: str
    is_duplicate: bool
    other: str | None = None
    other_name: str | None = None
    distance: float | None = None
    cluster: int = -1
    done: str = ""
    outline: Outline | None = None
    other_outline: Outline | None = None
    place: Place = Place()
    x: float | None = None
    y: float | None = None
    judged_ms: int = 0
    record: bytes | None = None
    is_outside: bool = False


@dataclass(frozen=True, slots=True)
class Bad:
    """Something that could not be judged: its name, the reason (a slug) and the detail."""

    name: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class About:
    """What holds for all verdicts of a source: where they are from, which of them, and the descriptor if it is told.

    The place tells sources of one name from one another; it is not shown.
    """

    kind: Kind
    name: str
    span: str | None = None
    descriptor: str | None = None
    place: str = ""

    @property
    def key(self) -> str:
        """What marks are kept under: the same for the next report of the same source, and for no other's."""
        what = f"{self.kind.value}\0{self.name}\0{self.place}"
        return hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Judged:
    """An entry with what its verdict says of the index that judged it.

    Attributes
    ----------
    entry
        The image.
    radius, fingerprint
        Of the index, and of its descriptor.
    kept
        Whether a thumbnail, and whether a look, is compared besides, as far as the verdict tells.
    is_ruled_out
        Whether it is unique though it is within the radius of another: what else is compared tells them apart.
    """

    entry: Entry
    radius: float
    fingerprint: str
    kept: tuple[bool, bool] = (False, False)
    is_ruled_out: bool = False


class Source(Protocol):
    """Verdicts that can be read more than once: the same each time, though perhaps in another order."""

    @property
    def about(self) -> About:
        """What holds for all."""

    def read(self) -> Iterator[Judged | Bad]:
        """Iterate over all there is.

        Raises
        ------
        Misconfigured, Unavailable
            It cannot be read.
        """

    def notes(self) -> Sequence[str]:
        """Return what a reader should know of it, once it has been read."""

    def kept(self) -> frozenset[str]:
        """Return the names of the images that are kept of their groups, where that is not the unique one."""

    def images(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Read]]:
        """Iterate over these entries in the order in which their images are quickest to read, with what reads each."""


def corners_of(box: Box) -> Outline | None:
    """Return the corners of a part of an image; None for all of it."""
    left, top, right, bottom = box
    if box == (0.0, 0.0, 1.0, 1.0):
        return None
    return (left, top), (right, top), (right, bottom), (left, bottom)
