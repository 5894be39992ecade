"""Chooses the radius, given what light edits need and what different images allow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.calibration.tail import NearPairs, TailBound, TailFit, enough_pairs, tail_bound

Document = dict[str, Any]

CONFIDENCE = 0.95
REACH = 0.90
"""This fraction of the light edits decides what counts as a copy, and is always found."""
WANTED = 0.99
"""If less than this fraction of the light edits is found, a warning says so."""
FEWEST_IMAGES = 100
"""With fewer different images the bound holds less often than it says (docs/calibration.md)."""
FEWEST_EDITS = 100
_CURVE_POINTS = 48
_DIGITS = 4
_NEAREST = 10
_SHOWN_GROUPS, _SHOWN_COPIES = 3, 4


@dataclass(frozen=True)
class Calibration:
    """A radius, and where it comes from.

    Attributes
    ----------
    radius
        Largest L2 distance that counts as a duplicate.
    method
        ``pairs`` when the false-pair bound decided; ``shown`` when no false pair was found, but in a set that is too
        small to show so low a rate; ``edits`` when light edits need more; ``default`` when the set says too little.
    false_pairs, confidence
        The rate asked for, and how surely the bound keeps it.
    images
        Different images that were compared with one another.
    bound
        Largest radius that keeps the rate at this confidence; None when it could not be found.
    rate
        Estimated fraction of the pairs of different images within the radius; None as for `bound`.
    found
        Fraction of the light edits within the radius; None when there were none.
    edits
        Quantiles of the distances of light edits by name, such as ``0.9``.
    warning
        What to tell the user; empty when all is well.
    curve
        Lists of equal length: ``radius``, ``false_pairs``, ``edits_found``.
    nearest
        The nearest pairs that were taken for different images: (image id, image id, distance).
    exponent
        Exponent of the tail: how fast false pairs grow with the radius.
    copies
        Ids of the images taken for edited copies of one image, and counted once: one tuple per such image.
    agreement
        Least agreement of a duplicate, chosen with the radius; None when no second look is taken.
    agreements
        What it was chosen from.
    candidate
        The largest radius that was considered.
    looked
        Pairs of different images within it, all of which were looked at.
    agreed
        How many of these agree, and so are false where the radius includes them.
    shown
        The largest rate at the bound that what was counted leaves room for, with this confidence; None when the rate
        asked for is kept by the law of the tail.
    sampled_from
        Images that those compared were drawn from; None when all were compared.
    """

    radius: float
    method: str
    false_pairs: float
    confidence: float = CONFIDENCE
    images: int = 0
    bound: float | None = None
    rate: float | None = None
    found: float | None = None
    edits: dict[str, float] = field(default_factory=dict)
    warning: str = ""
    curve: dict[str, list[float]] = field(default_factory=dict)
    nearest: list[tuple[str, str, float]] = field(default_factory=list)
    exponent: float | None = None
    copies: list[tuple[str, ...]] = field(default_factory=list)
    agreement: float | None = None
    agreements: tuple[float, ...] = ()
    candidate: float | None = None
    looked: int = 0
    agreed: int = 0
    shown: float | None = None
    sampled_from: int | None = None

    @property
    def copied(self) -> int:
        """Images that were left out as edited copies of others."""
        return sum(len(group) - 1 for group in self.copies)

    @property
    def warnings(self) -> list[str]:
        """What to tell the user, with image names."""
        return [text for text in (self.warning, self._about_nearest(), self._about_copies()) if text]

    def _about_copies(self) -> str:
        if not self.copies:
            return ""
        some = "; ".join(", ".join(group[:_SHOWN_COPIES]) for group in self.copies[:_SHOWN_GROUPS])
        mostly = "; a set of mostly copies calibrates badly: bootstrap again from its uniques alone"
        return (
            f"{self.copied} of {self.images + self.copied} images were taken for edited copies of others, and left out "
            f"of the calibration: {some}{'; ...' if len(self.copies) > _SHOWN_GROUPS else ''}"
            f"{mostly if self.copied > self.images else ''}"
        )

    def _about_nearest(self) -> str:
        if self.method != "edits" or not self.nearest:
            return ""
        some = "; ".join(f"{one} and {other}, {l2:g} apart" for one, other, l2 in self.nearest[:_SHOWN_GROUPS])
        return f"the nearest images that were taken for different ones: {some}"

    @property
    def pairs(self) -> int:
        """Pairs of different images that were compared."""
        return self.images * (self.images - 1) // 2

    def document(self) -> Document:
        """Return it as the index keeps it, without image names."""
        names = ("radius", "method", "false_pairs", "confidence", "images", "pairs", "bound", "rate", "found")
        document = {name: getattr(self, name) for name in (*names, "copied", "exponent", "edits", "warning", "curve")}
        if self.agreement is None:
            return document
        looked = ("agreement", "candidate", "looked", "agreed", "shown", "sampled_from")
        return {**document, "agreements": list(self.agreements), **{name: getattr(self, name) for name in looked}}


def reach_of(edits: NDArray[np.float64]) -> float:
    """Return the distance within which two images count as copies: what most light edits stay within."""
    return _up(float(np.quantile(edits, REACH)))


def choose(
    near: NearPairs,
    edits: NDArray[np.float64],
    false_pairs: float,
    names: Sequence[str] = (),
    comparisons: int = 1,
) -> Calibration | None:
    """Choose the radius; None when there are too few pairs to bound anything.

    It is the false-pair bound, but no less than `reach_of` the edits: a radius that misses an image that was merely
    saved again is of no use.

    Parameters
    ----------
    near
        Nearest pairs of images that are all different, above `reach_of` the edits.
    edits
        float64 (k,), ascending: distances of light edits, at least one.
    false_pairs
        Rate to keep.
    names
        Image ids of the rows.
    comparisons
        How often two images are compared: once for each variant of the later one. Each of these may go wrong as often
        as the first, so the rate is divided among them (Boole's inequality).
    """
    bound = tail_bound(near, false_pairs / comparisons, CONFIDENCE)
    if bound is None:
        return None
    reach = reach_of(edits)
    allowed = rounded_down(min(2.0, bound.radius))
    radius = max(allowed, reach)
    rate = comparisons * rate_within(near, bound.fit, radius)
    return Calibration(
        radius=radius,
        method="pairs" if allowed >= reach else "edits",
        false_pairs=false_pairs,
        images=near.images,
        bound=allowed,
        rate=shown_rate(rate),
        found=round(_part_within(edits, radius), 4),
        edits=quantiles(edits),
        warning=_warning(allowed, edits, rate, false_pairs),
        curve=curve(near, bound, edits, radius, comparisons),
        nearest=nearest(near, names),
        exponent=round(bound.fit.exponent, 2),
    )


def _warning(allowed: float, edits: NDArray[np.float64], rate: float, false_pairs: float) -> str:
    reach = reach_of(edits)
    if allowed < reach:
        return (
            f"different images of this seed set are as near one another as light edits of one: a radius of {allowed:g} "
            f"would keep {false_pairs:g} false pairs, {REACH:.0%} of the edits need {reach:g}, which is taken: about "
            f"{rate:.1g} of all pairs are then false; look at the report, or use --radius"
        )
    found = _part_within(edits, allowed)
    if found < WANTED:
        return (
            f"{found:.1%} of light edits are found: {WANTED:.0%} would need a radius of "
            f"{float(np.quantile(edits, WANTED)):.4f}, more than {false_pairs:g} false pairs allow"
        )
    return ""


def default(
    radius: float, false_pairs: float, images: int, why: str, *, measured: bool, edits: NDArray[np.float64]
) -> Calibration:
    """Return the descriptor's own radius, and the reason in the warning."""
    what = "the descriptor's default, measured on photos" if measured else "a guess, not measured"
    return Calibration(
        radius=radius,
        method="default",
        false_pairs=false_pairs,
        images=images,
        found=round(_part_within(edits, radius), 4) if len(edits) else None,
        edits=quantiles(edits),
        warning=f"not calibrated, {why}: the radius {radius:g} is {what}",
    )


def rate_within(near: NearPairs, fit: TailFit, radius: float) -> float:
    """Return the fraction of all pairs within a radius: counted above the threshold of the fit, estimated below."""
    if radius <= fit.threshold or not near.pairs:
        return fit.rate_at(radius)
    # What the floor hides is added to what was counted.
    hidden = fit.rate - fit.pairs / near.pairs
    return float(hidden + np.searchsorted(near.l2_distance, radius, side="right") / near.pairs)


def curve(
    near: NearPairs, bound: TailBound, edits: NDArray[np.float64], radius: float, comparisons: int = 1
) -> dict[str, list[float]]:
    """Return false pairs and edits found at a range of radii, as the index keeps them."""
    end = min(float(near.l2_distance[-1]), max(1.5 * radius, float(edits[-1]) if len(edits) else 0.0))
    return curve_of(
        max(end, radius),
        lambda at: comparisons * rate_within(near, bound.fit, at),
        (lambda at: _part_within(edits, at)) if len(edits) else None,
    )


def curve_of(
    end: float, false_pairs: Callable[[float], float], edits_found: Callable[[float], float] | None
) -> dict[str, list[float]]:
    """Return both, which are functions of the radius, at radii up to the end, as the index keeps them."""
    radii = [float(at) for at in np.linspace(0.0, end, _CURVE_POINTS + 1)[1:]]
    return {
        "radius": [round(at, _DIGITS) for at in radii],
        "false_pairs": [shown_rate(false_pairs(at)) for at in radii],
        "edits_found": [round(edits_found(at), 4) for at in radii] if edits_found else [],
    }


def enough_for(images: int, false_pairs: float) -> int:
    """Return how many nearest pairs `choose` can use: the tail, and some more for the curve."""
    return min(images * (images - 1) // 2, 4 * enough_pairs(images, false_pairs))


def quantiles(edits: NDArray[np.float64]) -> dict[str, float]:
    """Return some quantiles of the edits' distances by name; empty when there are none."""
    if not len(edits):
        return {}
    return {f"{part:g}": round(float(np.quantile(edits, part)), _DIGITS) for part in (0.5, REACH, WANTED, 1.0)}


def nearest(near: NearPairs, names: Sequence[str]) -> list[tuple[str, str, float]]:
    """Return the nearest pairs by the names of their rows, with their distances."""
    if not names:
        return []
    pairs = zip(near.rows[:_NEAREST].tolist(), near.l2_distance[:_NEAREST].tolist(), strict=True)
    return [(names[one], names[two], round(l2, _DIGITS)) for (one, two), l2 in pairs]


def _part_within(edits: NDArray[np.float64], radius: float) -> float:
    return float(np.searchsorted(edits, radius, side="right") / max(1, len(edits)))


def shown_rate(rate: float) -> float:
    """Return a rate to three digits, as it is kept and shown."""
    return float(f"{rate:.3g}")


def rounded_down(radius: float) -> float:
    """Return a radius to four digits, and no larger than it was."""
    return float(np.floor(radius * 10**_DIGITS) / 10**_DIGITS)


def _up(radius: float) -> float:
    return float(np.ceil(radius * 10**_DIGITS) / 10**_DIGITS)
