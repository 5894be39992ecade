"""Symmetries: an image mirrored and turned, to be compared once more.

A mirrored copy is what people call a flip. Upside down is a flip and a turn by 180 degrees: it is found when both are
asked for. Together they are the eight symmetries of a square.
"""

import numpy as np
from PIL import Image

from neardup.relation.local_change import mirrored, turned
from neardup.types import Pixels, Symmetry, Thumbnail

_STEPS = {
    Symmetry.NONE: (False, 0),
    Symmetry.MIRROR: (True, 0),
    Symmetry.ROTATE_90: (False, 1),
    Symmetry.ROTATE_180: (False, 2),
    Symmetry.ROTATE_270: (False, 3),
    Symmetry.MIRROR_ROTATE_90: (True, 1),
    Symmetry.MIRROR_ROTATE_180: (True, 2),
    Symmetry.MIRROR_ROTATE_270: (True, 3),
}
"""Whether to mirror left to right, then how many quarter turns counter-clockwise."""


# Pillow turns a small image, as a JPEG is that was decoded for its descriptor, in a quarter of numpy's time.
_TRANSPOSES = {
    Symmetry.MIRROR: Image.Transpose.FLIP_LEFT_RIGHT,
    Symmetry.ROTATE_90: Image.Transpose.ROTATE_90,
    Symmetry.ROTATE_180: Image.Transpose.ROTATE_180,
    Symmetry.ROTATE_270: Image.Transpose.ROTATE_270,
    Symmetry.MIRROR_ROTATE_90: Image.Transpose.TRANSPOSE,
    Symmetry.MIRROR_ROTATE_180: Image.Transpose.FLIP_TOP_BOTTOM,
    Symmetry.MIRROR_ROTATE_270: Image.Transpose.TRANSVERSE,
}


def symmetries(*, match_flips: bool, match_rotations: bool) -> tuple[Symmetry, ...]:
    """Return the symmetries that an image is compared under, beside itself: none, one, three or seven."""
    return tuple(
        symmetry
        for symmetry, (mirror, turns) in _STEPS.items()
        if (mirror or turns) and (match_flips or not mirror) and (match_rotations or not turns)
    )


def transformed(pixels: Pixels, symmetry: Symmetry) -> Pixels:
    """Return uint8 (height, width, 3) pixels after a symmetry; after a quarter turn (width, height, 3)."""
    if symmetry is Symmetry.NONE:
        return pixels
    return np.asarray(Image.fromarray(pixels).transpose(_TRANSPOSES[symmetry]), dtype=np.uint8)


def transformed_thumbnail(thumbnail: Thumbnail, symmetry: Symmetry) -> Thumbnail:
    """Return the thumbnail of an image after a symmetry, uint8 (b,)."""
    mirror, turns = _STEPS[symmetry]
    return turned(mirrored(thumbnail) if mirror else thumbnail, turns)
