"""Where the picture is in an image: the bars and frames of one colour around it are not part of it."""

import numpy as np
from numpy.typing import NDArray

from neardup.types import Pixels

TRIMMING = "trim2"
"""Part of the fingerprint of each descriptor that trims: the name changes whenever any trimming does."""
SAMPLES = 64
"""Most pixels looked at in a row or column: enough to tell a bar from a picture, whatever the size of the image."""
TOLERANCE_GREY_LEVELS = 12.0
"""How far a pixel of a bar may lie from the bar's colour: JPEG of quality 30 and noise of 8 levels stay below."""
UNIFORM_SHARE = 0.95
"""Share of a row's pixels that lie that near in a bar: scans have specks of dust."""
EDGE_SHARE = 0.9
"""Share of the pixels that change between the last row of a bar and the picture, over the picture's width.

A sky or a night begins gradually, an object on white begins at its tip, and every copy would put that start elsewhere.
At a half, objects with nearly straight outlines (toasters, flames) passed for pictures in one copy but not in another.
"""
STEP_PX = 3
"""A reduced-size decode and a resize smear the edge of a bar over this many rows."""
PICTURE_DEPTH = 0.1
"""Share of the length over which the change has to last: the lines of a chart or a form are not pictures."""
DEEP_SHARE = 0.6
"""Share of the pixels that have changed over that length, on average: pictures have dark places, too.

The side-by-side bars of a chart are below it.
"""
WIDE_SHARE = 0.5
"""Share of that length over which a column must change to be part of the picture: a frame has sides, too."""
QUIET_SHARE = 0.25
"""Share of the pixels that a logo, a timestamp or the picture's own edge may take of the bar at the other end."""
LARGEST_SHARE = 0.375
"""Share of a side's length that may go at either end; at least a quarter of it is left."""

Lines = NDArray[np.uint8]


def trimmed(pixels: Pixels) -> Pixels:
    """Return the image without bars of one colour at its top and bottom, then left and right; a view of `pixels`.

    Bars come in pairs of one length and colour: letterbox, pillarbox, padding to a square, a frame. The shorter one
    counts, or a picture that is dark at one end would lose that end. Where only one end shows a bar, the other has one,
    too, if it is of the same colour over that length, except for a logo or a timestamp. Without a pair nothing is
    trimmed: a plain end is more often the picture itself, and its copies would be trimmed differently.

    Parameters
    ----------
    pixels
        uint8 (height, width, 3).

    Returns
    -------
    ndarray
        uint8 (height', width', 3), at least a quarter of each side. A wholly uniform image is left whole.
    """
    rows = _between_bars(pixels)
    return pixels[rows, _between_bars(pixels[rows].transpose(1, 0, 2))]


def _between_bars(lines: Lines) -> slice:
    """Return which of (n, length, 3) lines are the picture."""
    forwards = lines[:, :: -(-lines.shape[1] // SAMPLES)]
    backwards = forwards[::-1]
    first, last = (_bar(each) if _may_be_plain(each[0]) else 0 for each in (forwards, backwards))
    length = min(first, last) or max(first, last)
    bar, other = (forwards, backwards) if first else (backwards, forwards)
    if length and not _continues(bar[:length], other[:length]):
        length = 0
    return slice(length, len(lines) - length)


def _may_be_plain(line: NDArray[np.uint8]) -> bool:
    """Tell, by its brightness alone, whether nearly all of a line may be of one colour: few photos begin so."""
    sums = np.sort(np.add.reduce(line, axis=1, dtype=np.int16)).tolist()
    few = int((1 - UNIFORM_SHARE) * len(sums))
    return bool(sums[-1 - few] - sums[few] <= 2 * 3 * TOLERANCE_GREY_LEVELS)


def _bar(lines: Lines) -> int:
    """Return how many of the first lines are a bar of one colour with a picture behind it."""
    colour = _colour(lines[0])
    if _differing(lines[:1], colour)[0] > 1 - UNIFORM_SHARE:
        return 0
    longest = int(LARGEST_SHARE * len(lines))
    outside = _differing(lines[: longest + 1], colour) > 1 - UNIFORM_SHARE
    start = int(outside.argmax())  # 0 when there is no such line
    if not start:
        return 0
    depth = max(STEP_PX, round(PICTURE_DEPTH * len(lines)))
    behind = lines[start : start + depth]
    # It must differ from the bar, too: the bar's last line may be a rule, and the paper behind that differs from it.
    change = _far(behind, _colour(lines[start - 1])) & _far(behind, colour)
    across = np.flatnonzero(change.mean(axis=0) >= WIDE_SHARE)
    if change.mean() < DEEP_SHARE or not len(across):
        return 0
    edge = change[:STEP_PX, across[0] : across[-1] + 1]
    return start if edge.mean(axis=1).max() >= EDGE_SHARE else 0


def _continues(bar: Lines, other: Lines) -> bool:
    """Tell whether the lines at the other end are nearly all of the bar's colour."""
    return bool(_differing(other, _colour(bar.reshape(-1, 3))).mean() <= QUIET_SHARE)


def _colour(pixels: Lines) -> NDArray[np.uint8]:
    """Return the median of (n, 3) pixels, channel by channel, uint8 (3,).

    The mean of a white line with three black pixels in 61 is so grey that all its white would count as another colour:
    sheet music and signatures were trimmed in one copy but not in another.
    """
    return np.asarray(np.sort(pixels, axis=0)[len(pixels) // 2])


def _differing(lines: Lines, colour: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the share of each line's pixels that are not of the colour, float64 (n,)."""
    far = _far(lines, colour)
    # Twice as fast as a mean.
    return np.asarray(np.count_nonzero(far, axis=1) / far.shape[1])


def _far(lines: Lines, colour: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pixels of (n, length, 3) lines are not of the colour, bool (n, length)."""
    # Channel by channel in whole numbers: several times faster than over an axis of three.
    red, green, blue = (
        np.abs(plane - level) for plane, level in zip(lines.transpose(2, 0, 1), colour.astype(np.int16), strict=True)
    )
    return np.asarray(red + green + blue > 3 * TOLERANCE_GREY_LEVELS)
