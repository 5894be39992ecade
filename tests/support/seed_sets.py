"""Seed sets for tests of what duplicates what: few kinds of images, at distances that often are the radius."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from neardup.descriptors.base import unit_float16
from neardup.relation.images import Images
from neardup.relation.kept import Parts, joined
from neardup.relation.looks.look import LOOK_BYTES
from neardup.relation.looks.second_look import Looks
from neardup.relation.rule import Relation
from neardup.types import Descriptors
from tests.support.indexes import thumbnail


def descriptors_of(rows: NDArray[np.float32]) -> Descriptors:
    return unit_float16(rows)


def distances_of(descriptors: Descriptors) -> NDArray[np.float64]:
    return np.asarray(cdist(descriptors.astype(np.float64), descriptors.astype(np.float64)))


@st.composite
def seed_sets(draw: st.DrawFn) -> tuple[Descriptors, float]:
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, dimension = draw(st.integers(1, 60)), draw(st.integers(1, 6))
    rows = descriptors_of(random.integers(-2, 3, (count, dimension)).astype(np.float32))
    # A radius that is exactly a distance in the set is the interesting one.
    distances = distances_of(rows).ravel()
    return rows, float(draw(st.sampled_from([0.0, 0.3, 1.0, 2.0, *distances[:20]])))


@st.composite
def related_sets(draw: st.DrawFn) -> tuple[Images, Relation]:
    """Draw images whose variants are other rows, so that who came first matters, and thumbnails of few kinds."""
    rows, radius = draw(seed_sets())
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    local_change = draw(st.sampled_from([None, 0.0, 20.0, 40.0]))
    agreement = draw(st.sampled_from([None, 0.3, 0.7]))
    flips, rotations, parts = draw(st.booleans()), draw(st.booleans()), agreement is not None and draw(st.booleans())
    relation = Relation(
        radius, local_change, agreement, match_flips=flips, match_rotations=rotations, match_parts=parts
    )

    def shown(descriptors: Descriptors, parts_of: NDArray[np.intp] | None = None) -> Images:
        every = {
            Parts.THUMBNAIL: KINDS[random.integers(0, 3, len(descriptors))],
            Parts.LOOK: random.integers(0, 7, (len(descriptors), 1), dtype=np.uint8).repeat(LOOK_BYTES, axis=1),
        }
        return Images(descriptors, joined({part: every[part] for part in relation.parts}), parts_of=parts_of)

    def others(parts_of: NDArray[np.intp] | None = None) -> Images:
        return shown(rows[random.integers(0, len(rows), len(rows if parts_of is None else parts_of))], parts_of)

    variants = [others() for _ in relation.described_after[1:]]
    if relation.match_parts:
        variants += [others(np.flatnonzero(random.random(len(rows)) < share)) for share in (0.7, 0.3)]
    return shown(rows).with_variants(tuple(variants)), relation


KINDS = np.stack([thumbnail((8, 8), by=by) for by in (0, 20, 40)])


def any_looks(one: NDArray[np.uint8], many: NDArray[np.uint8], l2: NDArray[np.float64], *_: object) -> Looks:
    """Stand for whatever a second look may find: here it depends on which image is the later one, and on l2."""
    found = Looks.of_nothing(len(many))
    found.agreement[:] = ((2 * int(one[0]) + 3 * many[:, 0].astype(np.int64)) % 7 / 7).round(3)
    found.needed[:] = np.round(l2 % 1.0, 3)
    return found
