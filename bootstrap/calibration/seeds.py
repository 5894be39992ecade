"""Calibration at bootstrap, from the seed set itself."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bootstrap.calibration import radius
from bootstrap.calibration.distances import apart, in_order_of_digest, most_images, nearest_pairs
from bootstrap.calibration.edits import edit_distances
from bootstrap.calibration.isolation import originals_of
from bootstrap.calibration.radius import Calibration
from neardup.decoding.limits import DecodeLimits
from neardup.descriptors.base import Descriptor
from neardup.sources.images import SourceImage
from neardup.types import Descriptors

Rows = NDArray[np.intp]

_MOST_EDITED, _FEWEST_EDITED = 100, 30
_EDITED_PART = 20
"""One seed in this many is edited: a descriptor that is slow on the seeds is slow on their edits, too."""


def calibrate_seeds(
    seeds: Iterable[SourceImage],
    image_ids: Sequence[str],
    descriptors: Descriptors,
    descriptor: Descriptor,
    false_pairs: float,
    *,
    comparisons: int = 1,
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
    limits
        What an image may cost.
    workers
        Threads; None takes one for each processor.
    """
    order = in_order_of_digest(descriptors)
    originals = _edited(image_ids, descriptors, order)
    edits = edit_distances(
        seeds, originals, descriptor, limits=limits or DecodeLimits(), workers=workers or os.cpu_count() or 1
    )
    measured = descriptor.radius_is_measured

    def fallback(images: int, why: str) -> Calibration:
        return radius.default(descriptor.default_radius, false_pairs, images, why, measured=measured, edits=edits)

    if len(order) < radius.FEWEST_IMAGES:
        return fallback(len(order), _too_few(len(order)))
    if len(edits) < radius.FEWEST_EDITS:
        return fallback(len(order), "the seeds could not be read again")
    sample = order[: most_images(descriptors.shape[1])]
    different, copies = _without_copies(sample[apart(descriptors[sample], radius.reach_of(edits))], descriptors)
    if len(different) < radius.FEWEST_IMAGES:
        return fallback(len(different), _too_few(len(different)))
    wanted = radius.enough_for(len(different), false_pairs / comparisons)
    near = nearest_pairs(descriptors[different], wanted, radius.reach_of(edits))
    names = [image_ids[row] for row in different]
    chosen = radius.choose(near, edits, false_pairs, names, comparisons)
    chosen = chosen or fallback(len(different), _too_few(len(different)))
    return replace(chosen, copies=[tuple(image_ids[row] for row in group) for group in copies])


def _without_copies(rows: Rows, descriptors: Descriptors) -> tuple[Rows, list[Rows]]:
    """Return the rows without edited copies of others, and the groups: the row that stays, then its copies."""
    originals = originals_of(descriptors[rows])
    stays = originals == np.arange(len(rows))
    groups = [rows[originals == original] for original in np.unique(originals[~stays])]
    return rows[stays], groups


def _too_few(images: int) -> str:
    return f"the seed set has {images} different images and calibration needs {radius.FEWEST_IMAGES}"


def _edited(image_ids: Sequence[str], descriptors: Descriptors, order: Rows) -> dict[str, Descriptors]:
    """Return the descriptors of the seeds that are edited, by image id."""
    if len(order) < radius.FEWEST_IMAGES:
        return {}
    count = min(_MOST_EDITED, max(_FEWEST_EDITED, len(order) // _EDITED_PART))
    return {image_ids[row]: descriptors[row] for row in order[:count]}
