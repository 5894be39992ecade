"""By which of its variants an image duplicates another, and how it differs: what a search leaves out."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neardup.relation.images import Images
from neardup.relation.rule import Relation
from neardup.search.distance import paired_l2_distances
from neardup.types import Look, Symmetry


class NearestVariant(NamedTuple):
    """The nearest variant that is alike, and how it differs; an infinite distance where none is."""

    l2_distance: float
    symmetry: Symmetry
    local_change: float | None = None
    look: Look | None = None


def nearest_variants(
    images: Images, rows: NDArray[np.intp], others: Images, relation: Relation
) -> list[NearestVariant]:
    """Return for each pair the nearest variant that is alike; on a tie the first.

    Parameters
    ----------
    images
        With all their variants.
    rows
        intp (k,): which of them.
    others
        k images, as they came: each is compared with the row at its place.
    relation
        When one is a duplicate of the other.
    """
    nearest = [NearestVariant(np.inf, Symmetry.NONE)] * len(rows)
    for variant in (images, *images.variants):
        own, pairs = variant.rows_of(rows)
        l2 = paired_l2_distances(variant.descriptors[own], others.descriptors[pairs])
        near = l2 <= relation.radius
        own, pairs, l2 = own[near], pairs[near], l2[near]
        found = relation.check(variant.kept, own, None if others.kept is None else others.kept[pairs], l2)
        for place in np.flatnonzero(found.allowed).tolist():
            pair = int(pairs[place])
            if l2[place] < nearest[pair].l2_distance:
                symmetry = found.symmetry(place, variant.symmetry)
                nearest[pair] = NearestVariant(float(l2[place]), symmetry, found.local_change(place), found.look(place))
    return nearest
