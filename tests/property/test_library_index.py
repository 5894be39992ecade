"""The library's index gives the verdicts of brute force, whatever comes in whatever order."""

from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neardup.index.base import IndexMeta
from neardup.index.memory import MemoryIndex
from neardup.library import members
from neardup.library.members import Members
from neardup.relation.images import side_by_side
from neardup.relation.rule import Relation
from neardup.types import Decision, Query, Verdict
from tests.property.test_index_agrees import AGREEMENTS, images_of
from tests.property.test_search_exact import small_filters
from tests.support.indexes import with_relation
from tests.support.spectra import Scene, scenes


@pytest.fixture(autouse=True)
def many_fits() -> Iterator[None]:
    with patch.object(members, "_REFIT_FACTOR", 3), patch.object(members, "_CHECKED_AT_ONCE", 2):
        yield


class Beside:
    """The library's members, and brute force beside them."""

    def __init__(self, scene: Scene, relation: Relation) -> None:
        meta = IndexMeta("memory", 0, "pixels:1", "test-1", scene.descriptors.shape[1], scene.radius)
        self.memory = MemoryIndex(with_relation(meta, relation))
        self.members = Members(scene.descriptors.shape[1], relation)
        self.ids: list[str] = []

    def agree(self, query: Query, truth: Decision) -> None:
        alike = self.members.alike(query.compared)
        if truth.verdict is Verdict.UNIQUE:
            assert alike is None
            return
        assert alike is not None
        told = (self.ids[alike.row], alike.l2_distance, alike.symmetry, alike.local_change, alike.look)
        assert told == (truth.duplicate_of, truth.l2_distance, truth.symmetry, truth.local_change, truth.look)

    def add(self, query: Query) -> None:
        (truth,) = self.memory.decide([query])
        self.agree(query, truth)
        if truth.verdict is Verdict.UNIQUE:
            self.members.append(side_by_side([query.compared[:1]], self.memory.meta.relation.parts))
            self.ids.append(query.image_id)


@pytest.mark.slow
@settings(max_examples=50)
@given(
    scene=scenes(most_rows=60),
    sizes=st.integers(1, 6),
    local_change=st.sampled_from([None, None, 0.0, 5.0, 15.0]),
    agreement=st.sampled_from([None, 0.5, *AGREEMENTS]),
    match_flips=st.booleans(),
    match_rotations=st.booleans(),
    match_parts=st.booleans(),
    again=st.booleans(),
)
def test_it_agrees_with_brute_force(
    *,
    scene: Scene,
    sizes: int,
    local_change: float | None,
    agreement: float | None,
    match_flips: bool,
    match_rotations: bool,
    match_parts: bool,
    again: bool,
) -> None:
    switches = {"match_flips": match_flips, "match_rotations": match_rotations}
    switches["match_parts"] = match_parts and agreement is not None
    relation = Relation(scene.radius, local_change, agreement, **switches)
    images = images_of(scene, relation)
    with small_filters(sizes):
        beside = Beside(scene, relation)
        for image in images:
            beside.add(image)
        assert beside.ids == [member.image_id for member in beside.memory.members()]
        if again:  # members that come at once, as from a file
            whole, stored = beside.members, beside.members.images
            beside.members = Members(scene.descriptors.shape[1], relation)
            beside.members.append(stored)
            assert len(beside.members) == len(whole)
        for number in np.random.default_rng(scene.seed).integers(0, len(images), 10).tolist():
            asked = images[number]
            once_more = replace(asked, key="again", image_id="again")
            (truth,) = MemoryIndex(beside.memory.meta, members=list(beside.memory.members())).decide([once_more])
            beside.agree(once_more, truth)
