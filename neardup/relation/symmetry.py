"""Symmetries: an image mirrored or turned, to be compared again.

A mirrored copy is what people call a flip. A vertical flip is that and a turn by 180 degrees: it is found when both are
asked for. Together they are the eight symmetries of a square.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from PIL import Image

from neardup.types import Box, Pixels, Symmetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """What may be asked for. An index stores its switches; one stored before a switch existed has it off.

    Attributes
    ----------
    match_flips
        Whether an image is also compared mirrored.
    match_rotations
        Whether it is also compared turned by 90, 180 and 270 degrees.
    match_parts
        Whether each of these is also compared by the pictures found in it (`neardup.relation.insets`).
    """

    match_flips: bool = False
    match_rotations: bool = False
    match_parts: bool = False


SWITCHES = tuple(field.name for field in fields(Switches))


def switches_of(told: object) -> dict[str, Any]:
    """Return the switches by name, from anything that has them all: settings, metadata, a relation."""
    return {name: getattr(told, name) for name in SWITCHES}


@dataclass(frozen=True, slots=True)
class _Way:
    """How a symmetry is made: mirrored left to right, then turned counter-clockwise by quarters.

    Attributes
    ----------
    transpose
        Pillow's name for both together.
    """

    transpose: Image.Transpose
    mirror: bool = False
    turns: int = 0

    @property
    def switches(self) -> tuple[str, ...]:
        """The switches that must all be on for it."""
        return ("match_flips",) * self.mirror + ("match_rotations",) * bool(self.turns)


_WAYS = {
    Symmetry.MIRROR: _Way(Image.Transpose.FLIP_LEFT_RIGHT, mirror=True),
    Symmetry.ROTATE_90: _Way(Image.Transpose.ROTATE_90, turns=1),
    Symmetry.ROTATE_180: _Way(Image.Transpose.ROTATE_180, turns=2),
    Symmetry.ROTATE_270: _Way(Image.Transpose.ROTATE_270, turns=3),
    Symmetry.MIRROR_ROTATE_90: _Way(Image.Transpose.TRANSPOSE, mirror=True, turns=1),
    Symmetry.MIRROR_ROTATE_180: _Way(Image.Transpose.FLIP_TOP_BOTTOM, mirror=True, turns=2),
    Symmetry.MIRROR_ROTATE_270: _Way(Image.Transpose.TRANSVERSE, mirror=True, turns=3),
}
"""Every symmetry except `Symmetry.NONE`, one per line."""


def symmetries(asked: Switches) -> tuple[Symmetry, ...]:
    """Return the symmetries that an image is compared under, in addition to the image as it came."""
    return tuple(symmetry for symmetry, way in _WAYS.items() if all(getattr(asked, name) for name in way.switches))


def motion(symmetry: Symmetry) -> tuple[bool, int]:
    """Return whether a symmetry mirrors, and by how many quarters it then turns counter-clockwise."""
    if symmetry is Symmetry.NONE:
        return False, 0
    return _WAYS[symmetry].mirror, _WAYS[symmetry].turns


def transformed(pixels: Pixels, symmetry: Symmetry) -> Pixels:
    """Return uint8 (height, width, 3) pixels after a symmetry; (width, height, 3) after a quarter turn."""
    if symmetry is Symmetry.NONE:
        return pixels
    # Pillow turns a small image, such as a JPEG decoded at reduced size, in a quarter of NumPy's time.
    return np.asarray(Image.fromarray(pixels).transpose(_WAYS[symmetry].transpose), dtype=np.uint8)


def transformed_box(box: Box, symmetry: Symmetry) -> Box:
    """Return where a part of an image lies after a symmetry."""
    return moved_box(box, *motion(symmetry))


def moved_box(box: Box, mirror: bool, turns: int) -> Box:  # noqa: FBT001 - as `motion` returns them
    """Return where a part lies in an image mirrored left to right, if at all, then turned by quarters."""
    left, top, right, bottom = box
    if mirror:
        left, right = 1 - right, 1 - left
    for _ in range(turns):
        left, top, right, bottom = top, 1 - right, bottom, 1 - left
    return left, top, right, bottom
