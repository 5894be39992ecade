"""The second test for a camera feed: how much two nearly identical images differ in the place that changed most.

A person in the corner of a square hardly changes the picture as a whole, but changes one place in it completely. So a
small grey thumbnail of each member is kept, and two thumbnails are compared place by place:

1. Each pixel less the mean of its surroundings: overall brightness, slow shading and soft shadows drop out. Both
   thumbnails are then scaled to the same mean strength: the camera's gain drops out, too.
2. The difference between the two, less a share of the steepest edge beside it: what a small sway of the camera explains
   drops out.
3. The mean of that over each tile of 3 x 3 pixels, tiles overlapping: noise and compression average out, an object
   does not. The largest of these means, in grey levels, is the local change.

All of it is done in integers (the scaling is rounded to them), so it is the same to the last bit on every machine and
whichever image comes first. docs/camera.md says how the sizes were chosen, and what is too small to be seen.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neardup.errors import Misconfigured
from neardup.types import Pixels

SIDE_PX = 32
DEFAULT_LOCAL_CHANGE = 2.5
"""Above it two frames differ, in the camera profile: halfway, on a log scale, between still scenes and real changes."""

THUMBNAIL_BYTES: int = SIDE_PX * SIDE_PX
"""Size of a member's thumbnail, in bytes."""

Thumbnails = NDArray[np.uint8]
"""uint8 (n, THUMBNAIL_BYTES); each row is one image's thumbnail."""

_SURROUNDINGS_PX = 5
_TILE_PX = 3
_CHUNK = 32
"""Thumbnails compared at a time: the work arrays of one chunk stay in the processor's cache."""

_MAX_GAIN = 1.6
"""Largest ratio of two images' contrast strengths that is evened out: more than that is not the camera's gain."""
_FLAT_STRENGTH = SIDE_PX**2 * _SURROUNDINGS_PX**2
"""Added to the sum of contrasts, a grey level per pixel: an object before a plain wall must not pass for a gain."""

# Row and column numbers of a thumbnail with a margin in which the outermost pixels are repeated.
_WITH_MARGIN = np.clip(np.arange(-(_SURROUNDINGS_PX // 2), SIDE_PX + _SURROUNDINGS_PX // 2), 0, SIDE_PX - 1)

# (height, width, n): NumPy's inner loops then run over whole rows of all images, several times faster than over one's.
# A contrast is at most 25 * 255 * sqrt(1.6), the difference of two at most twice that: both fit. Sums of tiles do not.
_Planes = NDArray[np.int16]
_Integer = TypeVar("_Integer", np.int16, np.int32)


def thumbnail_of(pixels: Pixels) -> NDArray[np.uint8]:
    """Return the thumbnail of an image: its luminance (ITU-R BT.601), squeezed to a square, row by row.

    Parameters
    ----------
    pixels
        uint8 (height, width, 3), RGB.

    Returns
    -------
    ndarray
        uint8 (THUMBNAIL_BYTES,).
    """
    small = Image.fromarray(pixels).convert("L").resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
    return np.array(small, dtype=np.uint8).reshape(-1)


def largest_change(one: NDArray[np.uint8], many: Thumbnails) -> NDArray[np.float64]:
    """Return the largest local difference between one thumbnail and each of many.

    The result has the same bits whichever of the two comes first, and whatever else is in the batch.

    Parameters
    ----------
    one
        uint8 (THUMBNAIL_BYTES,).
    many
        uint8 (n, THUMBNAIL_BYTES).

    Returns
    -------
    ndarray
        float64 (n,), in grey levels of a tile's mean, 0 or more; 0 for the same thumbnail; smaller is more alike.

    Raises
    ------
    Misconfigured
        The thumbnails have another size or type: they were made by another version.
    """
    _check(one, (THUMBNAIL_BYTES,))
    _check(many, (len(many), THUMBNAIL_BYTES))
    reference = _contrast(one[np.newaxis])
    changes = np.empty(len(many), dtype=np.float64)
    for start in range(0, len(many), _CHUNK):
        changes[start : start + _CHUNK] = _changes(reference, _contrast(many[start : start + _CHUNK]))
    return changes


def mirrored(thumbnail: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the thumbnail of the image flipped left to right; both uint8 (THUMBNAIL_BYTES,)."""
    return np.ascontiguousarray(thumbnail.reshape(SIDE_PX, SIDE_PX)[:, ::-1]).reshape(-1)


def turned(thumbnail: NDArray[np.uint8], quarter_turns: int) -> NDArray[np.uint8]:
    """Return the thumbnail of the image turned counter-clockwise, as `numpy.rot90`; both uint8 (THUMBNAIL_BYTES,)."""
    return np.ascontiguousarray(np.rot90(thumbnail.reshape(SIDE_PX, SIDE_PX), quarter_turns)).reshape(-1)


def _check(thumbnails: NDArray[np.uint8], shape: tuple[int, ...]) -> None:
    if thumbnails.shape != shape or thumbnails.dtype != np.uint8:
        raise Misconfigured(
            f"thumbnails of {thumbnails.dtype} {thumbnails.shape}, uint8 {shape} is needed: the index was filled by "
            "another version; bootstrap it again"
        )


def _contrast(rows: Thumbnails) -> _Planes:
    """Return each pixel less the mean of the 5 x 5 around it, times 25; the outermost pixels are repeated outwards."""
    planes = np.ascontiguousarray(rows.T, dtype=np.int16).reshape(SIDE_PX, SIDE_PX, len(rows))
    padded = planes.take(_WITH_MARGIN, axis=0).take(_WITH_MARGIN, axis=1)
    return np.asarray(_SURROUNDINGS_PX**2 * planes - _box_sums(padded, _SURROUNDINGS_PX), dtype=np.int16)


def _steepest(planes: _Planes) -> _Planes:
    """Return the largest absolute difference between each pixel and its four neighbours."""
    steepest = np.zeros_like(planes)
    down = np.abs(planes[1:] - planes[:-1])
    across = np.abs(planes[:, 1:] - planes[:, :-1])
    for part, steps in (
        (steepest[1:], down),
        (steepest[:-1], down),
        (steepest[:, 1:], across),
        (steepest[:, :-1], across),
    ):
        np.maximum(part, steps, out=part)
    return steepest


def _changes(one: _Planes, others: _Planes) -> NDArray[np.float64]:
    ours, theirs = _of_equal_strength(one, others)
    difference = ours - theirs
    steepest = np.maximum(_steepest(ours), _steepest(theirs))
    # 3/8 of an edge: the difference that a sway by 3/8 of a thumbnail pixel makes, 1.2 % of the image's width.
    explained = (steepest >> 2) + (steepest >> 3)
    # Not np.clip, which takes ten times as long between two arrays.
    unexplained = difference - np.minimum(np.maximum(difference, -explained), explained)
    largest = np.abs(_box_sums(unexplained.astype(np.int32), _TILE_PX)).max(axis=(0, 1))
    return np.asarray(largest / (_SURROUNDINGS_PX * _TILE_PX) ** 2, dtype=np.float64)


def _of_equal_strength(one: _Planes, others: _Planes) -> tuple[_Planes, _Planes]:
    """Return both, scaled to the mean strength of their contrasts: the camera's gain drops out, within limits.

    Each side's factor is computed from the same two numbers, so it is the same whichever comes first.
    """
    ours, theirs = (np.abs(planes).sum(axis=(0, 1), dtype=np.int64) + _FLAT_STRENGTH for planes in (one, others))
    scaled = (
        np.rint(planes * np.sqrt(np.clip(other / own, 1 / _MAX_GAIN, _MAX_GAIN)).astype(np.float32))
        for planes, own, other in ((one, ours, theirs), (others, theirs, ours))
    )
    first, second = (np.asarray(planes, dtype=np.int16) for planes in scaled)
    return first, second


def _box_sums(planes: NDArray[_Integer], side_px: int) -> NDArray[_Integer]:
    """Return the sums over all squares with that side, (height - side_px + 1, width - side_px + 1, n)."""
    height, width = planes.shape[0] - side_px + 1, planes.shape[1] - side_px + 1
    rows = planes[:height].copy()
    for shift in range(1, side_px):
        rows += planes[shift : shift + height]
    sums = rows[:, :width].copy()
    for shift in range(1, side_px):
        sums += rows[:, shift : shift + width]
    return sums
