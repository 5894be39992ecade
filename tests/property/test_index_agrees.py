"""Clients that take turns, and cut in on one another, decide what one brute force would, whatever the descriptors.

Everything that is rare in service is common here: cells are divided at a handful of members, records do not fit into
memory and are read again, the log is so short that clients fall behind, generations change between a comparison and
its commit, and messages come again.
"""

from collections.abc import Callable, Sequence
from functools import cache
from unittest.mock import patch

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neardup.index.base import IndexMeta
from neardup.index.memory import MemoryIndex
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.shared import views
from neardup.index.shared.folder import folder_in_memory
from neardup.index.shared.views import SharedViews
from neardup.index.stored import scripts
from neardup.index.stored.connection import connect
from neardup.index.stored.scripts import CommitReply, Item, Position
from neardup.relation.kept import Parts, joined, transformed_kept
from neardup.relation.local_change import SIDE_PX, THUMBNAIL_BYTES
from neardup.relation.looks.second_look import looks
from neardup.relation.rule import Checks, Relation
from neardup.search import sketch_trees
from neardup.search.distance import paired_l2_distances
from neardup.search.sketches import fit_sketcher
from neardup.types import Box, Decision, Kept, Look, Member, Query, Symmetry, Variant, Verdict
from tests.stress.audit import Contents
from tests.support.indexes import build_anew, forget_decisions, look, new_name, with_relation
from tests.support.spectra import Scene, scenes

pytestmark = pytest.mark.redis

CLIENTS = 3
AGREEMENTS = looks(look(), np.stack([look(2), look(3)]), np.ones(2), 0.0).agreement.round(3).tolist()
"""Exactly at the limit is the interesting one: what two need that are far enough apart."""
SETTLING_BATCHES = 60
_REPLACED = 0.2
"""Chance after each turn."""
BOXES = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))
"""Some images have no such part, some one, some both."""


class Party:
    """Several clients of one index in Redis, and brute force beside them."""

    def __init__(
        self, client: redis.Redis, scene: Scene, options: RedisIndexOptions, relation: Relation | None = None
    ) -> None:
        self._relation = relation or Relation(scene.radius)
        self._images = images_of(scene, self._relation)
        self._client = client
        self._scene = scene
        self._options = options
        self._rng = np.random.default_rng(scene.seed)
        self._name = new_name()
        self._next = 0
        self.sent: list[Query] = []
        self.flips = 0
        meta = IndexMeta(self._name, 0, "pixels:1", "test-1", scene.descriptors.shape[1], scene.radius)
        self.memory = MemoryIndex(with_relation(meta, self._relation))
        self.flip()
        self.clients = [RedisIndex(client, self._name, options=options) for _ in range(CLIENTS)]

    def flip(self) -> None:
        """Make a new generation of other cells, with all members."""
        rows = self._scene.descriptors.astype(np.float32)
        centroids = rows[self._rng.integers(0, len(rows), self._rng.integers(1, 9))]
        sample = self._scene.descriptors[: self._rng.integers(1, 40)]
        members = list(self.memory.members())
        sketcher = fit_sketcher(sample, 8)
        build_anew(self._client, self._name, self._scene.radius, centroids, sketcher, members, self._relation)
        self.flips += 1

    def batch(self) -> list[Query]:
        """Return the next images, and some that came before."""
        count = int(self._rng.integers(0, 12))
        new = self._images[self._next : self._next + count]
        self._next += len(new)
        again = [self.sent[i] for i in self._rng.integers(0, len(self.sent), 3)] if self.sent else []
        self.sent += new
        mixed = [*new, *again, *new[:2]]
        return [mixed[i] for i in self._rng.permutation(len(mixed))]

    def replace_one(self) -> None:
        """Now and then have a new client in the place of one."""
        if self._rng.random() < _REPLACED:
            self.clients[self._rng.integers(CLIENTS)] = RedisIndex(self._client, self._name, options=self._options)

    @property
    def done(self) -> bool:
        """Whether all images have been sent."""
        return self._next >= len(self._scene.descriptors)

    def turn(self) -> None:
        """Have one client decide a batch; another one may cut in before it commits, or a new generation."""
        one, other = self._rng.choice(CLIENTS, 2, replace=False)
        cut_in = self._rng.choice(["nobody", "client", "flip", "forget"], p=[0.45, 0.4, 0.1, 0.05])
        batch = self.batch()
        if cut_in == "client":
            before_its_commit(self.clients[one], lambda: self.decide(int(other), self.batch()))
        elif cut_in == "flip":
            before_its_commit(self.clients[one], self.flip)
        elif cut_in == "forget":
            self.memory._decided.clear()
            forget_decisions(self._client, self._name)
        self.decide(int(one), batch)

    def decide(self, number: int, queries: Sequence[Query]) -> None:
        decisions = self.clients[number].decide(queries)
        for query, decision, truth in zip(queries, decisions, self.memory.decide(queries), strict=True):
            self._compare(query, decision, truth)

    def _compare(self, query: Query, decision: Decision, truth: Decision) -> None:
        assert decision.verdict == truth.verdict, query.key
        if decision.verdict is Verdict.DUPLICATE:
            assert decision.l2_distance == truth.l2_distance
            told = (decision.l2_distance, decision.local_change, decision.look)
            assert (decision.duplicate_of, decision.symmetry, *told) in self._alike(query)
        else:
            assert (decision.local_change, decision.symmetry, decision.look) == (None, Symmetry.NONE, None)
            assert (decision.l2_distance is None) == (truth.l2_distance is None)
            if decision.l2_distance is not None and truth.l2_distance is not None:
                assert decision.l2_distance >= truth.l2_distance
                assert truth.l2_distance > self._scene.radius or self._relation.parts

    def _alike(self, query: Query) -> set[tuple[str, Symmetry, float, float | None, Look | None]]:
        """Return what a decision may say that calls the image a duplicate."""
        return {
            (member.image_id, variant.symmetry, l2_distance, found.local_change(0), found.look(0))
            for member in self.memory.members()
            for variant in query.compared
            for l2_distance, found in [difference(variant, member, self._relation)]
            if l2_distance <= self._relation.radius and found.allowed[0]
        }

    def audit(self) -> None:
        for number in range(SETTLING_BATCHES):
            self.decide(number % CLIENTS, self.sent[:1])
        contents = Contents(self._client, self._name)
        expected = sorted(each.key for each in self.memory.members())
        assert sorted(each.key for each in contents.members) == expected
        assert not contents.faults(self._options.max_cluster)
        assert not self._duplicates_among_members()
        for index in self.clients:
            assert index.stats().members == len(expected)
            assert sorted(each.key for each in index.members()) == expected

    def _duplicates_among_members(self) -> list[tuple[str, str]]:
        queries = {each.key: each for each in self.sent}
        in_order = [queries[member.key] for member in self.memory.members()]
        return [
            (later.key, earlier.key)
            for place, later in enumerate(in_order)
            for earlier in in_order[:place]
            if any(
                l2_distance <= self._relation.radius and found.allowed[0]
                for l2_distance, found in (difference(variant, earlier, self._relation) for variant in later.compared)
            )
        ]


def difference(variant: Variant, member: Member | Query, relation: Relation) -> tuple[float, Checks]:
    """Return the L2 distance, and what else decides."""
    l2 = paired_l2_distances(variant.descriptor[np.newaxis], member.descriptor[np.newaxis])
    return float(l2[0]), relation.check_one(variant.kept, member.kept, float(l2[0]))


def images_of(scene: Scene, relation: Relation) -> list[Query]:
    """Return a scene as images: their variants are other rows of it, so that nothing is symmetric or inside by luck."""
    rng = np.random.default_rng(scene.seed)
    rows = scene.descriptors
    shown = zip(thumbnails_of(rng, len(rows)), looks_of(rng, len(rows)), strict=True)
    images = []
    for number, (row, (thumbnail, seen)) in enumerate(zip(rows, shown, strict=True)):
        boxes = BOXES[: rng.integers(0, len(BOXES) + 1)] if relation.match_parts else ()
        shown_by = []
        for box, own in ((None, seen), *((box, look_of_part(int(rng.integers(5)), box)) for box in boxes)):
            every = {Parts.THUMBNAIL: thumbnail, Parts.LOOK: own}
            shown_by.append((box, joined({part: every[part] for part in relation.parts})))
        kept = shown_by[0][1]
        variants = tuple(
            Variant(symmetry, rows[rng.integers(0, len(rows))], transformed_kept(own, symmetry), part)
            for symmetry in relation.described_after
            for part, own in shown_by
        )
        seeks_parts = relation.match_parts
        images.append(Query(f"key {number}", f"id {number}", row, 0, kept, variants[1:], seeks_parts=seeks_parts))
    return images


@cache
def look_of_part(changed: int, box: Box) -> Kept:
    """Return the look of a part that shows the scene with some of its quarters changed."""
    return look(changed, box)


def looks_of(rng: np.random.Generator, count: int) -> list[Kept]:
    """Return looks of one scene, whole or with some of its quarters changed."""
    every = [look(changed) for changed in range(5)]
    return [every[changed] for changed in rng.choice(5, count, p=[0.4, 0.2, 0.2, 0.1, 0.1])]


def thumbnails_of(rng: np.random.Generator, count: int) -> list[Kept]:
    """Return thumbnails of one scene, still or with a square of one of a few strengths somewhere."""
    found = []
    for _ in range(count):
        values = np.full((SIDE_PX, SIDE_PX), 60, dtype=np.uint8)
        row, column = rng.integers(0, 3, 2) * 8
        values[row : row + 4, column : column + 4] += np.uint8(rng.choice([0, 0, 20, 40]))
        found.append(values.reshape(THUMBNAIL_BYTES))
    return found


def before_its_commit(index: RedisIndex, action: Callable[[], object]) -> None:
    """Let somebody else act once, after `index` has compared and before it commits."""
    held = index._scripts
    commit, pending = held.commit, [action]

    def acting(items: Sequence[Item], position: Position, decision_ttl_s: int) -> CommitReply:
        if pending:
            pending.pop()()
        return commit(items, position, decision_ttl_s)

    held.commit = acting  # type: ignore[method-assign]


@settings(max_examples=40, suppress_health_check=list(HealthCheck), database=None)
@given(
    scene=scenes(most_rows=150, most_numbers=60),
    max_cluster=st.integers(4, 10),
    cache_bytes=st.sampled_from([0, 2000, 1 << 20]),
    log_events=st.sampled_from([3, 12, 10_000]),
)
def test_clients_and_brute_force_agree(
    redis_url: str, scene: Scene, max_cluster: int, cache_bytes: int, log_events: int
) -> None:
    options = RedisIndexOptions(max_cluster=max_cluster, cache_bytes=cache_bytes)
    with connect(redis_url) as client, patch.object(scripts, "LOG_EVENTS", log_events):
        party = Party(client, scene, options)
        while not party.done:
            party.turn()
        party.audit()


@settings(max_examples=40, suppress_health_check=list(HealthCheck), database=None)
@given(
    scene=scenes(most_rows=150, most_numbers=60),
    cache_bytes=st.sampled_from([0, 2000, 1 << 20]),
    log_events=st.sampled_from([3, 12, 10_000]),
    # So that what is shared is put in order and outgrown within a few batches.
    buffer=st.sampled_from([4, 16]),
    least=st.sampled_from([2, 8, 10_000]),
)
def test_clients_that_share_memory_and_brute_force_agree(  # noqa: PLR0917 - as below
    redis_url: str, scene: Scene, cache_bytes: int, log_events: int, buffer: int, least: int
) -> None:
    with (
        folder_in_memory() as folder,
        connect(redis_url) as client,
        patch.object(scripts, "LOG_EVENTS", log_events),
        patch.object(sketch_trees, "_BUFFER", buffer),
        patch.object(views, "_LEAST", least),
    ):
        options = RedisIndexOptions(max_cluster=6, cache_bytes=cache_bytes, shared=SharedViews(folder))
        party = Party(client, scene, options)
        while not party.done:
            party.turn()
            party.replace_one()
        party.audit()
        assert all(index._taken_at >= 0 for index in party.clients)


@settings(max_examples=25, suppress_health_check=list(HealthCheck), database=None)
@given(
    scene=scenes(most_rows=40, most_numbers=40),
    # Twice a square of 20 is one of 40: ties at the limit are common.
    local_change=st.sampled_from([None, 0.0, 20.0, 40.0, 1000.0]),
    agreement=st.sampled_from([None, 0.0, 0.5, *AGREEMENTS]),
    match_flips=st.booleans(),
    match_rotations=st.booleans(),
    match_parts=st.booleans(),
    turned_by_look=st.booleans(),
    cache_bytes=st.sampled_from([0, 1 << 20]),
    log_events=st.sampled_from([3, 10_000]),
)
def test_they_agree_whatever_the_relation(  # noqa: PLR0917 - hypothesis passes them by name
    redis_url: str,
    scene: Scene,
    local_change: float | None,
    agreement: float | None,
    match_flips: bool,  # noqa: FBT001
    match_rotations: bool,  # noqa: FBT001
    match_parts: bool,  # noqa: FBT001
    turned_by_look: bool,  # noqa: FBT001
    cache_bytes: int,
    log_events: int,
) -> None:
    options = RedisIndexOptions(max_cluster=6, cache_bytes=cache_bytes)
    switches = {"match_flips": match_flips, "match_rotations": match_rotations}
    switches["match_parts"] = match_parts and agreement is not None
    relation = Relation(scene.radius, local_change, agreement, turned_by_look, **switches)
    with connect(redis_url) as client, patch.object(scripts, "LOG_EVENTS", log_events):
        party = Party(client, scene, options, relation)
        while not party.done:
            party.turn()
        party.audit()
