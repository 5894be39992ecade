"""Second looks at the nearest pairs of a seed set: which are copies, and at what agreement others would pass."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bootstrap.calibration.distances import nearest_pairs
from bootstrap.calibration.tail import NearPairs
from neardup.decoding.limits import DecodeLimits
from neardup.errors import BadInput
from neardup.relation.edit import common_shares
from neardup.relation.images import Images
from neardup.relation.looks.look import LOOK_BYTES, NEEDED_PX, look_of, transformed_look
from neardup.relation.looks.second_look import AGREEMENT_DIGITS
from neardup.relation.rule import Checks, Relation
from neardup.search.distance import paired_l2_distances
from neardup.sources.images import SourceImage
from neardup.types import Descriptors, Kept

Rows = NDArray[np.intp]
ReadLooks = Callable[[frozenset[str]], dict[str, Kept]]
"""Returns looks by image id, of those that can be read."""

AGREEMENTS = (0.3, 0.4, 0.5, 0.6)
"""What ``--agreement auto`` chooses from. Above, many copies with a caption or a cut are lost."""
MOST_LOOKED = 5000
"""Pairs that are looked at: half a minute on a slow machine. 100 images, the fewest there are, have no more."""
_ANY_RADIUS = 2.0
_MOST_OF_IT = 0.6
"""Of a copy or its original: patterns, such as blobs or squares, may agree by chance where a small part overlaps."""
_NEARLY_EVERYWHERE = 0.9
"""Pictures that agree in so much are copies, and so are those that the highest agreement above lets pass, as plain
pictures hardly do. Of 11,458 near pairs of drawn pages and cards of one layout 10 are then taken for copies; of 3,398
near pairs of copies of photos three quarters are, and most of the others are joined by a third copy."""
_ROUNDED = 0.5 * 10.0**-AGREEMENT_DIGITS
"""What agreement, and how much is needed, are rounded by."""


@dataclass(frozen=True, slots=True)
class LookedPairs:
    """Pairs that were looked at, nearest first.

    Attributes
    ----------
    near
        The pairs.
    passes_up_to
        float64 (k,): the largest ``--agreement`` at which the pair is one of duplicates, whichever of the two is the
        later one, to the thousandth that what is needed is rounded to; 1 where they agree everywhere, infinite where
        blank pictures are near or no look is taken, negative where it is at none that is tried.
    copies
        bool (k,): whether the two agree nearly everywhere, or as much as the highest agreement that is tried asks for,
        and in most of one of them.
    """

    near: NearPairs
    passes_up_to: NDArray[np.float64]
    copies: NDArray[np.bool_]

    def at(self, which: NDArray[np.bool_]) -> "LookedPairs":
        """Return some of the pairs."""
        return LookedPairs(self.near.at(which), self.passes_up_to[which], self.copies[which])

    def among(self, rows: Rows) -> "LookedPairs":
        """Return the pairs of images that are among these rows, ascending; they are numbered anew."""
        place = np.full(self.near.images, -1)
        place[rows] = np.arange(len(rows))
        there = self.at(np.all(place[self.near.rows] >= 0, axis=1))
        near = NearPairs(there.near.l2_distance, place[there.near.rows], len(rows), there.near.floor)
        return LookedPairs(near, there.passes_up_to, there.copies)


def pairs_within(descriptors: Descriptors, radius: float, floor: float = 0.0) -> NearPairs:
    """Return the pairs of float16 (n, d) within a radius, inclusive, and above a floor.

    If they are more than `MOST_LOOKED`, the nearest are returned, one more than that.
    """
    near = nearest_pairs(descriptors, MOST_LOOKED + 1, floor)
    return near.at(near.l2_distance <= radius)


def looked_at(near: NearPairs, images: Images, relation: Relation) -> LookedPairs:
    """Take a second look at pairs of n images, in all their variants and from either of the two.

    Parameters
    ----------
    near
        The pairs, as rows of the images.
    images
        With what is kept of them for the second look.
    relation
        Its radius bounds the distances of variants; its agreement is the least that is tried.
    """
    ones, twos = near.rows.T
    passes, copies = np.full(len(ones), -1.0), np.zeros(len(ones), dtype=np.bool_)
    for later, earlier in ((ones, twos), (twos, ones)):
        for variant in (images, *images.variants):
            rows, pairs = variant.rows_of(later)
            l2 = paired_l2_distances(variant.descriptors[rows], images.descriptors[earlier[pairs]])
            kept = None if images.kept is None else images.kept[earlier[pairs]]
            checks = relation.check(variant.kept, rows, kept, l2, all_looks=True)
            up_to = passing_up_to(checks, relation)
            passes[pairs] = np.maximum(passes[pairs], np.where(l2 <= relation.radius, up_to, -1.0))
            copies[pairs] |= _are_copies(checks, up_to)
    return LookedPairs(near, passes, copies)


def looked_at_again(
    near: NearPairs, image_ids: Sequence[str], descriptors: Descriptors, looks: ReadLooks
) -> LookedPairs:
    """Take looks of images that have none, and return the pairs of which both could be read again.

    A mirrored picture may be a copy here, whatever the index will say.
    """
    found = looks(frozenset(image_ids[row] for row in np.unique(near.rows).tolist()))
    kept, mirrored = (np.zeros((len(image_ids), LOOK_BYTES), dtype=np.uint8) for _ in range(2))
    read = np.array([image_id in found for image_id in image_ids], dtype=np.bool_)
    for row in np.flatnonzero(read).tolist():
        kept[row] = look = found[image_ids[row]]
        mirrored[row] = transformed_look(look, mirror=True, turns=0)
    # The distance of a mirrored picture is not known, nor needed: a descriptor that finds it has both at one place.
    images = Images(descriptors, kept, (Images(descriptors, mirrored),))
    return looked_at(near.at(np.all(read[near.rows], axis=1)), images, Relation(_ANY_RADIUS, agreement=AGREEMENTS[0]))


def passing_up_to(checks: Checks, relation: Relation) -> NDArray[np.float64]:
    """Return the largest agreement at which each checked pair would pass, float64 (n,), as `LookedPairs` tells it."""
    looks = checks.looks
    if looks is None or relation.agreement is None:
        return np.where(checks.allowed, np.inf, -1.0)
    # What is needed is a multiple of the agreement asked for, and nothing where blank pictures are near. Both are
    # rounded: a pair passes as long as what it needs rounds to what it has.
    asked = (looks.needed - _ROUNDED) / (relation.agreement or 1.0)
    up_to = np.divide(looks.agreement + _ROUNDED, asked, out=np.full(len(asked), np.inf), where=asked > 0.0)
    # But at most 1: pictures that agree everywhere pass at any.
    up_to = np.where((looks.agreement >= 1.0) & (asked > 0.0), 1.0, up_to)
    return np.where(checks.allowed, np.maximum(up_to, relation.agreement), -1.0)


def _are_copies(checks: Checks, up_to: NDArray[np.float64]) -> NDArray[np.bool_]:
    copies = np.zeros(len(up_to), dtype=np.bool_)
    if checks.looks is None:
        return copies
    agree = (checks.looks.agreement >= _NEARLY_EVERYWHERE) | (np.isfinite(up_to) & (up_to >= AGREEMENTS[-1]))
    for pair in np.flatnonzero(agree).tolist():
        look = checks.look(pair)
        copies[pair] = look is not None and max(common_shares(look)) >= _MOST_OF_IT
    return copies


def read_looks(
    seeds: Iterable[SourceImage], wanted: frozenset[str], *, limits: DecodeLimits, workers: int
) -> dict[str, Kept]:
    """Read some of the seeds again, by image id, and return the look of each; without those that cannot be read."""
    read = partial(_look, limits=limits)
    with ThreadPoolExecutor(workers, thread_name_prefix="look") as pool:
        again = [seed for seed in seeds if seed.image_id in wanted] if wanted else []
        found = zip(again, pool.map(read, again), strict=True)
        return {seed.image_id: look for seed, look in found if look is not None}


def _look(seed: SourceImage, limits: DecodeLimits) -> Kept | None:
    try:
        return look_of(seed.pixels(NEEDED_PX, limits))
    except (BadInput, OSError):
        return None
