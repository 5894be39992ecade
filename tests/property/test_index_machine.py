"""Random operations: the Redis index decides what the executable specification decides.

Cells are well separated, so that the nearest cell holds every member that matters. Two Redis clients take turns on
one index, and each has to keep up with the other.
"""

from typing import ClassVar

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from bootstrap.live.removal import remove
from neardup.index.memory import MemoryIndex
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect
from neardup.types import Descriptors, Query
from tests.support.indexes import (
    CELLS,
    MemoryBackend,
    build_generation,
    forget_decisions,
    member,
    new_name,
    point,
    query,
)

CELL_NUMBERS = st.integers(0, CELLS - 1)
# Steps of half a radius: many images lie on the radius or next to it, and many are the same.
STEPS = st.integers(-5, 5).map(lambda step: 0.06 * step)
PLANES = st.integers(0, 1)
POINTS = st.builds(point, CELL_NUMBERS, STEPS, PLANES)
TURNS = st.integers(0, 1)


# A member in each cell: the distance of a unique image is that to a member of its own.
SEEDS = [member(f"seed-{cell}", point(cell, 0.06 * cell)) for cell in range(CELLS)]


class IndexMachine(RuleBasedStateMachine):
    """Both kinds of index under the same operations."""

    client: ClassVar[redis.Redis]

    def __init__(self) -> None:
        super().__init__()
        name = new_name()
        build_generation(self.client, name, members=SEEDS)
        made = MemoryBackend().make(members=SEEDS)
        assert isinstance(made, MemoryIndex)
        self.memory = made
        self.shared = [RedisIndex(self.client, name), RedisIndex(self.client, name)]
        self.sent: list[Query] = []

    def decide(self, turn: int, queries: list[Query]) -> None:
        assert self.shared[turn].decide(queries) == self.memory.decide(queries)
        self.sent += queries

    def new_queries(self, descriptors: list[Descriptors]) -> list[Query]:
        start = len(self.sent)
        return [query(f"key-{start + i}", descriptor) for i, descriptor in enumerate(descriptors)]

    @rule(turn=TURNS, descriptor=POINTS)
    def one(self, turn: int, descriptor: Descriptors) -> None:
        self.decide(turn, self.new_queries([descriptor]))

    @rule(turn=TURNS, descriptors=st.lists(POINTS, max_size=8))
    def batch(self, turn: int, descriptors: list[Descriptors]) -> None:
        self.decide(turn, self.new_queries(descriptors))

    @rule(turn=TURNS, picks=st.lists(st.integers(0, 10_000), max_size=5), descriptors=st.lists(POINTS, max_size=3))
    def redeliver(self, turn: int, picks: list[int], descriptors: list[Descriptors]) -> None:
        earlier = [self.sent[pick % len(self.sent)] for pick in picks if self.sent]
        new = self.new_queries(descriptors)
        self.decide(turn, [*earlier[::2], *new, *earlier[1::2], *new])

    @rule()
    def forget(self) -> None:
        self.memory._decided.clear()
        forget_decisions(self.client, self.shared[0].meta.name)

    @rule(picks=st.lists(st.integers(0, 10_000), min_size=1, max_size=4))
    def remove(self, picks: list[int]) -> None:
        # The seeds stay, so that each cell has a member.
        streamed = [each.key for each in self.memory._block if not each.key.startswith("seed-")]
        gone = {streamed[pick % len(streamed)] for pick in picks if streamed}
        if gone:
            remove(self.client, self.shared[0].meta.name, sorted(gone), "a test")
            left = MemoryBackend().make(members=[each for each in self.memory._block if each.key not in gone])
            assert isinstance(left, MemoryIndex)
            left._decided, self.memory = self.memory._decided, left

    @invariant()
    def holds_the_same(self) -> None:
        expected = self.memory.stats()
        for index in self.shared:
            stats = index.stats()
            assert (stats.members, stats.cluster_sizes) == (expected.members, expected.cluster_sizes)

    def teardown(self) -> None:
        expected = [each.key for each in self.memory.members()]
        assert [each.key for each in self.shared[0].members()] == expected


@pytest.mark.redis
def test_memory_and_redis_agree(redis_url: str) -> None:
    machine = type("Machine", (IndexMachine,), {"client": connect(redis_url)})
    quick = settings(max_examples=60, stateful_step_count=20, suppress_health_check=list(HealthCheck), database=None)
    run_state_machine_as_test(machine, settings=quick)
