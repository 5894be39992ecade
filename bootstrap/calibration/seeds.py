"""Calibration at bootstrap, from the seed set itself."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bootstrap.calibration import radius
from bootstrap.calibration.copies import joined, merged, originals_by_look, sifted, stays
from bootstrap.calibration.distances import apart, in_order_of_digest, most_images, nearest_pairs
from bootstrap.calibration.edits import EditDistances, edit_distances
from bootstrap.calibration.isolation import originals_of
from bootstrap.calibration.looking import (
    AGREEMENTS,
    MOST_LOOKED,
    ReadLooks,
    looked_at_again,
    read_looks,
)
from bootstrap.calibration.radius import Calibration
from bootstrap.calibration.tail import MOST_PAIRS
from bootstrap.calibration.together import choose_together
from neardup.cores import count_of
from neardup.decoding.limits import DecodeLimits
from neardup.descriptors.base import Descriptor
from neardup.relation.images import Images
from neardup.relation.rule import Relation
from neardup.sources.images import SourceImage
from neardup.types import Descriptors, Symmetry, Variant

Rows = NDArray[np.intp]

_MOST_EDITED, _FEWEST_EDITED = 100, 30
_EDITED_PART = 20
"""One seed in this many is edited: a descriptor that is slow on the seeds is slow on their edits, too."""
_MANY_COPIES = 0.1
"""If more of the nearest pairs than that are copies, the next ones are, too."""


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What calibration needs where a second look decides beside the radius.

    Attributes
    ----------
    images
        The seeds with what is kept of them, a row for each id.
    relation
        Which decides, but for its radius and agreement.
    agreements
        To choose from, ascending, at least one.
    """

    images: Images
    relation: Relation
    agreements: Sequence[float] = AGREEMENTS

    def within(self, candidate: float) -> Relation:
        """Return the relation that looks at all that matters."""
        return replace(self.relation, radius=candidate, agreement=self.agreements[0])


def calibrate_seeds(
    seeds: Iterable[SourceImage],
    image_ids: Sequence[str],
    descriptors: Descriptors,
    descriptor: Descriptor,
    false_pairs: float,
    *,
    comparisons: int = 1,
    second_look: SecondLook | None = None,
    limits: DecodeLimits | None = None,
    workers: int | None = None,
) -> Calibration:
    """Choose a radius for a seed set; the same images give the same radius, whatever their names and order.

    Parameters
    ----------
    seeds
        The seeds: a few are read again.
    image_ids
        Ids of the seeds that were described.
    descriptors
        float16 (n, d), a row for each id.
    descriptor
        The descriptor that described them.
    false_pairs
        Largest fraction of the pairs of different images that may count as duplicates.
    comparisons
        How often an image is compared with each member: once for each of its variants.
    second_look
        Where one is taken: an agreement is then chosen with the radius. None chooses the radius by distances alone.
    limits
        What an image may cost.
    workers
        Threads; None takes one for each core it may use.
    """
    limits, workers = limits or DecodeLimits(), count_of(workers)
    candidate = descriptor.candidate_radius
    relation = second_look.within(candidate) if second_look else None
    order = in_order_of_digest(descriptors)
    edited = _edited(image_ids, descriptors, second_look, order)
    edits = edit_distances(seeds, edited, descriptor, relation, limits=limits, workers=workers)

    def fallback(images: int, why: str) -> Calibration:
        agreement = relation.agreement if relation else None
        measured, own = descriptor.radius_is_measured, descriptor.radius_for(agreement)
        chosen = radius.default(own, false_pairs, images, why, measured=measured, edits=edits.l2)
        return replace(chosen, agreement=agreement)

    if len(order) < radius.FEWEST_IMAGES:
        return fallback(len(order), _too_few(len(order)))
    if len(edits) < radius.FEWEST_EDITS:
        return fallback(len(order), "the seeds could not be read again")
    looks = partial(read_looks, seeds, limits=limits, workers=workers)
    sample = _Sample(
        image_ids, descriptors, order[: most_images(descriptors.shape[1])], edits, false_pairs, comparisons
    )
    found = sample.by_both(second_look, candidate) if second_look else sample.by_distance(looks)
    chosen = found.calibration or fallback(found.images, _too_few(found.images))
    if chosen.radius == chosen.candidate and not descriptor.radius_is_measured and not chosen.warning:
        guess = f"the radius {candidate:g} is the most that is taken, a guess: nobody measured this descriptor"
        chosen = replace(chosen, warning=guess)
    return replace(chosen, copies=[tuple(image_ids[row] for row in group) for group in found.copies])


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found: None where there are too few images, how many different ones, and the copies among them."""

    calibration: Calibration | None
    images: int
    copies: list[Rows]


@dataclass(frozen=True, slots=True)
class _Sample:
    """The seeds, the rows of those that are compared, how far light edits go, and the rate to keep."""

    image_ids: Sequence[str]
    descriptors: Descriptors
    rows: Rows
    edits: EditDistances
    false_pairs: float
    comparisons: int

    def by_distance(self, looks: ReadLooks) -> _Found:
        """Choose the radius by distances, among images of which no two are copies.

        Whether they are is seen by looks that are taken for this alone; the index has no use for them.
        """
        reach = radius.reach_of(self.edits.l2)
        rows = self.rows[apart(self.descriptors[self.rows], reach)]
        first = merged(self._originals_by_own_look(rows, reach, looks), originals_of(self.descriptors[rows]))
        # Where some are out of the way, others lie apart from all the rest.
        originals = joined(first, originals_of(self.descriptors[rows[stays(first)]]))
        different, chosen = rows[stays(originals)], None
        if len(different) >= radius.FEWEST_IMAGES:
            wanted = radius.enough_for(len(different), self.false_pairs / self.comparisons)
            near = nearest_pairs(self.descriptors[different], wanted, reach)
            chosen = radius.choose(near, self.edits.l2, self.false_pairs, self._ids(different), self.comparisons)
        return _Found(chosen, len(different), _groups(rows, originals))

    def _originals_by_own_look(self, rows: Rows, reach: float, looks: ReadLooks) -> Rows:
        """Return what each is a copy of, by looks at the nearest pairs, at more if many of these are copies."""
        for count in (MOST_PAIRS, MOST_LOOKED):
            near = nearest_pairs(self.descriptors[rows], count, reach)
            pairs = looked_at_again(near, self._ids(rows), self.descriptors[rows], looks)
            if pairs.copies.sum() <= _MANY_COPIES * len(near):
                break
        return originals_by_look(pairs)

    def by_both(self, second_look: SecondLook, candidate: float) -> _Found:
        """Choose radius and agreement, among images of which no two are copies."""
        relation = second_look.within(candidate)
        found = sifted(second_look.images, self.rows, relation, reach=radius.reach_of(self.edits.l2))
        chosen, different = None, found.different
        if len(different) >= radius.FEWEST_IMAGES:
            chosen = choose_together(
                found.pairs,
                self.edits,
                self.false_pairs,
                second_look.agreements,
                candidate,
                comparisons=self.comparisons,
                names=self._ids(different),
            )
            sampled = None if len(found.rows) == len(self.rows) else len(self.rows)
            chosen = replace(chosen, sampled_from=sampled)
        return _Found(chosen, len(different), _groups(found.rows, found.originals))

    def _ids(self, rows: Rows) -> list[str]:
        return [self.image_ids[row] for row in rows]


def _groups(rows: Rows, originals: Rows) -> list[Rows]:
    """Return the rows of each image that has copies: first the one that stays, then these."""
    copies = originals != np.arange(len(originals))
    return [rows[originals == original] for original in np.unique(originals[copies])]


def _too_few(images: int) -> str:
    return f"the seed set has {images} different images and calibration needs {radius.FEWEST_IMAGES}"


def _edited(
    image_ids: Sequence[str], descriptors: Descriptors, second_look: SecondLook | None, order: Rows
) -> dict[str, Variant]:
    """Return the seeds that are edited, by image id."""
    if len(order) < radius.FEWEST_IMAGES:
        return {}
    count = min(_MOST_EDITED, max(_FEWEST_EDITED, len(order) // _EDITED_PART))
    kept = second_look.images.kept if second_look else None
    return {
        image_ids[row]: Variant(Symmetry.NONE, descriptors[row], None if kept is None else kept[row])
        for row in order[:count]
    }
