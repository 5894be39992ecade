"""The project's words as records; the architecture's glossary says what each word means."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Descriptors = NDArray[np.float16]
"""float16 (n, d), each row of unit L2 norm up to rounding; one row of it is one image's descriptor (d,)."""

Pixels = NDArray[np.uint8]
"""uint8 (height, width, 3), RGB."""


class Verdict(StrEnum):
    """The published decision."""

    UNIQUE = "unique"
    DUPLICATE = "duplicate"


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
        Event time in milliseconds since the epoch; 0 when unknown.
    """

    key: str
    image_id: str
    descriptor: Descriptors
    captured_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """A stored descriptor with its id and origin; fields as in `Query`."""

    key: str
    image_id: str
    descriptor: Descriptors
    captured_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Match:
    """A member and its L2 distance to a query."""

    member: Member
    l2_distance: float


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
    """

    verdict: Verdict
    duplicate_of: str | None
    l2_distance: float | None
    cluster: int | None
    generation: int
