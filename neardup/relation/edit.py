"""What a second look found, in the terms of whoever edits pictures: mirrored, turned, cut, inset, brighter, redder."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neardup.relation.rule import Relation
from neardup.relation.symmetry import motion
from neardup.types import Box, Look, Symmetry

Points = NDArray[np.float64]
"""float64 (k, 2): x and y of the corners of a polygon, from 0 to 1 from the top left."""

_SHARE_DIGITS = 3
_DEGREE_DIGITS = 1
_LEAST_DEGREES = 1.0
"""A smaller angle may be the map's own error: people are not told of it."""
_SMALLEST = 1e-6
"""Area below which a map has no inverse, and a polygon is none."""
_WHOLE_SHARE = 0.995
_FRAME: Points = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
_MIRROR = np.array([[-1.0, 0.0], [0.0, 1.0]])


@dataclass(frozen=True, slots=True)
class Edit:
    """How an image differs from the earlier one that it is a copy of.

    Attributes
    ----------
    mirrored
        Whether the image, mirrored left to right, shows what the earlier one does.
    turned
        Degrees by which it is then to be turned counter-clockwise, above -180 up to 180: the quarters of the symmetry
        and the angle of the map.
    scale
        How much of the earlier image's width, and of its height, the image's whole width and height cover once it is
        mirrored and turned; above 1 it has a margin around what both show.
    box
        What of the earlier image can be seen in the image.
    inset
        What of the image, as it came, shows that.
    brightness
        By how many grey levels the image is brighter there.
    contrast
        The ratio of its contrast to the earlier one's.
    colour
        By how many of 256 levels it is bluer (Cb), and redder (Cr), there; negative is yellower, and greener.

    Examples
    --------
    >>> import neardup
    >>> edit = neardup.compare("photos/cat_small.jpg", "photos/cat.jpg", agreement=0.3).edit
    >>> edit.mirrored, edit.turned, edit.box
    (False, 0.0, (0.0, 0.0, 1.0, 1.0))
    """

    mirrored: bool
    turned: float
    scale: tuple[float, float]
    box: Box
    inset: Box
    brightness: float
    contrast: float
    colour: tuple[float, float]

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "mirrored": self.mirrored,
            "turned": self.turned,
            "scale": list(self.scale),
            "box": list(self.box),
            "inset": list(self.inset),
            "brightness": self.brightness,
            "contrast": self.contrast,
            "colour": list(self.colour),
        }

    def __str__(self) -> str:
        parts = ["mirrored"] if self.mirrored else []
        if abs(self.turned) >= _LEAST_DEGREES:
            parts.append(f"turned by {self.turned:g} degrees")
        parts.append(f"shows {_share(self.box)} of the earlier image")
        if not _is_whole(self.inset):
            parts.append(f"in {_share(self.inset)} of its own frame")
        if self.brightness:
            parts.append(f"{abs(self.brightness):g} grey levels {'brighter' if self.brightness > 0 else 'darker'}")
        if (contrast := f"{self.contrast:g}") != "1":
            parts.append(f"{contrast} times the contrast")
        parts += _shift(self.colour[0], "bluer", "yellower") + _shift(self.colour[1], "redder", "greener")
        return ", ".join(parts)


def edit_of(look: Look, symmetry: Symmetry) -> Edit | None:
    """Return what was done to an image, from the look at it after a symmetry; None if both have no part in common."""
    common = common_part(look, symmetry)
    if common is None:
        return None
    linear = _matrix(look)[:, :2]
    whole = linear @ _linear(symmetry)
    mirrored = bool(np.linalg.det(whole) < 0)
    upright = whole @ _MIRROR if mirrored else whole
    # Of the rotation nearest to a map that may also stretch; y points down, so counter-clockwise is from y to x.
    turned = math.degrees(math.atan2(upright[0, 1] - upright[1, 0], upright[0, 0] + upright[1, 1]))
    later, earlier = common
    return Edit(
        mirrored=mirrored,
        turned=_rounded(180.0 if turned == -180.0 else turned, _DEGREE_DIGITS),  # noqa: PLR2004 - a half turn
        scale=(_rounded(math.hypot(*linear[:, 0])), _rounded(math.hypot(*linear[:, 1]))),
        box=_box(earlier),
        inset=_box(later),
        brightness=look.brightness,
        contrast=look.contrast,
        colour=look.colour,
    )


def look_document(relation: Relation, look: Look | None, symmetry: Symmetry) -> dict[str, Any]:
    """Return what documents tell of a second look: agreement, what is needed, and edit; empty where none is taken."""
    if look is None:
        return {} if relation.agreement is None else dict.fromkeys(("agreement", "agreement_needed", "edit"))
    edit = edit_of(look, symmetry)
    return {
        "agreement": look.agreement,
        "agreement_needed": look.needed,
        "edit": None if edit is None else edit.document(),
    }


def told_agreement(agreement: float, needed: float) -> str:
    """Say how much agrees, and how much would have to."""
    return f"agreement {agreement:g}, " + ("none is enough" if needed > 1 else f"{needed:g} is needed")


def common_part(look: Look, symmetry: Symmetry) -> tuple[Points, Points] | None:
    """Return the polygon that both images show: in the later image as it came, and in the earlier; None for none."""
    # From the later image as it came: first the symmetry, about the middle of the frame, then the map.
    turn = _linear(symmetry)
    to_compared = np.column_stack([turn, 0.5 - turn @ np.full(2, 0.5)])
    matrix = _matrix(look)
    linear = matrix[:, :2] @ to_compared[:, :2]
    shift = matrix[:, :2] @ to_compared[:, 2] + matrix[:, 2]
    if abs(np.linalg.det(linear)) < _SMALLEST:
        return None
    earlier = _clipped(_FRAME @ linear.T + shift)
    if _area(earlier) < _SMALLEST:
        return None
    return (earlier - shift) @ np.linalg.inv(linear).T, earlier


def common_shares(look: Look) -> tuple[float, float]:
    """Return how much of the later image's area, and of the earlier one's, is the part that both show, 0 to 1."""
    common = common_part(look, Symmetry.NONE)
    return (0.0, 0.0) if common is None else (_area(common[0]), _area(common[1]))


def _matrix(look: Look) -> Points:
    return np.array(look.map).reshape(2, 3)


def _linear(symmetry: Symmetry) -> Points:
    """Return what a symmetry does to directions, (2, 2)."""
    mirror, turns = motion(symmetry)
    quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])
    linear: Points = np.linalg.matrix_power(quarter, turns) @ (_MIRROR if mirror else np.eye(2))
    return linear


def _clipped(corners: Points) -> Points:
    """Return the part of a convex polygon that lies in the frame, (k, 2).

    Source: Sutherland and Hodgman, Reentrant Polygon Clipping, 1974.
    """
    for axis in (0, 1):
        for sign, limit in ((1.0, 0.0), (-1.0, -1.0)):
            corners = _cut(corners, sign * corners[:, axis] - limit)
    return corners


def _cut(corners: Points, inside: NDArray[np.float64]) -> Points:
    """Return what of a polygon lies where `inside`, a number for each corner, is not negative."""
    found: list[Points] = []
    for corner, here, after, there in zip(
        corners, inside, np.roll(corners, -1, axis=0), np.roll(inside, -1), strict=True
    ):
        if here >= 0:
            found.append(corner)
        if (here >= 0) != (there >= 0):
            found.append(corner + (after - corner) * (here / (here - there)))
    return np.array(found).reshape(-1, 2)


def _area(corners: Points) -> float:
    x, y = corners.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _box(corners: Points) -> Box:
    left, top, right, bottom = (
        _rounded(min(max(float(edge), 0.0), 1.0)) for edge in (*corners.min(axis=0), *corners.max(axis=0))
    )
    return left, top, right, bottom


def _rounded(number: float, digits: int = _SHARE_DIGITS) -> float:
    return round(number, digits) + 0.0  # not -0.0


def _shift(levels: float, more: str, less: str) -> list[str]:
    return [f"{abs(levels):g} levels {more if levels > 0 else less}"] if levels else []


def _is_whole(box: Box) -> bool:
    return (box[2] - box[0]) * (box[3] - box[1]) >= _WHOLE_SHARE


def _share(box: Box) -> str:
    if _is_whole(box):
        return "all"
    return f"{_span(box[0::2])} of the width and {_span(box[1::2])} of the height"


def _span(edges: Iterable[float]) -> str:
    first, last = edges
    return f"{100 * first:.0f} to {100 * last:.0f} %"
