"""How one described image differs from another, and whether that makes it a duplicate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neardup.relation.local_change import largest_change
from neardup.relation.rule import Relation, stacked_thumbnails
from neardup.search.distance import l2_distances
from neardup.types import Symmetry, Variant, Verdict


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

    @property
    def why(self) -> str:
        """The reason for the verdict, in words."""
        side = "within" if self.distance <= self.radius else "beyond"
        parts = [f"distance {self.distance:.3f} is {side} the radius {self.radius:.3f}"]
        if self.local_change is not None and self.most_local_change is not None:
            side = "within" if self.local_change <= self.most_local_change else "beyond"
            parts.append(f"local change {self.local_change:.1f} is {side} {self.most_local_change:.1f}")
        if self.symmetry is not Symmetry.NONE:
            parts.append(f"nearest after {self.symmetry}")
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
        For the image in the nearest symmetry that makes it a duplicate; if none does, in the nearest of all.
    """
    l2 = l2_distances(np.stack([variant.descriptor for variant in image]), other[0].descriptor[np.newaxis])[:, 0]
    changes = _changes(image, other) if relation.has_thumbnails else None
    alike = l2 <= relation.radius
    if changes is not None:
        alike &= relation.allow(changes)
    # Variants that make it a duplicate first, then by distance; on a tie, the image as it came.
    best = int(np.lexsort((l2, ~alike))[0])
    return Comparison(
        verdict=Verdict.DUPLICATE if alike[best] else Verdict.UNIQUE,
        distance=float(l2[best]),
        radius=relation.radius,
        symmetry=image[best].symmetry,
        local_change=None if changes is None else float(changes[best]),
        most_local_change=relation.local_change,
        descriptor=fingerprint,
    )


def _changes(image: Sequence[Variant], other: Sequence[Variant]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    thumbnails = stacked_thumbnails(variant.thumbnail for variant in (other[0], *image))
    return largest_change(thumbnails[0], thumbnails[1:])
