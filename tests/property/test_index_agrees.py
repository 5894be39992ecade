"""Clients that take turns, and cut in on one another, decide what one brute force would, whatever the descriptors.

Everything that is rare in service is common here: cells are divided at a handful of members, records do not fit into
memory and are read again, the log is so short that clients fall behind, generations change between a comparison and
its commit, and messages come again.
"""

from collections.abc import Callable, Sequence
from unittest.mock import patch

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neardup.distance import l2_distances
from neardup.index import scripts
from neardup.index.base import IndexMeta
from neardup.index.connection import connect
from neardup.index.memory import MemoryIndex
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.scripts import CommitReply, Item, Position
from neardup.projection import fit_projection
from neardup.types import Decision, Query, Verdict
from tests.contract.indexes import build_anew, forget_decisions, new_name
from tests.property.spectra import Scene, scenes
from tests.stress.audit import Contents, pairs_within

pytestmark = pytest.mark.redis

CLIENTS = 3
SETTLING_BATCHES = 60


class Party:
    """Several clients of one index in Redis, and brute force beside them."""

    def __init__(self, client: redis.Redis, scene: Scene, options: RedisIndexOptions) -> None:
        self._client = client
        self._scene = scene
        self._options = options
        self._rng = np.random.default_rng(scene.seed)
        self._name = new_name()
        self._next = 0
        self.sent: list[Query] = []
        self.flips = 0
        self.memory = MemoryIndex(
            IndexMeta(self._name, 0, "pixels:1", "test-1", scene.descriptors.shape[1], scene.radius)
        )
        self.flip()
        self.clients = [RedisIndex(client, self._name, options=options) for _ in range(CLIENTS)]

    def flip(self) -> None:
        """Make a new generation of other cells, with all members."""
        rows = self._scene.descriptors.astype(np.float32)
        centroids = rows[self._rng.integers(0, len(rows), self._rng.integers(1, 9))]
        sample = self._scene.descriptors[: self._rng.integers(1, 40)]
        members = list(self.memory.members())
        build_anew(self._client, self._name, self._scene.radius, centroids, fit_projection(sample, 8), members)
        self.flips += 1

    def batch(self) -> list[Query]:
        """Return the next images, and some that came before."""
        count = int(self._rng.integers(0, 12))
        rows = self._scene.descriptors[self._next : self._next + count]
        new = [Query(f"key {self._next + i}", f"id {self._next + i}", row) for i, row in enumerate(rows)]
        self._next += len(new)
        again = [self.sent[i] for i in self._rng.integers(0, len(self.sent), 3)] if self.sent else []
        self.sent += new
        mixed = [*new, *again, *new[:2]]
        return [mixed[i] for i in self._rng.permutation(len(mixed))]

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
            assert decision.duplicate_of in self._ids_at(query, decision.l2_distance)
        else:
            assert (decision.l2_distance is None) == (truth.l2_distance is None)
            if decision.l2_distance is not None and truth.l2_distance is not None:
                assert decision.l2_distance >= truth.l2_distance > self._scene.radius

    def _ids_at(self, query: Query, l2_distance: float | None) -> set[str]:
        members = list(self.memory.members())
        distances = l2_distances(query.descriptor[np.newaxis], np.stack([each.descriptor for each in members]))[0]
        return {members[row].image_id for row in np.flatnonzero(distances == l2_distance)}

    def audit(self) -> None:
        for number in range(SETTLING_BATCHES):
            self.decide(number % CLIENTS, self.sent[:1])
        contents = Contents(self._client, self._name)
        expected = sorted(each.key for each in self.memory.members())
        assert sorted(each.key for each in contents.members) == expected
        assert not contents.faults(self._options.max_cluster)
        assert not pairs_within(np.stack([each.descriptor for each in contents.members]), self._scene.radius)
        for index in self.clients:
            assert index.stats().members == len(expected)
            assert sorted(each.key for each in index.members()) == expected


def before_its_commit(index: RedisIndex, action: Callable[[], object]) -> None:
    """Let somebody else act once, after `index` has compared and before it commits."""
    held = index._scripts
    commit, pending = held.commit, [action]

    def acting(items: Sequence[Item], position: Position, decision_ttl_s: int) -> CommitReply:
        if pending:
            pending.pop()()
        return commit(items, position, decision_ttl_s)

    held.commit = acting  # type: ignore[method-assign]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
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
