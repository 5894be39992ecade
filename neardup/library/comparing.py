"""How one image differs from another, and whether that makes it a duplicate."""

from dataclasses import dataclass

import numpy as np

from neardup.describe_batch import Compared
from neardup.descriptors import DEFAULT
from neardup.library.describing import compared_or_raise
from neardup.library.images import ImageLike
from neardup.library.options import descriptor_of, relation_of
from neardup.relation.describing import Describer
from neardup.relation.local_change import largest_change
from neardup.relation.rule import Relation, stacked_thumbnails
from neardup.search.distance import l2_distances
from neardup.types import Symmetry, Verdict


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
        Largest distance of a duplicate, inclusive.
    symmetry
        What was done to the image before it was compared: `Symmetry.NONE`, or how it is nearest.
    local_change
        Largest difference in one place, in grey levels; None when it was not asked for.
    most_local_change
        Largest local change of a duplicate, inclusive; None when it was not asked for.
    descriptor
        Fingerprint of the descriptor: distances of two fingerprints cannot be compared.

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


def compare(
    image: ImageLike,
    other: ImageLike,
    *,
    radius: float | None = None,
    descriptor: str = DEFAULT,
    local_change: float | None = None,
    match_flips: bool = False,
    match_rotations: bool = False,
) -> Comparison:
    """Compare an image with another, and decide whether it is a duplicate of it.

    Parameters
    ----------
    image, other
        Paths, encoded bytes, PIL images or arrays. With symmetries it is `image` that is mirrored and turned.
    radius
        Largest distance of a duplicate, 0 to 2; None takes the descriptor's own.
    descriptor
        ``dct``, ``copynet`` and others.
    local_change
        Largest difference in one place, in grey levels, that a duplicate may have; None compares only the whole.
    match_flips, match_rotations
        Whether a mirrored image, and one turned by 90, 180 or 270 degrees, is a duplicate, too.

    Returns
    -------
    Comparison
        Of the image in the symmetry that makes it a duplicate; else in the nearest one.

    Raises
    ------
    BadInput
        An image cannot be decoded or described; the message says which.
    OSError
        A file cannot be read.
    Misconfigured
        An option is out of its range.

    Examples
    --------
    >>> import neardup
    >>> found = neardup.compare("photos/cat_small.jpg", "photos/cat.jpg")
    >>> found.verdict == "duplicate", found.radius
    (True, 0.36)
    >>> found.why
    'distance 0.0... is within the radius 0.360'
    """
    chosen = descriptor_of(descriptor)
    relation = relation_of(
        chosen,
        radius=radius,
        local_change=local_change,
        match_flips=match_flips,
        match_rotations=match_rotations,
    )
    first, second = compared_or_raise([image, other], Describer(chosen, relation), None)
    return _comparison(first, second, relation, chosen.fingerprint)


def _comparison(image: Compared, other: Compared, relation: Relation, fingerprint: str) -> Comparison:
    l2 = l2_distances(np.stack([variant.descriptor for variant in image]), other[0].descriptor[np.newaxis])[:, 0]
    changes = _changes(image, other) if relation.has_thumbnails else None
    alike = l2 <= relation.radius
    if changes is not None:
        alike &= relation.allow(changes)
    # Those that make it a duplicate first, then by distance, then the image as it came.
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


def _changes(image: Compared, other: Compared) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    thumbnails = stacked_thumbnails(variant.thumbnail for variant in (other[0], *image))
    return largest_change(thumbnails[0], thumbnails[1:])
