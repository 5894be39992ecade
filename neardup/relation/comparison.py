"""How one described image differs from another, and whether that makes it a duplicate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neardup.relation.edit import Edit, edit_of, told_agreement
from neardup.relation.kept import stacked_kept
from neardup.relation.rule import Relation
from neardup.search.distance import l2_distances
from neardup.types import Box, Look, Symmetry, Variant, Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """How an image differs from another, and the verdict.

    Attributes
    ----------
    verdict
        `Verdict.DUPLICATE` or `Verdict.UNIQUE`; compares equal to ``"duplicate"`` or ``"unique"``.
    distance
        L2 distance of the two descriptors, in [0, 2]; 0 is identical.
    radius
        Largest distance at which an image is a duplicate, inclusive.
    symmetry
        What was done to the image before it was compared: `Symmetry.NONE`, or whatever brings it nearest.
    local_change
        Largest difference in one place, in grey levels; None when it was not asked for.
    most_local_change
        Largest local change at which an image is a duplicate, inclusive; None when it was not asked for.
    descriptor
        Fingerprint of the descriptor: distances under different fingerprints cannot be compared.
    look
        What a second look at both found; None when it was not asked for.
    least_agreement
        The agreement that was asked for; `agreement_needed` is what this pair needs. None when it was not asked for.
    part
        Which part of the image, after the symmetry, the distance is that of; None for all of it.

    Examples
    --------
    >>> import neardup
    >>> neardup.compare("photos/cat.jpg", "photos/cat.jpg").distance
    0.0
    """

    verdict: Verdict
    distance: float
    radius: float
    symmetry: Symmetry
    local_change: float | None
    most_local_change: float | None
    descriptor: str
    look: Look | None = None
    least_agreement: float | None = None
    part: Box | None = None

    @property
    def agreement(self) -> float | None:
        """The share of what both show that is the same, 0 to 1; None when it was not asked for."""
        return None if self.look is None else self.look.agreement

    @property
    def agreement_needed(self) -> float | None:
        """The least agreement at which this pair is duplicates; above 1 where none is enough, None as above."""
        return None if self.look is None else self.look.needed

    @property
    def edit(self) -> Edit | None:
        """How the image differs from the other; None when it was not asked for, and with nothing in common."""
        return None if self.look is None else edit_of(self.look, self.symmetry)

    @property
    def why(self) -> str:
        """The reason for the verdict, in words."""
        side = "within" if self.distance <= self.radius else "beyond"
        parts = [f"distance {self.distance:.3f} is {side} the radius {self.radius:.3f}"]
        if self.local_change is not None and self.most_local_change is not None:
            side = "within" if self.local_change <= self.most_local_change else "beyond"
            parts.append(f"local change {self.local_change:.1f} is {side} {self.most_local_change:.1f}")
        if self.look is not None:
            parts.append(told_agreement(self.look.agreement, self.look.needed))
        if self.symmetry is not Symmetry.NONE:
            parts.append(f"nearest after {self.symmetry}")
        if self.part is not None:
            parts.append("nearest by a part")
        return ", ".join(parts)


def compare_described(
    image: Sequence[Variant], other: Sequence[Variant], relation: Relation, fingerprint: str
) -> Comparison:
    """Compare an image with another, just as a new image is compared with a member.

    Parameters
    ----------
    image
        The variants of the new image; the first is the image as it came.
    other
        The variants of the other; only the first is used, the image as it came.
    relation
        Decides when one is a duplicate of the other.
    fingerprint
        The descriptor's fingerprint.

    Returns
    -------
    Comparison
        For the nearest variant that makes it a duplicate; if none does, for the nearest of all.
    """
    l2 = l2_distances(np.stack([variant.descriptor for variant in image]), other[0].descriptor[np.newaxis])[:, 0]
    kept, earlier = (stacked_kept((variant.kept for variant in each), relation.parts) for each in (image, other[:1]))
    rows = np.arange(len(image))
    checks = relation.check(
        kept,
        rows,
        None if earlier is None else earlier.repeat(len(rows), axis=0),
        l2,
        all_looks=True,
    )
    alike = (l2 <= relation.radius) & checks.allowed
    # Variants that make it a duplicate first, then by distance; on a tie, the image as it came.
    best = int(np.lexsort((l2, ~alike))[0])
    return Comparison(
        verdict=Verdict.DUPLICATE if alike[best] else Verdict.UNIQUE,
        distance=float(l2[best]),
        radius=relation.radius,
        symmetry=checks.symmetry(best, image[best].symmetry),
        local_change=checks.local_change(best),
        most_local_change=relation.local_change,
        descriptor=fingerprint,
        look=checks.look(best),
        least_agreement=relation.agreement,
        part=image[best].part,
    )
