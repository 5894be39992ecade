"""Chooses radius and agreement together: a false pair is one that is near and agrees."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bootstrap.calibration import radius
from bootstrap.calibration.counted import counted_bound
from bootstrap.calibration.edits import EditDistances
from bootstrap.calibration.looking import LookedPairs
from bootstrap.calibration.radius import CONFIDENCE, REACH, WANTED, Calibration
from bootstrap.calibration.tail import FEWEST_PAIRS, NearPairs, TailBound, tail_bound

_WORTH = 0.95
"""A higher agreement loses copies, and is taken only if the radius is smaller by more than this without it."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What one agreement allows: a radius, the share of pairs that may be false within it, and the tail's fit."""

    agreement: float
    radius: float
    shown: float | None
    false: NearPairs
    tail: TailBound | None = None


def choose_together(
    pairs: LookedPairs,
    edits: EditDistances,
    false_pairs: float,
    agreements: Sequence[float],
    candidate: float,
    *,
    comparisons: int = 1,
    names: Sequence[str] = (),
) -> Calibration:
    """Choose a radius, no larger than the candidate, and an agreement.

    Parameters
    ----------
    pairs
        All pairs of different images within the candidate radius, looked at.
    edits
        Of light edits, at least one.
    false_pairs
        Rate to keep.
    agreements
        To choose from, ascending.
    candidate
        The most that is taken.
    comparisons, names
        As in `radius.choose`.
    """
    rate = false_pairs / comparisons
    # An agreement that light edits do not reach is of no use; the first is what the user would have without a choice.
    usable = [each for each in agreements if each == agreements[0] or edits.agreeing(each) >= REACH]
    bounds = [bounded(pairs, each, rate, candidate) for each in usable]
    largest = max(bound.radius for bound in bounds)
    bound = next(each for each in bounds if each.radius >= _WORTH * largest)
    reach = min(candidate, radius.reach_of(edits.l2))
    taken = max(bound.radius, reach)
    kept = bound.shown is None or bound.shown <= rate
    shared = comparisons * share_within(bound, taken)
    return Calibration(
        radius=taken,
        method="edits" if bound.radius < reach else "pairs" if kept else "shown",
        false_pairs=false_pairs,
        images=pairs.near.images,
        bound=bound.radius,
        rate=radius.shown_rate(shared),
        found=round(edits.found(taken, bound.agreement), 4),
        edits=radius.quantiles(edits.l2),
        warning=_warning(bound, edits, taken, shared),
        curve=_curve(bound, edits, candidate, comparisons),
        nearest=radius.nearest(bound.false, names),
        exponent=round(bound.tail.fit.exponent, 2) if bound.tail else None,
        agreement=bound.agreement,
        agreements=tuple(agreements),
        candidate=candidate,
        looked=len(pairs.near),
        agreed=len(bound.false),
        shown=None if bound.shown is None else radius.shown_rate(comparisons * bound.shown),
    )


def bounded(pairs: LookedPairs, agreement: float, rate: float, candidate: float) -> Bound:
    """Return what an agreement allows, up to the candidate radius, given all pairs within it."""
    false = pairs.near.at(pairs.passes_up_to >= agreement)
    counted = counted_bound(false, candidate, rate, CONFIDENCE)
    if counted.shown > rate and len(false) > FEWEST_PAIRS:
        # Counting cannot show so small a rate, but there are enough for the law that they follow.
        tail = tail_bound(false, rate, CONFIDENCE)
        if tail is not None:
            return Bound(agreement, min(candidate, radius.rounded_down(tail.radius)), None, false, tail)
    return Bound(agreement, counted.radius, counted.shown, false)


def share_within(bound: Bound, at: float) -> float:
    """Return the best estimate of the share of all pairs that are false within a radius."""
    if bound.tail is not None:
        return radius.rate_within(bound.false, bound.tail.fit, at)
    return float(np.searchsorted(bound.false.l2_distance, at, side="right") / max(1, bound.false.pairs))


def _curve(bound: Bound, edits: EditDistances, end: float, comparisons: int) -> dict[str, list[float]]:
    def false_at(at: float) -> float:
        return comparisons * share_within(bound, at)

    return radius.curve_of(end, false_at, lambda at: edits.found(at, bound.agreement))


def _warning(bound: Bound, edits: EditDistances, taken: float, rate: float) -> str:
    if bound.radius < taken:
        return (
            f"different images of this seed set that agree by {bound.agreement:g} and more are as near one another as "
            f"light edits of one: they would allow a radius of {bound.radius:g}, {REACH:.0%} of the edits need "
            f"{taken:g}, which is taken: about {rate:.1g} of all pairs are then false; look at the report, or use "
            "--radius and --agreement"
        )
    found = edits.found(taken, bound.agreement)
    if found < WANTED:
        apart = 1.0 - edits.agreeing(bound.agreement)
        return f"{found:.1%} of light edits are found: {apart:.1%} agree with their original by less than is needed" + (
            ", others lie beyond the radius" if found + apart < WANTED else ""
        )
    return ""
