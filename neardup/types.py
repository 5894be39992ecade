"""The project's words as records; the architecture's glossary says what each word means."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Descriptors = NDArray[np.float16]
"""float16 (n, d), each row of unit L2 norm up to rounding; one row of it is one image's descriptor (d,)."""

Pixels = NDArray[np.uint8]
"""uint8 (height, width, 3), RGB."""

Kept = NDArray[np.uint8]
"""uint8 (b,), or (n, b) of many images: what is kept besides descriptors; see `neardup.relation.kept`."""

Box = tuple[float, float, float, float]
"""A part of an image: left, top, right and bottom, from 0 to 1 from the top left."""


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
class Look:
    """What a second look at an image and an earlier one found, as it is told and recorded: rounded.

    Attributes
    ----------
    agreement
        The share of the common part that shows the same, in [0, 1], with 3 decimals.
    needed
        How much of it the pair needs to be a duplicate, likewise; above 1 where no agreement is enough
        (`neardup.relation.looks.second_look.needed_agreement`).
    map
        The affine map from the later image, as it was compared, to the earlier one: ``x' = a x + b y + c`` and
        ``y' = d x + e y + f``, as (a, b, c, d, e, f) with 4 decimals; x and y go from 0 to 1 from the top left.
    brightness
        By how many grey levels the common part is brighter in the later image, with 1 decimal.
    contrast
        The ratio of its contrast to that in the earlier image, with 2 decimals.
    colour
        By how many of 256 levels it is bluer (Cb) and redder (Cr) there, with 1 decimal.
    """

    agreement: float
    needed: float
    map: tuple[float, float, float, float, float, float]
    brightness: float
    contrast: float
    colour: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Variant:
    """An image as it is compared with members: as it came, after a symmetry, or by a part of either.

    Attributes
    ----------
    symmetry
        What was done to it.
    descriptor
        float16 (d,), unit norm; of the part, if it is one.
    kept
        uint8 (b,), of the whole image; None where nothing but descriptors is compared.
    part
        Which part of the image after the symmetry; None for all of it.
    """

    symmetry: Symmetry
    descriptor: Descriptors
    kept: Kept | None = None
    part: Box | None = None


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
    kept
        As in `Variant`.
    variants
        What else of the image is compared: all but the image as it came, in the order of
        `neardup.relation.describing.PreparedImage.views`.
    frames
        How many frames or pages its file has.
    seeks_parts
        Whether parts of it were looked for, though there may be none.
    """

    key: str
    image_id: str
    descriptor: Descriptors
    captured_at_ms: int = 0
    kept: Kept | None = None
    variants: tuple[Variant, ...] = ()
    frames: int = 1
    seeks_parts: bool = False

    @property
    def compared(self) -> tuple[Variant, ...]:
        """All that is compared with members, the image as it came first."""
        return (Variant(Symmetry.NONE, self.descriptor, self.kept), *self.variants)


@dataclass(frozen=True, slots=True)
class Member:
    """A stored descriptor with its id and origin; fields as in `Query`."""

    key: str
    image_id: str
    descriptor: Descriptors
    captured_at_ms: int = 0
    kept: Kept | None = None


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
    look
        What a second look at that variant found; None where none was taken.
    """

    member: Member
    l2_distance: float
    local_change: float | None = None
    symmetry: Symmetry = Symmetry.NONE
    look: Look | None = None


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
    look
        What a second look at the image and the matched member found; None for a unique, and where none is taken.
    """

    verdict: Verdict
    duplicate_of: str | None
    l2_distance: float | None
    cluster: int | None
    generation: int
    local_change: float | None = None
    symmetry: Symmetry = Symmetry.NONE
    origin: Origin | None = None
    look: Look | None = None
