"""The second look: whether two images that are near each other show the same, place by place.

A descriptor sees a picture as a whole, so two views of one kind of scene may be near each other. A small grey picture
of each member, its look, is kept to tell them apart: the share of the places that show the same is the agreement.

Only this module knows what the bytes of a look are.

All sums are integers, and what is made of them is rounded element by element: the same on every machine, whatever else
is in the batch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neardup.errors import Misconfigured
from neardup.types import Pixels

VERSION = 1
"""Changes whenever the bytes of a look, or what is computed from them, would."""
DEFAULT_AGREEMENT = 0.7
"""What ``--agreement auto`` stands for."""

_SIDE_PX = 28
_TILE_PX = 4
_TILES = _SIDE_PX // _TILE_PX

LOOK_BYTES: int = _SIDE_PX * _SIDE_PX
"""Size of a look, in bytes."""
NEEDED_PX: int = 2 * _SIDE_PX
"""Sides that an image should keep before its look is taken: each of the look's pixels is then a mean of several."""

_TILE_AREA = _TILE_PX**2
_FLAT = 4 * _TILE_AREA**2
"""Added to a tile's variance, a deviation of 2 grey levels: two plain tiles show the same, whatever their noise."""
_ALIKE = 0.5
"""Least correlation of two tiles that show the same."""
_IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))

_Tiles = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Looks:
    """What a second look at pairs of images finds, a row for each pair.

    Attributes
    ----------
    agreement
        float64 (n,), in [0, 1]: the share of the common part that shows the same; 0 where no common part is found.
    maps
        float64 (n, 2, 3): the affine map from the later image to the earlier one, x and y from 0 to 1 in both, from the
        top left.
    brightness
        float64 (n,), in grey levels: by how much the common part is brighter in the later image.
    contrast
        float64 (n,): the ratio of the later image's contrast to the earlier one's.
    """

    agreement: NDArray[np.float64]
    maps: NDArray[np.float64]
    brightness: NDArray[np.float64]
    contrast: NDArray[np.float64]


def look_of(pixels: Pixels) -> NDArray[np.uint8]:
    """Return the look of an image, uint8 (LOOK_BYTES,), from uint8 (height, width, 3) RGB pixels."""
    small = Image.fromarray(pixels).convert("L").resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BILINEAR)
    return np.array(small, dtype=np.uint8).reshape(-1)


def transformed_look(look: NDArray[np.uint8], *, mirror: bool, turns: int) -> NDArray[np.uint8]:
    """Return the look of the image mirrored left to right, if at all, then turned counter-clockwise by quarters."""
    grey = look.reshape(_SIDE_PX, _SIDE_PX)
    return np.ascontiguousarray(np.rot90(grey[:, ::-1] if mirror else grey, turns)).reshape(-1)


def looks(one: NDArray[np.uint8], many: NDArray[np.uint8]) -> Looks:
    """Compare the look of a later image with those of many earlier ones.

    Parameters
    ----------
    one
        uint8 (LOOK_BYTES,), of the later image.
    many
        uint8 (n, LOOK_BYTES), of the earlier ones.

    Raises
    ------
    Misconfigured
        The looks have another size or type: they were made by another version.
    """
    _check(one, (LOOK_BYTES,))
    _check(many, (len(many), LOOK_BYTES))
    ours, theirs = _tiles(one[np.newaxis]), _tiles(many)
    our_sums, their_sums = ours.sum(axis=2), theirs.sum(axis=2)
    # All of it times the square of a tile's area, so that means need no division.
    shared = _TILE_AREA * (ours * theirs).sum(axis=2) - our_sums * their_sums
    our_power, their_power = _variance(ours, our_sums), _variance(theirs, their_sums)
    alike = shared + _FLAT >= _ALIKE * np.sqrt((our_power + _FLAT).astype(np.float64) * (their_power + _FLAT))
    strengths = (our_power.sum(axis=1) + _FLAT) / (their_power.sum(axis=1) + _FLAT)
    return Looks(
        agreement=alike.sum(axis=1) / _TILES**2,
        maps=np.tile(np.array(_IDENTITY), (len(many), 1, 1)),
        brightness=(our_sums.sum(axis=1) - their_sums.sum(axis=1)) / LOOK_BYTES,
        contrast=np.sqrt(strengths),
    )


def _check(rows: NDArray[np.uint8], shape: tuple[int, ...]) -> None:
    if rows.shape != shape or rows.dtype != np.uint8:
        raise Misconfigured(
            f"looks of {rows.dtype} {rows.shape}, uint8 {shape} is needed: the index was filled by another version; "
            "bootstrap it again"
        )


def _tiles(rows: NDArray[np.uint8]) -> _Tiles:
    """Return the pixels of each tile, int64 (n, tiles, pixels)."""
    squares = rows.astype(np.int64).reshape(-1, _TILES, _TILE_PX, _TILES, _TILE_PX)
    return squares.transpose(0, 1, 3, 2, 4).reshape(-1, _TILES**2, _TILE_AREA)


def _variance(tiles: _Tiles, sums: _Tiles) -> _Tiles:
    return np.asarray(_TILE_AREA * np.square(tiles).sum(axis=2) - np.square(sums), dtype=np.int64)
