"""Where the picture is in an image: the bars and frames of one colour around it are not part of it."""

import numpy as np
from numpy.typing import NDArray

from neardup.types import Pixels

TRIMMING = "trim2"
"""Part of the fingerprint of each descriptor that trims: another name whenever anything is trimmed otherwise."""
SAMPLES = 64
"""Most pixels looked at in a row or column: enough to tell a bar from a picture, whatever the size of the image."""
TOLERANCE_GREY_LEVELS = 12.0
"""How far a pixel of a bar may lie from the bar's colour: JPEG of quality 30 and noise of 8 levels stay below."""
UNIFORM_SHARE = 0.95
"""Share of a row's pixels that lie that near in a bar: a scan has its specks of dust."""
EDGE_SHARE = 0.9
"""Share of the pixels that change between the last row of a bar and the picture, over the picture's width.

A sky or a night begins little by little, a thing on a white ground by its tip: where, every copy would say differently.
At a half, things of nearly straight outlines (toasters, flames) passed for pictures in one copy and not in another.
"""
STEP_PX = 3
"""A reduced decode and a resize smear the edge of a bar over so many rows."""
PICTURE_DEPTH = 0.1
"""Share of the length over which the change has to last: the lines of a chart or a form are no pictures."""
DEEP_SHARE = 0.6
"""Share of the pixels that have changed over that length, on the average: pictures have dark places, too.

The bars of a chart side by side are below it.
"""
WIDE_SHARE = 0.5
"""Share of that length over which a column has changed, where it belongs to the picture: a frame has sides, too."""
QUIET_SHARE = 0.25
"""Share of the pixels that a logo, a timestamp or the picture's own edge may take of the bar at the other end."""
LARGEST_SHARE = 0.375
"""Of a side's length that may go at either end; what is left is a quarter of it at least."""

Lines = NDArray[np.uint8]


def trimmed(pixels: Pixels) -> Pixels:
    """Return the image without bars of one colour at its top and bottom, then left and right; a view of `pixels`.

    Bars come in pairs of one length and colour: letterbox, pillarbox, padding to a square, a frame. The shorter one
    counts, or a picture that is dark at one end would lose that end. Where one end alone shows a bar, the other has
    one, too, if it is of the same colour over that length, but for a logo or a timestamp. Without a pair nothing is
    trimmed: what is plain at one end is more often the picture itself, and its copies would be trimmed unlike.

    Parameters
    ----------
    pixels
        uint8 (height, width, 3).

    Returns
    -------
    ndarray
        uint8 (height', width', 3), a quarter of each side at least. An image that is uniform as a whole stays whole.
    """
    rows = _between_bars(pixels)
    return pixels[rows, _between_bars(pixels[rows].transpose(1, 0, 2))]


def _between_bars(lines: Lines) -> slice:
    """Return which of (n, length, 3) lines are the picture."""
    forwards = lines[:, :: -(-lines.shape[1] // SAMPLES)]
    backwards = forwards[::-1]
    first, last = _bar(forwards), _bar(backwards)
    length = min(first, last) or max(first, last)
    bar, other = (forwards, backwards) if first else (backwards, forwards)
    if length and not _continues(bar[:length], other[:length]):
        length = 0
    return slice(length, len(lines) - length)


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
    # Of another colour than the bar, too: its last line may be a rule, from which the paper behind it differs.
    change = _far(behind, _colour(lines[start - 1])) & _far(behind, colour)
    across = np.flatnonzero(change.mean(axis=0) >= WIDE_SHARE)
    if change.mean() < DEEP_SHARE or not len(across):
        return 0
    edge = change[:STEP_PX, across[0] : across[-1] + 1]
    return start if edge.mean(axis=1).max() >= EDGE_SHARE else 0


def _continues(bar: Lines, other: Lines) -> bool:
    """Tell whether the lines at the other end are nearly all of the colour of the bar."""
    return bool(_differing(other, _colour(bar.reshape(-1, 3))).mean() <= QUIET_SHARE)


def _colour(pixels: Lines) -> NDArray[np.uint8]:
    """Return the median of (n, 3) pixels, channel by channel, uint8 (3,).

    The mean of a white line with three black pixels of 61 is so grey that all its white would be another colour: music
    and signatures were trimmed in one copy and not in another.
    """
    return np.asarray(np.sort(pixels, axis=0)[len(pixels) // 2])


def _differing(lines: Lines, colour: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the share of each line's pixels that are not of the colour, float64 (n,)."""
    far = _far(lines, colour)
    # Twice as fast as a mean.
    return np.asarray(np.count_nonzero(far, axis=1) / far.shape[1])


def _far(lines: Lines, colour: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pixels of (n, length, 3) lines are not of the colour, bool (n, length)."""
    apart = np.abs(lines - colour.astype(np.float32))
    # Twice as fast as a sum over an axis of three.
    return np.asarray(apart[:, :, 0] + apart[:, :, 1] + apart[:, :, 2] > 3 * TOLERANCE_GREY_LEVELS)
