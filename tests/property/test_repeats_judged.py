"""Whatever becomes of the members, an image whose bytes came before is judged as if it had been decoded.

Two consumers judge the same stream, each with an index of its own in Redis. One remembers what it has described, the
other decodes every image. Members are removed and expire, decisions are forgotten, and new generations compare
otherwise.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import ClassVar

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from bootstrap.live.removal import remove
from consumer.claim_checks.reader import UriReader
from consumer.handler import Handler, Outcome, OutputTopics
from consumer.messages import ImageMessage
from consumer.metrics import Metrics
from neardup.decoding.limits import DecodeLimits
from neardup.decoding.pool import DecodeHere
from neardup.descriptors.dct import DctDescriptor
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.retention import Retention
from neardup.index.stored.connection import connect
from neardup.relation.looks.second_look import DEFAULT_AGREEMENT
from neardup.relation.rule import Relation
from neardup.search.sketches import fit_sketcher
from tests.support.indexes import build_anew, forget_decisions, new_name
from tests.support.processes import photo

pytestmark = pytest.mark.redis

HOUR_MS = 60 * 60 * 1000
BEGAN_MS = 1_767_225_600_000
RETENTION = Retention(3 * HOUR_MS, HOUR_MS)
DCT = DctDescriptor()
RELATIONS = (
    Relation(DCT.default_radius),
    Relation(DCT.default_radius, match_flips=True),
    Relation(DCT.default_radius, agreement=DEFAULT_AGREEMENT),
    Relation(DCT.default_radius, local_change=3.0),
)
FILES = [
    *(photo(seed, size=(80, 60)) for seed in range(4)),
    *(photo(seed, 60, (80, 60)) for seed in range(3)),
    photo(1, size=(80, 60))[:-150],
    b"garbage",
]
"""A few files: each comes again and again, and some of the others show the same."""
BATCHES = st.lists(st.sampled_from(range(len(FILES))), min_size=1, max_size=8)
ROWS = DCT.describe(
    [DCT.prepare(np.random.default_rng(seed).integers(0, 256, (60, 80, 3), np.uint8)) for seed in range(9)]
)
CENTROIDS, SKETCHER = ROWS[:3].astype(np.float32), fit_sketcher(ROWS, 4)


class Consumer:
    """A consumer's handler with an index of its own."""

    def __init__(
        self, client: redis.Redis, executor: ThreadPoolExecutor, now_ms: Sequence[int], repeat_bytes: int
    ) -> None:
        self.client = client
        self.name = new_name()
        self.metrics = Metrics()
        build_anew(client, self.name, RELATIONS[0].radius, CENTROIDS, SKETCHER, [], RELATIONS[0])
        options = RedisIndexOptions(retention=RETENTION, now_ms=lambda: now_ms[0])
        self.index = RedisIndex(client, self.name, options=options)
        self._handler = Handler(
            descriptor=DCT,
            index=self.index,
            topics=OutputTopics("verdicts", "dead"),
            executor=executor,
            decoder=DecodeHere(DecodeLimits()),
            uris=UriReader([], 1),
            metrics=self.metrics,
            repeat_bytes=repeat_bytes,
            now=lambda: datetime.fromtimestamp(now_ms[0] / 1000, UTC),
        )

    def compare(self, relation: Relation) -> None:
        """Make a generation live that compares so, with the members if they have what is compared."""
        members = list(self.index.members()) if relation.parts == self.index.meta.relation.parts else []
        build_anew(self.client, self.name, relation.radius, CENTROIDS, SKETCHER, members, relation)

    def judged(self, messages: Sequence[ImageMessage]) -> list[Outcome]:
        """Return what becomes of each message."""
        return self._handler.decide(self._handler.describe(messages))

    @property
    def repeated(self) -> int:
        """How many images it has not decoded."""
        return int(self.metrics.registry.get_sample_value("neardup_repeated_images_total") or 0)


def told(outcome: Outcome) -> object:
    """Return all that is published of an outcome, but for the name of the index."""
    if outcome.judged is None or outcome.judged.member is None:
        return [(sent.topic, sent.key, sent.value, sent.headers) for sent in outcome.outgoing]
    judged, member = outcome.judged, outcome.judged.member
    bits = (member.key, member.descriptor.tobytes(), None if member.kept is None else member.kept.tobytes())
    return judged.decision, judged.meta.relation, judged.frames, judged.captured_at_ms, bits


class RepeatsMachine(RuleBasedStateMachine):
    """Both consumers under the same stream."""

    client: ClassVar[redis.Redis]
    executor: ClassVar[ThreadPoolExecutor]

    @initialize(repeat_bytes=st.sampled_from([5_000, 1 << 20, 1 << 20]))
    def begin(self, repeat_bytes: int) -> None:
        self.now_ms = [BEGAN_MS]
        self.sent: list[ImageMessage] = []
        self.remembering, self.plain = (
            Consumer(self.client, self.executor, self.now_ms, budget) for budget in (repeat_bytes, 0)
        )

    @property
    def both(self) -> tuple[Consumer, Consumer]:
        return self.remembering, self.plain

    def judge(self, messages: Sequence[ImageMessage]) -> list[Outcome]:
        judged, truth = (consumer.judged(messages) for consumer in self.both)
        assert list(map(told, judged)) == list(map(told, truth))
        return judged

    @rule(files=BATCHES)
    def show(self, files: list[int]) -> None:
        self.shown(files)

    def shown(self, files: list[int]) -> list[str]:
        """Return what becomes of these files, shown as new messages."""
        first, now_ms = len(self.sent), self.now_ms[0]
        messages = [ImageMessage("t", 0, first + at, now_ms, None, FILES[file]) for at, file in enumerate(files)]
        self.sent += messages
        return [outcome.judged.decision.verdict if outcome.judged else "dead" for outcome in self.judge(messages)]

    @rule(picks=st.lists(st.integers(0, 10_000), max_size=4))
    def deliver_again(self, picks: list[int]) -> None:
        self.judge([self.sent[pick % len(self.sent)] for pick in picks if self.sent])

    @rule(pick=st.integers(0, 10_000))
    def remove(self, pick: int) -> None:
        # Both look at their index, so that both know as much.
        keys, same = (sorted(member.key for member in each.index.members()) for each in self.both)
        assert keys == same
        if keys:
            for each in self.both:
                remove(self.client, each.name, [keys[pick % len(keys)]], "a test")

    @rule(hours=st.integers(1, 6))
    def wait(self, hours: int) -> None:
        self.now_ms[0] += hours * HOUR_MS

    @rule()
    def forget(self) -> None:
        for each in self.both:
            forget_decisions(self.client, each.name)

    @rule(relation=st.sampled_from(RELATIONS))
    def compare_otherwise(self, relation: Relation) -> None:
        for each in self.both:
            each.compare(relation)

    def teardown(self) -> None:
        assert self.plain.repeated == 0
        members = [sorted(member.key for member in each.index.members()) for each in self.both]
        assert members[0] == members[1]


@pytest.fixture
def machine(redis_url: str) -> Iterator[type[RepeatsMachine]]:
    with connect(redis_url) as client, ThreadPoolExecutor(2) as executor:
        yield type("Machine", (RepeatsMachine,), {"client": client, "executor": executor})


def test_verdicts_are_those_of_images_that_are_all_decoded(machine: type[RepeatsMachine]) -> None:
    quick = settings(
        max_examples=30, stateful_step_count=20, suppress_health_check=list(HealthCheck), database=None, deadline=None
    )
    run_state_machine_as_test(machine, settings=quick)


def test_a_file_that_comes_again_is_unique_again_when_its_member_is_gone(machine: type[RepeatsMachine]) -> None:
    stream = machine()
    stream.begin(1 << 20)
    assert stream.shown([0, 0, 4]) == ["unique", "duplicate", "duplicate"]
    stream.remove(0)
    assert stream.shown([0, 4, 0]) == ["unique", "duplicate", "duplicate"]
    stream.wait(6)
    assert stream.shown([4, 0]) == ["unique", "duplicate"]
    assert stream.remembering.repeated == 6
    # Described for the relation before, found to be of another, and described for that.
    stream.compare_otherwise(RELATIONS[2])
    assert stream.shown([4, 0]) == ["unique", "duplicate"]
    assert stream.remembering.repeated == 8
    stream.compare_otherwise(RELATIONS[2])
    assert stream.shown([0, 4]) == ["duplicate", "duplicate"]
    assert stream.remembering.repeated == 10
    stream.teardown()
