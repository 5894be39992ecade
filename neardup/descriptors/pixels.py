"""The plainest descriptor: a small colour thumbnail, flattened and normalised."""

import numpy as np
from numpy.typing import NDArray

from neardup.descriptors.base import Descriptor, thumbnail
from neardup.errors import Misconfigured
from neardup.types import Pixels

DEFAULT_SIDE_PX = 32
ARTICLE_SIDE_PX = 320
ARTICLE_RADIUS = 0.023
DEFAULT_RADIUS = 0.095
"""Just below one false pair in a million distinct photos, at 32 pixels (docs/descriptors.md)."""
_MAX_SIDE_PX = 1024


class PixelsDescriptor(Descriptor):
    """Colour pixels of a thumbnail, L2-normalised: brightness scales out, everything else counts.

    Parameters
    ----------
    side_px
        Side of the square thumbnail, 1 to 1024; the descriptor has ``3 * side_px**2`` numbers.
    """

    def __init__(self, side_px: int = DEFAULT_SIDE_PX) -> None:
        self.side_px = side_px
        self.spec = f"pixels:{side_px}"
        self.fingerprint = f"pixels-1:{side_px}x{side_px}-bilinear"
        self.dimension = 3 * side_px * side_px
        self.reduce_to_px = 2 * side_px
        self.default_radius = ARTICLE_RADIUS if side_px == ARTICLE_SIDE_PX else DEFAULT_RADIUS

    def prepare(self, pixels: Pixels) -> NDArray[np.uint8]:
        """Return the uint8 (side_px, side_px, 3) thumbnail."""
        return thumbnail(pixels, self.side_px)

    def features(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the flattened pixels as float32 (n, 3 * side_px**2), in [0, 255]."""
        return prepared.reshape(len(prepared), -1).astype(np.float32)


def from_spec(spec: str) -> PixelsDescriptor:
    """Return what ``pixels`` or ``pixels:SIDE`` names; see `neardup.descriptors.names`."""
    side = spec.partition(":")[2] or str(DEFAULT_SIDE_PX)
    if not side.isdecimal() or not 1 <= int(side) <= _MAX_SIDE_PX:
        raise Misconfigured(f"descriptor {spec!r}: the side is a number of pixels from 1 to {_MAX_SIDE_PX}")
    return PixelsDescriptor(int(side))
