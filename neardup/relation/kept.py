"""What is kept of an image besides its descriptor, and how its bytes are divided: the thumbnail first, then the look.

Of a member only the first part of its look is stored. Which parts there are, and whether they are of a member, is told
by the number of bytes: no two selections have as many.
"""

from collections.abc import Iterable
from enum import IntFlag

import numpy as np

from neardup.errors import Misconfigured
from neardup.relation.local_change import SIDE_PX as THUMBNAIL_PX
from neardup.relation.local_change import THUMBNAIL_BYTES, mirrored, thumbnail_of, turned
from neardup.relation.looks.look import (
    LOOK_BYTES,
    NEEDED_PX,
    STORED_LOOK_BYTES,
    look_of,
    stored_look,
    transformed_look,
    whole_look,
)
from neardup.relation.symmetry import motion
from neardup.types import Box, Kept, Pixels, Symmetry


class Parts(IntFlag):
    """What is kept of an image: nothing, a thumbnail for local change, a look for the second look, or both.

    The numbers are those of a stored record (`neardup.index.stored.codec`).
    """

    NOTHING = 0
    THUMBNAIL = 1
    LOOK = 2

    @property
    def nbytes(self) -> int:
        """How many bytes are kept of an image that is compared."""
        return sum(_BYTES[part] for part in self)

    @property
    def stored_nbytes(self) -> int:
        """How many of them are stored of a member."""
        return sum(_STORED_BYTES[part] for part in self)

    @property
    def needed_px(self) -> int:
        """Sides that an image should keep before they are taken: their pixels are then means of several."""
        return max((_NEEDED_PX[part] for part in self), default=0)

    def __str__(self) -> str:
        return " and ".join(f"a {part.name}".lower() for part in self) or "nothing"


_BYTES = {Parts.THUMBNAIL: THUMBNAIL_BYTES, Parts.LOOK: LOOK_BYTES}
"""Of each part, in their order."""
_STORED_BYTES = {Parts.THUMBNAIL: THUMBNAIL_BYTES, Parts.LOOK: STORED_LOOK_BYTES}
_NEEDED_PX = {Parts.THUMBNAIL: 2 * THUMBNAIL_PX, Parts.LOOK: NEEDED_PX}
ALL_PARTS = (Parts.NOTHING, Parts.THUMBNAIL, Parts.LOOK, Parts.THUMBNAIL | Parts.LOOK)
_SIZES = {parts.nbytes: (parts, _BYTES) for parts in ALL_PARTS} | {
    parts.stored_nbytes: (parts, _STORED_BYTES) for parts in ALL_PARTS
}


def kept_of(pixels: Pixels, parts: Parts) -> Kept | None:
    """Return what is kept of an image, from uint8 (height, width, 3) RGB pixels; None for nothing."""
    makers = {Parts.THUMBNAIL: thumbnail_of, Parts.LOOK: look_of}
    return joined({part: makers[part](pixels) for part in parts})


def kept_of_part(whole: Kept | None, pixels: Pixels, part: Box) -> Kept | None:
    """Return what is kept for a part of an image: the look is of the part, everything else of the whole.

    Parameters
    ----------
    whole
        What is kept of the image.
    pixels
        Of the part.
    part
        Where it lies in the image.
    """
    found = divided(whole)
    if Parts.LOOK in found:
        found[Parts.LOOK] = look_of(pixels, part)
    return joined(found)


def parts_of(kept: Kept | None) -> Parts:
    """Return what was kept: uint8 (b,) of an image, or (n, b) of many.

    Raises
    ------
    Misconfigured
        No parts have that many bytes.
    """
    return _sizes(kept)[0]


def _sizes(kept: Kept | None) -> tuple[Parts, dict[Parts, int]]:
    """Return the parts, and how many bytes each has."""
    size = 0 if kept is None else kept.shape[-1]
    if size not in _SIZES:
        raise Misconfigured(
            f"{size} bytes are kept of an image, which is neither a thumbnail nor a look: the index was filled by "
            "another version; bootstrap it again"
        )
    return _SIZES[size]


def divided(kept: Kept | None) -> dict[Parts, Kept]:
    """Return each part of what is kept, (b,) or (n, b); views."""
    if kept is None:
        return {}
    found: dict[Parts, Kept] = {}
    start = 0
    parts, nbytes = _sizes(kept)
    for part in parts:
        found[part] = kept[..., start : start + nbytes[part]]
        start += nbytes[part]
    return found


def joined(divided: dict[Parts, Kept]) -> Kept | None:
    """Put together what `divided` took apart; None for nothing."""
    return np.concatenate([divided[part] for part in sorted(divided)], axis=-1) if divided else None


def narrowed(kept: Kept | None, parts: Parts) -> Kept | None:
    """Return these parts only, of an image or of many; None for nothing.

    Raises
    ------
    Misconfigured
        One is missing: the image was described for an index that compares less.
    """
    held = parts_of(kept)
    if held == parts:
        return kept
    if missing := parts & ~held:
        raise Misconfigured(f"an image has {held} kept, but the index compares {missing}, too")
    found = divided(kept)
    return joined({part: found[part] for part in parts})


def stored_kept(kept: Kept | None) -> Kept | None:
    """Return what is stored of an image, uint8 (b,), if it becomes a member; of a member, what is stored already."""
    found = divided(kept)
    if Parts.LOOK in found and len(found[Parts.LOOK]) > STORED_LOOK_BYTES:
        found[Parts.LOOK] = stored_look(found[Parts.LOOK])
    return joined(found)


def transformed_kept(kept: Kept | None, symmetry: Symmetry) -> Kept | None:
    """Return what is kept of an image after a symmetry, uint8 (b,)."""
    if kept is None or symmetry is Symmetry.NONE:
        return kept
    mirror, turns = motion(symmetry)
    found = divided(kept)
    if Parts.THUMBNAIL in found:
        thumbnail = found[Parts.THUMBNAIL]
        found[Parts.THUMBNAIL] = turned(mirrored(thumbnail) if mirror else thumbnail, turns)
    if Parts.LOOK in found:
        found[Parts.LOOK] = transformed_look(found[Parts.LOOK], mirror, turns)
    return joined(found)


def stacked_kept(kept: Iterable[Kept | None], parts: Parts) -> Kept | None:
    """Return these parts of n images, at least one, as uint8 (n, b); None for nothing.

    Raises
    ------
    Misconfigured
        As `narrowed`.
    """
    if not parts:
        return None
    return np.stack([each for each in (_whole(narrowed(one, parts)) for one in kept) if each is not None])


def _whole(kept: Kept | None) -> Kept | None:
    """Return what is kept of a member in the shape of what is kept of an image, so that both can be stacked."""
    found = divided(kept)
    if Parts.LOOK in found:
        found[Parts.LOOK] = whole_look(found[Parts.LOOK])
    return joined(found)
