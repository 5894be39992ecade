"""The loop: what happens in which order, and what it does when a server is away. No time passes here."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from consumer.backoff import Backoff
from consumer.claim_checks.reader import UriReader
from consumer.handler import Described, Handler, Outcome, OutputTopics
from consumer.health import Health
from consumer.loop import Loop, ShutdownTimeout
from consumer.messages import ImageMessage, OutgoingMessage
from consumer.metrics import Metrics
from consumer.transport.at_least_once import AtLeastOnceDelivery
from consumer.transport.memory import MemorySink, MemorySource
from neardup.decoding.limits import DecodeLimits
from neardup.decoding.pool import DecodeHere
from neardup.descriptors.dct import DctDescriptor
from neardup.errors import KafkaUnavailable, Misconfigured, RedisUnavailable, StoreUnavailable
from neardup.index.base import IndexMeta
from neardup.index.memory import MemoryIndex
from neardup.types import Decision, Query
from tests.support.processes import photo

OPERATIONS = ("connect", "poll", "decide", "deliver", "refresh")
SHUTDOWN_TIMEOUT_S = 20.0
NEVER_S = 1e9
PHOTOS = [photo(seed) for seed in range(6)]


def messages(*values: bytes) -> list[ImageMessage]:
    return [ImageMessage("images", 0, offset, 0, None, value) for offset, value in enumerate(values)]


@dataclass
class World:
    """What the loop meets: it writes down what it is asked, and fails as it is told to.

    Attributes
    ----------
    failures
        For each operation the errors of its next calls.
    hooks
        For each operation what else happens when it succeeds.
    passed
        Whether the source is behind more than its messages.
    """

    log: list[str] = field(default_factory=list)
    failures: dict[str, list[Exception]] = field(default_factory=dict)
    hooks: dict[str, Callable[[], None]] = field(default_factory=dict)
    now_s: float = 0.0
    slept_s: list[float] = field(default_factory=list)
    idle_takes_s: float = 0.0
    idle_fails: bool = False
    passed: bool = False

    def happens(self, operation: str, note: str = "") -> None:
        """Fail, or write it down."""
        if self.failures.get(operation):
            self.log.append(f"{operation} fails")
            raise self.failures[operation].pop(0)
        self.log.append(f"{operation}{note}")
        self.hooks.get(operation, lambda: None)()

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds


class Source(MemorySource):
    """Delivers from memory, and notes what it is asked for.

    Attributes
    ----------
    stays_open
        Whether more could come, as from Kafka.
    full
        Whether a full batch was asked for, poll by poll.
    """

    def __init__(self, world: World, values: Sequence[bytes]) -> None:
        super().__init__(messages(*values))
        self._world = world
        self.stays_open = False
        self.full: list[bool] = []

    def connect(self) -> None:
        self._world.happens("connect")

    def poll(self, max_messages: int, timeout_s: float, *, full: bool = False) -> list[ImageMessage]:
        self.full.append(full)
        self._world.happens("poll")
        return super().poll(max_messages, timeout_s, full=full)

    @property
    def exhausted(self) -> bool:
        return super().exhausted and not self.stays_open

    def passed(self) -> Mapping[tuple[str, int], int]:
        return {("images", 0): 4} if self._world.passed else {}

    def commit_passed(self) -> None:
        self._world.happens("commit passed")
        self._world.passed = False

    def idle(self, timeout_s: float) -> None:
        self._world.now_s += self._world.idle_takes_s
        self._world.log.append(f"idle {timeout_s:g}")
        if self._world.idle_fails:
            raise KafkaUnavailable("away")

    def lag(self) -> Mapping[tuple[str, int], int]:
        return {("images", 0): 3}


class Delivery(AtLeastOnceDelivery):
    """Delivers in memory; messages whose offset is in `taken` are somebody else's by then."""

    def __init__(self, world: World, source: Source, sink: MemorySink) -> None:
        super().__init__(source, sink)
        self._world = world
        self.taken: set[int] = set()

    def deliver(self, messages: Sequence[ImageMessage], outgoing: Sequence[Sequence[OutgoingMessage]]) -> list[bool]:
        pairs = zip(messages, outgoing, strict=True)
        places = [f"{message.offset}: {sent.topic}" for message, each in pairs for sent in each]
        self._world.happens("deliver", f" {places}")
        super().deliver(messages, outgoing)
        return [message.offset not in self.taken for message in messages]


class Index(MemoryIndex):
    def __init__(self, world: World, meta: IndexMeta) -> None:
        super().__init__(meta)
        self._world = world

    def decide(self, queries: Sequence[Query]) -> list[Decision]:
        self._world.happens("decide")
        return super().decide(queries)


@dataclass
class Rig:
    """A loop, and everything around it."""

    world: World
    source: Source
    sink: MemorySink
    delivery: Delivery
    metrics: Metrics
    health: Health
    stop: threading.Event
    loop: Loop

    def value(self, name: str, **labels: str) -> float | None:
        found = self.metrics.registry.get_sample_value(name, labels)
        return None if found is None else float(found)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def make(executor: ThreadPoolExecutor) -> Callable[..., Rig]:
    def make(*values: bytes, batch_size: int = 2, keep_alive_s: float = 60.0, refresh_s: float = 0.0) -> Rig:
        world, metrics, stop = World(), Metrics(), threading.Event()
        source, sink, health = Source(world, values), MemorySink(), Health(world.monotonic)
        delivery = Delivery(world, source, sink)
        descriptor = DctDescriptor()
        meta = IndexMeta("default", 1, "dct", descriptor.fingerprint, descriptor.dimension, descriptor.default_radius)
        handler = Handler(
            descriptor=descriptor,
            index=Index(world, meta),
            topics=OutputTopics("verdicts", "dead"),
            executor=executor,
            decoder=DecodeHere(DecodeLimits()),
            uris=UriReader([], 0),
            metrics=metrics,
            now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
        )
        loop = Loop(
            source=source,
            delivery=delivery,
            handler=handler,
            metrics=metrics,
            health=health,
            refresh=lambda: world.happens("refresh"),
            refresh_s=refresh_s,
            stop=stop,
            batch_size=batch_size,
            poll_timeout_s=0.5,
            max_wait_s=0.0,
            shutdown_timeout_s=SHUTDOWN_TIMEOUT_S,
            keep_alive_s=keep_alive_s,
            backoff=Backoff(first_s=0.1, longest_s=5.0, uniform=lambda _low, high: high),
            monotonic=world.monotonic,
            sleep=world.sleep,
        )
        return Rig(world, source, sink, delivery, metrics, health, stop, loop)

    return make


Make = Callable[..., Rig]


# The order of things.


def test_a_batch_is_decided_then_delivered(make: Make) -> None:
    rig = make(PHOTOS[0], b"garbage", PHOTOS[0])
    rig.loop.run()
    assert rig.world.log == [
        "connect",
        "refresh",
        "poll",
        "poll",
        "decide",
        "deliver ['0: verdicts', '1: dead']",
        "refresh",
        "decide",
        "deliver ['2: verdicts']",
        "refresh",
    ]
    assert rig.source.committed == {("images", 0): 3}
    assert rig.world.slept_s == []


def test_an_empty_poll_is_no_batch(make: Make) -> None:
    rig = make()
    rig.loop.run()
    assert rig.world.log == ["connect", "refresh", "poll", "refresh"]
    assert rig.value("neardup_batch_images_count") == 0


def test_what_was_passed_without_a_message_is_committed_when_nothing_comes(make: Make) -> None:
    rig = make()
    rig.world.passed = True
    rig.world.failures["commit passed"] = [KafkaUnavailable("away")]
    rig.loop.run()
    assert rig.world.log[2:] == ["poll", "commit passed fails", "idle 0.1", "commit passed", "refresh"]


def test_what_was_passed_without_a_message_waits_for_all_that_is_in_hand(make: Make) -> None:
    rig = make(*PHOTOS)
    rig.world.passed = True
    rig.source.stays_open = True
    rig.world.hooks["commit passed"] = rig.stop.set
    rig.loop.run()
    assert [line.partition(" ")[0] for line in rig.world.log if line != "poll"] == [
        *("connect", "refresh", *("decide", "deliver", "refresh") * 3, "commit", "refresh")
    ]


def test_what_a_batch_came_to_is_counted_once(make: Make) -> None:
    rig = make(PHOTOS[0], b"garbage", PHOTOS[0], b"", PHOTOS[1])
    rig.world.failures["deliver"] = [KafkaUnavailable("away")]
    rig.loop.run()
    assert rig.value("neardup_images_total", verdict="unique") == 2
    assert rig.value("neardup_images_total", verdict="duplicate") == 1
    assert rig.value("neardup_bad_input_total", reason="undecodable") == 1
    assert rig.value("neardup_bad_input_total", reason="empty") == 1
    assert rig.value("neardup_nearest_distance_count") == 2
    assert rig.value("neardup_batch_images_count") == 3
    assert rig.value("neardup_batch_images_sum") == 5
    assert rig.value("neardup_consumer_lag_messages", topic="images", partition="0") == 3
    assert {len(rig.sink.topics["verdicts"]), len(rig.sink.topics["dead"])} == {3, 2}


def test_what_somebody_else_answers_is_not_counted(make: Make) -> None:
    rig = make(PHOTOS[0], b"garbage", PHOTOS[1], b"")
    rig.delivery.taken = {1, 2}
    rig.loop.run()
    assert rig.value("neardup_images_total", verdict="unique") == 1
    assert rig.value("neardup_bad_input_total", reason="undecodable") == 0
    assert rig.value("neardup_bad_input_total", reason="empty") == 1


@pytest.mark.parametrize("operation", ["describe", "decide"])
def test_the_source_hears_of_us_while_a_batch_is_in_work(
    make: Make, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make(PHOTOS[0], keep_alive_s=0.005)
    heard = threading.Event()
    monkeypatch.setattr(rig.source, "idle", lambda _timeout_s: heard.set())
    work = getattr(rig.loop._handler, operation)

    def slow(batch: object) -> object:
        assert threading.current_thread() is not threading.main_thread()
        assert heard.wait(30)
        return work(batch)

    monkeypatch.setattr(rig.loop._handler, operation, slow)
    rig.loop.run()
    assert rig.source.committed == {("images", 0): 1}


def test_work_goes_on_while_kafka_is_away(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make(PHOTOS[0], keep_alive_s=0.005)
    asked = threading.Event()

    def away(_timeout_s: float) -> None:
        asked.set()
        raise KafkaUnavailable("away")

    monkeypatch.setattr(rig.source, "idle", away)
    describe = rig.loop._handler.describe

    def slow(batch: Sequence[ImageMessage]) -> Described:
        assert asked.wait(30)
        return describe(batch)

    monkeypatch.setattr(rig.loop._handler, "describe", slow)
    rig.loop.run()
    assert rig.source.committed == {("images", 0): 1}


# Several batches in hand.


def test_three_batches_are_at_work_at_once_and_no_more(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make(*PHOTOS, PHOTOS[0], refresh_s=NEVER_S)
    handler, describe, decide = rig.loop._handler, rig.loop._handler.describe, rig.loop._handler.decide
    together, second_described = threading.Barrier(3, timeout=30), threading.Event()

    def describing(batch: Sequence[ImageMessage]) -> Described:
        if batch[0].offset == 4:
            together.wait()
        described = describe(batch)
        if batch[0].offset == 2:
            second_described.set()
        return described

    def deciding(described: Described) -> list[Outcome]:
        offset = described.items[0][0].offset
        if offset == 0:
            assert second_described.wait(30)
            # The event is set within the work that has to be done.
            assert rig.loop._in_hand[1].describing is not None
            rig.loop._in_hand[1].describing.result(30)
        if offset == 2:
            together.wait()
        return decide(described)

    def delivering() -> None:
        if rig.world.log[-1].startswith("deliver ['0:"):
            together.wait()
            assert rig.world.log.count("poll") == 3

    monkeypatch.setattr(handler, "describe", describing)
    monkeypatch.setattr(handler, "decide", deciding)
    rig.world.hooks["deliver"] = delivering
    rig.loop.run()
    assert rig.source.committed == {("images", 0): 7}


def test_what_is_in_hand_is_decided_and_delivered_in_order_whatever_fails(make: Make) -> None:
    rig = make(*PHOTOS[:2], *PHOTOS[:2], *PHOTOS[:2], batch_size=1, refresh_s=NEVER_S)
    rig.world.failures["decide"] = [RedisUnavailable("gone")] * 2
    rig.world.failures["deliver"] = [KafkaUnavailable("gone")] * 3
    rig.loop.run()
    places = [line for line in rig.world.log if line.startswith("deliver [")]
    assert places == [f"deliver ['{offset}: verdicts']" for offset in range(6)]
    told = [json.loads(message.value or b"") for message in rig.sink.topics["verdicts"]]
    assert [each["verdict"] for each in told] == ["unique"] * 2 + ["duplicate"] * 4


def test_an_outage_of_a_later_batch_does_not_keep_an_earlier_one(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make(*PHOTOS[:4])
    describe, failed = rig.loop._handler.describe, threading.Event()
    failures = [StoreUnavailable("gone")] * 3

    def describing(batch: Sequence[ImageMessage]) -> Described:
        if batch[0].offset == 2 and failures:
            failed.set()
            raise failures.pop()
        if batch[0].offset == 0:
            assert failed.wait(30)
        return describe(batch)

    monkeypatch.setattr(rig.loop._handler, "describe", describing)
    rig.loop.run()
    first = rig.world.log.index("deliver ['0: verdicts', '1: verdicts']")
    assert [at for at, line in enumerate(rig.world.log) if line.startswith("idle")] > [first]
    assert rig.value("neardup_retries_total", operation="describe") == 3
    assert rig.source.committed == {("images", 0): 4}


def test_what_ends_us_is_met_when_all_before_it_is_delivered(make: Make) -> None:
    rig = make(*PHOTOS)
    rig.world.hooks["poll"] = lambda: rig.world.failures.update(poll=[Misconfigured("a broken record")])
    with pytest.raises(Misconfigured, match="a broken record"):
        rig.loop.run()
    assert rig.source.committed == {("images", 0): 2}
    assert rig.world.log.count("poll fails") == 1


def test_an_outage_met_when_looking_for_more_costs_nothing(make: Make) -> None:
    rig = make(*PHOTOS)
    rig.world.hooks["poll"] = lambda: rig.world.failures.update(poll=[KafkaUnavailable("away")])
    rig.world.hooks["deliver"] = rig.world.failures.clear
    rig.loop.run()
    assert rig.source.committed == {("images", 0): 6}
    assert rig.value("neardup_retries_total", operation="poll") == 0
    assert rig.world.slept_s == []


@pytest.mark.parametrize(
    ("idle", "waited_s", "full"), [(False, 60.0, True), (True, 4.9, True), (True, 5.0, False), (True, 60.0, False)]
)
def test_a_batch_waits_to_be_full_while_no_process_is_idle_to_describe_it(
    make: Make, monkeypatch: pytest.MonkeyPatch, waited_s: float, *, idle: bool, full: bool
) -> None:
    rig = make(*PHOTOS[:2])
    rig.source.stays_open = True
    rig.loop._max_wait_s = 5.0
    monkeypatch.setattr(Handler, "has_idle", idle)
    looked = threading.Event()
    describe, poll = rig.loop._handler.describe, rig.source.poll
    asked: list[bool] = []

    def describing(batch: Sequence[ImageMessage]) -> Described:
        rig.world.now_s += waited_s
        asked.clear()
        looked.clear()
        assert looked.wait(30)
        looked_for.extend(asked)
        return describe(batch)

    def polling(max_messages: int, timeout_s: float, *, full: bool = False) -> list[ImageMessage]:
        asked.append(full)
        if len(asked) > 1:
            looked.set()
        return poll(max_messages, timeout_s, full=full)

    looked_for: list[bool] = []
    monkeypatch.setattr(rig.loop._handler, "describe", describing)
    monkeypatch.setattr(rig.source, "poll", polling)
    rig.world.hooks["deliver"] = rig.stop.set
    rig.loop.run()
    # The first look may have begun before time passed.
    assert set(looked_for[1:]) == {full}


def test_what_came_meanwhile_is_taken_before_this_thread_delivers(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make(*PHOTOS[:2])
    rig.source.stays_open = True
    poll, late = rig.source.poll, messages(*PHOTOS[:4])[2:]
    decide = rig.loop._handler.decide

    def deciding(described: Described) -> list[Outcome]:
        came.set()
        return decide(described)

    def polling(max_messages: int, timeout_s: float, *, full: bool = False) -> list[ImageMessage]:
        found = poll(max_messages, timeout_s, full=full)
        if not found and came.is_set() and late:
            found, late[:] = list(late), []
        return found

    came = threading.Event()
    in_hand: list[int] = []
    monkeypatch.setattr(rig.loop._handler, "decide", deciding)
    monkeypatch.setattr(rig.source, "poll", polling)

    def delivering() -> None:
        in_hand.append(len(rig.loop._in_hand))
        if rig.world.log[-1].startswith("deliver ['2:"):
            rig.stop.set()

    rig.world.hooks["deliver"] = delivering
    rig.loop.run()
    assert in_hand == [2, 1]


@pytest.mark.parametrize(("waited_s", "full"), [(0.0, True), (4.9, True), (5.0, False), (60.0, False)])
def test_once_all_are_described_it_waits_no_longer_than_it_may(
    make: Make, monkeypatch: pytest.MonkeyPatch, waited_s: float, *, full: bool
) -> None:
    rig = make(*PHOTOS[:2])
    rig.source.stays_open = True
    rig.loop._max_wait_s = 5.0
    decide, looked = rig.loop._handler.decide, threading.Event()
    asked: list[bool] = []

    def deciding(described: Described) -> list[Outcome]:
        rig.world.now_s += waited_s
        asked.clear()
        looked.clear()
        assert looked.wait(30)
        return decide(described)

    def polling(_max_messages: int, _timeout_s: float, *, full: bool = False) -> list[ImageMessage]:
        asked.append(full)
        if len(asked) > 1:
            looked.set()
        return first.pop() if first else []

    first = [rig.source.poll(2, 0.0)]
    monkeypatch.setattr(rig.loop._handler, "decide", deciding)
    monkeypatch.setattr(rig.source, "poll", polling)
    rig.world.hooks["deliver"] = rig.stop.set
    rig.loop.run()
    assert asked[1:]
    assert set(asked[1:]) == {full}


def test_sizes_are_read_only_when_nothing_is_being_decided(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make(*PHOTOS, *PHOTOS, batch_size=1, refresh_s=10.0)
    deciding = threading.Lock()
    rig.world.hooks["decide"] = lambda: rig.world.__setattr__("now_s", rig.world.now_s + 4.0)
    decide = rig.loop._handler.decide

    def alone(described: Described) -> list[Outcome]:
        with deciding:
            return decide(described)

    def refresh() -> None:
        assert deciding.acquire(blocking=False)
        deciding.release()

    monkeypatch.setattr(rig.loop._handler, "decide", alone)
    rig.world.hooks["refresh"] = refresh
    rig.loop.run()
    # Each takes 4 s, and they are due every 10 s.
    assert 3 <= rig.world.log.count("refresh") <= 6


def test_ready_from_the_first_success_on(make: Make) -> None:
    rig = make()
    assert rig.health.readiness() == (False, "starting")
    rig.loop.run()
    assert rig.health.readiness() == (True, "ready")
    assert rig.value("neardup_ready") == 1


# Outages.


@pytest.mark.parametrize("error", [RedisUnavailable("gone"), KafkaUnavailable("gone")], ids=["redis", "kafka"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_outage_repeats_the_step_that_it_hit(
    make: Make, operation: str, error: RedisUnavailable | KafkaUnavailable
) -> None:
    rig = make(*PHOTOS[:2])
    undisturbed = make(*PHOTOS[:2])
    undisturbed.loop.run()
    rig.world.failures[operation] = [error] * 3
    rig.loop.run()
    expected = undisturbed.world.log
    place = expected.index(next(line for line in expected if line.startswith(operation)))
    if operation == "refresh":
        place = expected.index("connect")  # the first one is part of connecting
    kept = expected[:place]
    pauses = [["idle 0.1"], ["idle 0.2"], ["idle 0.4"]]
    attempts = ["connect", f"{operation} fails"] if operation == "refresh" else [f"{operation} fails"]
    repeated = [line for pause in pauses for line in [*attempts, *pause]]
    assert rig.world.log == [*kept, *repeated, *expected[place:]]
    assert rig.world.slept_s == pytest.approx([0.1, 0.2, 0.4])
    counted = "connect" if operation == "refresh" else operation
    for other in OPERATIONS:
        assert rig.value("neardup_retries_total", operation=other) == (3 if other == counted else 0)
    assert rig.value("neardup_redis_errors_total") == (3 if error.service == "redis" else 0)
    assert rig.value("neardup_kafka_errors_total") == (3 if error.service == "kafka" else 0)
    assert rig.sink.topics == undisturbed.sink.topics
    assert rig.source.committed == {("images", 0): 2}


def test_a_refresh_between_batches_is_repeated_too(make: Make) -> None:
    rig = make(PHOTOS[0])
    rig.world.hooks["deliver"] = lambda: rig.world.failures.update(refresh=[RedisUnavailable("gone")] * 2)
    rig.loop.run()
    assert rig.world.log[-5:] == ["refresh fails", "idle 0.1", "refresh fails", "idle 0.2", "refresh"]
    assert rig.value("neardup_retries_total", operation="refresh") == 2


def test_readiness_turns_false_in_an_outage_and_true_after_it(make: Make) -> None:
    rig = make(PHOTOS[0])
    seen: list[tuple[bool, str, float | None]] = []
    rig.loop._sleep = lambda _seconds: seen.append((*rig.health.readiness(), rig.value("neardup_ready")))
    rig.world.failures["decide"] = [RedisUnavailable("secret address")]
    rig.world.failures["deliver"] = [KafkaUnavailable("secret address")]
    rig.loop.run()
    assert seen == [(False, "redis is away", 0.0), (False, "kafka is away", 0.0)]
    assert rig.health.readiness()[0]
    assert rig.value("neardup_ready") == 1


def test_the_waits_begin_again_after_a_success(make: Make) -> None:
    rig = make(*PHOTOS[:4])
    rig.world.failures["decide"] = [RedisUnavailable("gone")] * 2
    rig.world.failures["deliver"] = [KafkaUnavailable("gone")]
    rig.loop.run()
    assert rig.world.slept_s == pytest.approx([0.1, 0.2, 0.1])


def test_the_waits_grow_no_longer_than_the_longest(make: Make) -> None:
    rig = make(PHOTOS[0])
    rig.world.failures["decide"] = [RedisUnavailable("gone")] * 9
    rig.loop.run()
    assert rig.world.slept_s == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0])


@pytest.mark.parametrize(("idle_takes_s", "slept_s"), [(0.0, 0.1), (0.04, 0.06), (0.1, 0.0), (3.0, 0.0)])
def test_what_idling_leaves_of_a_wait_is_slept(make: Make, idle_takes_s: float, slept_s: float) -> None:
    rig = make(PHOTOS[0])
    rig.world.idle_takes_s = idle_takes_s
    rig.world.failures["decide"] = [RedisUnavailable("gone")]
    rig.loop.run()
    assert rig.world.slept_s == pytest.approx([slept_s])


def test_a_wait_is_a_wait_even_when_kafka_is_away_too(make: Make) -> None:
    rig = make(PHOTOS[0])
    rig.world.idle_fails = True
    rig.world.failures["decide"] = [RedisUnavailable("gone")] * 2
    rig.loop.run()
    assert rig.world.slept_s == pytest.approx([0.1, 0.2])


def test_the_loop_is_alive_throughout_an_outage(make: Make) -> None:
    rig = make(PHOTOS[0])
    alive: list[bool] = []
    rig.world.hooks["deliver"] = lambda: alive.append(rig.health.liveness()[0])
    rig.world.failures["decide"] = [RedisUnavailable("gone")] * 100
    rig.loop.run()
    assert rig.world.now_s > 400
    assert alive == [True]


def test_nothing_polled_is_lost_when_sizes_cannot_be_shown(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make(*PHOTOS[:3])
    answers: Iterator[Exception | None] = iter([None, KafkaUnavailable("gone"), KafkaUnavailable("gone")])

    def lag() -> Mapping[tuple[str, int], int]:
        if error := next(answers, None):
            raise error
        return {}

    monkeypatch.setattr(rig.source, "lag", lag)
    rig.loop.run()
    assert len(rig.sink.topics["verdicts"]) == 3


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_wrong_setting_ends_it_at_once(make: Make, operation: str) -> None:
    rig = make(PHOTOS[0])
    rig.world.failures[operation] = [Misconfigured("no such thing")]
    with pytest.raises(Misconfigured, match="no such thing"):
        rig.loop.run()
    assert rig.world.slept_s == []
    if operation != "refresh":
        assert rig.source.committed == {}


def test_a_programming_error_is_not_hidden(make: Make) -> None:
    rig = make(PHOTOS[0])
    rig.world.failures["decide"] = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        rig.loop.run()
    assert rig.source.committed == {}


# Stopping.


@pytest.mark.parametrize("operation", ["poll", "decide", "deliver"])
def test_stop_finishes_what_is_in_hand_and_takes_no_more(make: Make, operation: str) -> None:
    rig = make(*PHOTOS, *PHOTOS)
    rig.world.hooks[operation] = rig.stop.set
    rig.loop.run()
    taken = 1 if operation == "poll" else 3
    assert len(rig.sink.topics["verdicts"]) == 2 * taken
    assert rig.source.committed == {("images", 0): 2 * taken}
    assert rig.world.log.count("poll") == taken


def test_stop_before_the_first_batch_takes_none(make: Make) -> None:
    rig = make(*PHOTOS[:2])
    rig.stop.set()
    rig.loop.run()
    assert "poll" not in rig.world.log


@pytest.mark.parametrize("operation", ["connect", "poll", "refresh"])
def test_stop_in_an_outage_with_nothing_in_hand_ends_at_once(make: Make, operation: str) -> None:
    rig = make(*PHOTOS[:2])
    rig.world.failures[operation] = [KafkaUnavailable("gone")] * 1000
    rig.loop._sleep = lambda _seconds: rig.stop.set()
    rig.loop.run()
    assert rig.world.log.count(f"{operation} fails") == 1
    assert rig.source.committed == {}


@pytest.mark.parametrize("operation", ["decide", "deliver"])
def test_stop_waits_for_a_server_so_that_the_batch_in_hand_is_finished(make: Make, operation: str) -> None:
    rig = make(*PHOTOS[:2])
    rig.world.hooks["poll"] = rig.stop.set
    rig.world.failures[operation] = [RedisUnavailable("gone")] * 5
    rig.loop.run()
    assert rig.source.committed == {("images", 0): 2}
    assert rig.world.now_s < SHUTDOWN_TIMEOUT_S


@pytest.mark.parametrize("operation", ["decide", "deliver"])
def test_stop_gives_up_on_a_server_that_stays_away(make: Make, operation: str) -> None:
    rig = make(*PHOTOS[:2])
    rig.world.hooks["poll"] = rig.stop.set
    rig.world.failures[operation] = [RedisUnavailable("redis is gone")] * 1000
    with pytest.raises(ShutdownTimeout, match="redis is gone; what is not committed will be delivered again"):
        rig.loop.run()
    assert SHUTDOWN_TIMEOUT_S <= rig.world.now_s <= SHUTDOWN_TIMEOUT_S + 5.0
    assert rig.source.committed == {}


def test_the_time_to_shut_down_begins_with_the_stop_and_not_with_the_outage(make: Make) -> None:
    rig = make(*PHOTOS[:2])
    rig.world.failures["decide"] = [RedisUnavailable("gone")] * 1000
    sleep = rig.world.sleep

    def sleep_until_told(seconds: float) -> None:
        sleep(seconds)
        if rig.world.now_s > 100:
            rig.stop.set()

    rig.loop._sleep = sleep_until_told
    with pytest.raises(ShutdownTimeout):
        rig.loop.run()
    assert 100 + SHUTDOWN_TIMEOUT_S <= rig.world.now_s <= 110 + SHUTDOWN_TIMEOUT_S
