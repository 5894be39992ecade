"""The project's words as records; the architecture's glossary says what each word means."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Descriptors = NDArray[np.float16]
"""float16 (n, d), each row of unit L2 norm up to rounding; one row of it is one image's descriptor (d,)."""

Pixels = NDArray[np.uint8]
"""uint8 (height, width, 3), RGB."""

Thumbnail = NDArray[np.uint8]
"""uint8 (b,): what local change is measured on; see `neardup.relation.local_change`."""


class Verdict(StrEnum):
    """The published decision."""

    UNIQUE = "unique"
    DUPLICATE = "duplicate"


class Symmetry(StrEnum):
    """What is done to an image before it is compared: mirrored left to right first, then turned counter-clockwise."""

    NONE = "none"
    MIRROR = "mirror"
    ROTATE_90 = "rotate90"
    ROTATE_180 = "rotate180"
    ROTATE_270 = "rotate270"
    MIRROR_ROTATE_90 = "mirror-rotate90"
    MIRROR_ROTATE_180 = "mirror-rotate180"
    MIRROR_ROTATE_270 = "mirror-rotate270"


@dataclass(frozen=True, slots=True)
class Variant:
    """An image as it is compared with members: as it came, or after a symmetry.

    Attributes
    ----------
    symmetry
        What was done to it.
    descriptor
        float16 (d,), unit norm.
    thumbnail
        uint8 (b,); None where local change does not count.
    """

    symmetry: Symmetry
    descriptor: Descriptors
    thumbnail: Thumbnail | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One described image that asks for its verdict.

    Attributes
    ----------
    key
        Idempotency key: the coordinates of the message (``topic-partition-offset``), or a seed's path. The same
        key always gets the same verdict.
    image_id
        What the publisher calls the image; two messages may share it.
    descriptor
        float16 (d,), unit norm.
    captured_at_ms
        Event time in milliseconds since the epoch; 0 when unknown. What says it is to ask `neardup.capture_time` first.
    thumbnail
        uint8 (b,), for an index in which local change counts; else None.
    variants
        The image after each symmetry under which it may match; without the image as it came.
    frames
        How many frames or pages its file has.
    """

    key: str
    image_id: str
    descriptor: Descriptors
    captured_at_ms: int = 0
    thumbnail: Thumbnail | None = None
    variants: tuple[Variant, ...] = ()
    frames: int = 1

    @property
    def compared(self) -> tuple[Variant, ...]:
        """All that is compared with members, the image as it came first."""
        return (Variant(Symmetry.NONE, self.descriptor, self.thumbnail), *self.variants)


@dataclass(frozen=True, slots=True)
class Member:
    """A stored descriptor with its id and origin; fields as in `Query`."""

    key: str
    image_id: str
    descriptor: Descriptors
    captured_at_ms: int = 0
    thumbnail: Thumbnail | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a member comes from; fields as in `Query`."""

    key: str
    captured_at_ms: int


@dataclass(frozen=True, slots=True)
class Match:
    """A member and how it differs from a query.

    Attributes
    ----------
    l2_distance
        From the query's variant.
    local_change
        Likewise; None where it does not count.
    symmetry
        Of that variant.
    """

    member: Member
    l2_distance: float
    local_change: float | None = None
    symmetry: Symmetry = Symmetry.NONE


@dataclass(frozen=True, slots=True)
class Decision:
    """What the index decided for one query.

    Attributes
    ----------
    verdict
        Unique or duplicate.
    duplicate_of
        Image id of the matched member; None for a unique.
    l2_distance
        To the nearest member compared, in [0, 2], smaller is more alike; also for a unique; None only when the
        index was empty.
    cluster
        Number of the cell that the image belongs to; None in an index without centroids.
    generation
        Of the index that decided.
    local_change
        Largest local difference from the matched member; None for a unique, and where it does not count.
    symmetry
        What was done to the image before it matched; none for a unique.
    origin
        Of the matched member; None for a unique, and where it was not recorded.
    """

    verdict: Verdict
    duplicate_of: str | None
    l2_distance: float | None
    cluster: int | None
    generation: int
    local_change: float | None = None
    symmetry: Symmetry = Symmetry.NONE
    origin: Origin | None = None
