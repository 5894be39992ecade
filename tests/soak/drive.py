"""The soak: servers, consumers and a feed, and what befalls them."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from kafka.admin import KafkaAdminClient, NewTopic

from demo.services import KafkaProgram, KafkaServer, RedisProgram, RedisServer
from tests.soak.again import MOST_TOLD, Scribe, differing
from tests.soak.crew import STOP_S, Consumer, Feed, Memory
from tests.soak.judge import Report, Scene, audit, await_the_end, is_judged
from tests.support.processes import eventually
from tests.support.stage import bootstrap, seed_folder

PARTITIONS = 6
CONSUMERS = 3
_CALLED = {"all": "consumer", "describe": "describer", "decide": "decider"}
_POLL_S = 0.2
_SAMPLE_S = 1.0
_ASK_S = 5.0
_LONGEST_STALL_S = 30.0
_WARM = 1 / 3
"""Part of the time after which a consumer has met all that it will meet: buffers, caches, an outage of each server."""
_REPEAT_BYTES = 4 * 2**20
"""Of described images: soon full, so that whatever grows after that is a leak."""
_MEMORY_S = 150.0
"""A shorter soak says what memory it saw, and does not judge it: there is no plateau yet."""
_REDIS = {"appendonly": "yes", "appendfsync": "always"}
"""A Redis that loses nothing when it is killed; what it costs when it does is the stress test's to show."""


@dataclass(frozen=True)
class Plan:
    """What a soak is to be.

    Attributes
    ----------
    minutes
        How long it is fed; starting, draining and the audit come on top.
    seed
        Of pictures and mishaps. What the machine does in between is its own.
    mishap_s
        A mishap follows another after up to twice this long.
    rate
        Images a second.
    describers, deciders
        How many there are of each; with none, three consumers do both.
    images
        How many are fed before any consumer starts, as an archive is; there is trouble until all of them are judged.
        None feeds for so long, meanwhile.
    round_images
        Of one folder that is fed.
    batch
        Images that a consumer takes together.
    again
        Whether one process of role all judges everything once more, and must tell the same.
    """

    minutes: float
    seed: int
    mishap_s: float = 6.0
    rate: float = 12.0
    describers: int = 0
    deciders: int = 0
    images: int | None = None
    round_images: int = 100
    batch: int = 16
    again: bool = False

    @property
    def roles(self) -> list[str]:
        """The role of each consumer."""
        return ["describe"] * self.describers + ["decide"] * self.deciders or ["all"] * CONSUMERS

    @property
    def has_roles(self) -> bool:
        """Whether some describe and others decide."""
        return bool(self.describers)

    @property
    def feed_s(self) -> float:
        """How long it is fed, in seconds."""
        return 60.0 * self.minutes

    @property
    def stall_s(self) -> float:
        """How long a stalled Redis stands still: thirty seconds, or a tenth of a short soak."""
        return min(_LONGEST_STALL_S, self.feed_s / 10)


class Soak:
    """One soak by a plan, on servers of its own.

    Parameters
    ----------
    plan
        What it is to be.
    kafka, redis
        What to run.
    folder
        For pictures.
    say
        Told each mishap.
    """

    def __init__(
        self, plan: Plan, kafka: KafkaProgram, redis: RedisProgram, folder: Path, say: Callable[[str], None]
    ) -> None:
        self._plan, self._folder, self._say = plan, folder, say
        self._random = random.Random(plan.seed)  # noqa: S311 - no secret
        self._kafka = KafkaServer(kafka)
        self._redis = RedisServer(redis, _REDIS)
        self._consumers: list[Consumer] = []
        self._deck: list[Callable[[], None]] = []
        self._decks = self._kills = self._stops = 0
        self._mishaps: Counter[str] = Counter()
        self._began_s = self._asked_s = 0.0
        self._judged = False
        self.report = Report(seed=plan.seed)

    def run(self) -> Report:
        """Soak, and return what the audit found."""
        self._say(f"soak: seed {self._plan.seed}, {self._plan.minutes:g} minutes")
        with ExitStack() as stack:
            stack.enter_context(self._redis)
            stack.enter_context(self._kafka)
            scene = Scene(self._kafka.bootstrap_servers, self._redis.url)
            self._prepare(scene)
            stack.callback(self._end_all)
            self._began_s = time.monotonic()
            scribe = Scribe(scene.redis_url, scene.index)
            if self._plan.again:
                scribe.start()
                stack.callback(scribe.end)
            memory = self._feed_and_trouble(scene)
            self._drain(scene)
            self._judge_memory(memory)
            audit(scene, self.report)
            if self._plan.again:
                self._judge_again(scene, scribe)
        self.report.mishaps = dict(self._mishaps)
        self.report.seconds = round(time.monotonic() - self._began_s, 1)
        return self.report

    def _prepare(self, scene: Scene) -> None:
        seeds = seed_folder(self._folder / "seeds")
        for index in (scene.index, *([_again(scene).index] if self._plan.again else [])):
            bootstrap(seeds, scene.redis_url, index)
        with KafkaAdminClient(bootstrap_servers=scene.address) as admin:
            counts = {scene.images: max(PARTITIONS, self._plan.describers), scene.verdicts: 2, scene.dead: 1}
            counts |= {scene.descriptors: max(PARTITIONS, self._plan.deciders)} if self._plan.has_roles else {}
            admin.create_topics([NewTopic(topic, count, 1) for topic, count in counts.items()])
        self._consumers = [
            Consumer(number, self._consumer(scene, role), _CALLED[role]) for number, role in enumerate(self._plan.roles)
        ]

    def _consumer(self, scene: Scene, role: str) -> list[str]:
        return [
            *("-m", "consumer", "--bootstrap-servers", scene.address, "--redis", scene.redis_url, "--role", role),
            *("--index", scene.index, "--topic", scene.images, "--verdicts", scene.verdicts),
            *("--dead-letters", scene.dead, "--group", scene.group, "--metrics-port", "0"),
            *("--session-timeout-s", "6", "--batch-size", str(self._plan.batch), "--log-level", "WARNING"),
            *([] if role == "decide" else ["--repeat-bytes", str(_REPEAT_BYTES)]),
        ]

    # -- trouble ------------------------------------------------------------------------------------------------------

    def _feed_and_trouble(self, scene: Scene) -> Memory:
        to = ["--bootstrap-servers", scene.address, "--topic", scene.images, "--rate", str(self._plan.rate)]
        feed = Feed(self._folder / "pictures", to, self._plan.seed, self._plan.round_images)
        feed.start()
        if self._plan.images is not None:
            self._await_fed(feed, self._plan.images)
        for consumer in self._consumers:
            consumer.start()
        memory = Memory(lambda: self._consumers[0].pid)
        end_s = self._began_s + self._plan.feed_s
        mishap_at_s = time.monotonic() + self._soon()
        sample_at_s = 0.0
        # However slow the machine, every mishap is to happen once.
        while self._goes_on(scene, end_s) or self._decks == 0 or (self._decks == 1 and self._deck):
            time.sleep(_POLL_S)
            self._look_after()
            if time.monotonic() >= sample_at_s:
                memory.sample()
                sample_at_s = time.monotonic() + _SAMPLE_S
            if time.monotonic() >= mishap_at_s:
                self._mishap()
                mishap_at_s = time.monotonic() + self._soon()
        feed.end()
        self.report.rounds = feed.rounds
        self.report.faults += feed.faults
        return memory

    def _await_fed(self, feed: Feed, images: int) -> None:
        while feed.images < images:
            time.sleep(_POLL_S)
        feed.end()
        self._say(f"{time.monotonic() - self._began_s:6.1f} s  {feed.images} images are fed")

    def _goes_on(self, scene: Scene, end_s: float) -> bool:
        """Say whether feed and trouble are to go on."""
        if self._plan.images is None:
            return time.monotonic() < end_s
        if time.monotonic() >= self._asked_s + _ASK_S:
            self._asked_s, self._judged = time.monotonic(), is_judged(scene, has_roles=self._plan.has_roles)
        return not self._judged

    def _soon(self) -> float:
        return self._random.uniform(0.0, 2.0 * self._plan.mishap_s)

    def _look_after(self, *, revive: bool = True) -> None:
        for consumer in self._consumers:
            if (wrong := consumer.look(revive=revive)) and wrong not in self.report.faults:
                self._say(wrong)
                self.report.faults.append(wrong)

    def _mishap(self) -> None:
        """Draw the next mishap: every one comes before any comes again."""
        if not self._deck:
            kinds = [self._kill_next, self._kill_next, self._stop_next, self._stop_next]
            kinds += [self._restart_redis, self._restart_kafka, self._stall_redis]
            self._deck = self._random.sample(kinds, len(kinds))
            self._decks += 1
        self._deck.pop()()

    def _note(self, what: str) -> None:
        self._mishaps[what] += 1
        self._say(f"{time.monotonic() - self._began_s:6.1f} s  {what}")

    def _unlucky(self, turn: int) -> Consumer:
        """Return whose turn it is: of each kind in turn anybody but the first, whose memory is measured."""
        kinds = sorted({consumer.what for consumer in self._consumers[1:]})
        ours = [consumer for consumer in self._consumers[1:] if consumer.what == kinds[turn % len(kinds)]]
        return self._random.choice(ours)

    def _kill_next(self) -> None:
        unlucky = self._unlucky(self._kills)
        self._kills += 1
        self._note(f"{unlucky.what} killed")
        unlucky.kill()

    def _stop_next(self) -> None:
        unlucky = self._unlucky(self._stops)
        self._stops += 1
        self._note(f"{unlucky.what} stopped")
        unlucky.stop()

    def _restart_redis(self) -> None:
        if self._random.random() < 1 / 2:
            self._note("redis killed and started")
            self._redis.kill()
        else:
            self._note("redis stopped and started")
            self._redis.stop()
        self._redis.start()

    def _restart_kafka(self) -> None:
        if self._random.random() < 1 / 2:
            self._note("kafka killed and started")
            self._kafka.kill()
        else:
            self._note("kafka stopped and started")
            self._kafka.stop()
        self._kafka.start()

    def _stall_redis(self) -> None:
        self._note("redis stalled")
        os.kill(self._redis.pid, signal.SIGSTOP)
        try:
            until_s = time.monotonic() + self._plan.stall_s
            while time.monotonic() < until_s:
                time.sleep(_POLL_S)
                self._look_after()
        finally:
            os.kill(self._redis.pid, signal.SIGCONT)

    # -- the end ------------------------------------------------------------------------------------------------------

    def _drain(self, scene: Scene) -> None:
        began_s = time.monotonic()
        self._look_after()
        await_the_end(scene, has_roles=self._plan.has_roles)
        self.report.drained_s = round(time.monotonic() - began_s, 1)
        for consumer in self._consumers:
            consumer.stop()
        eventually(lambda: all(consumer.has_ended() for consumer in self._consumers), "the consumers' end", STOP_S)
        self._look_after(revive=False)

    def _judge_again(self, scene: Scene, scribe: Scribe) -> None:
        self._say(f"{time.monotonic() - self._began_s:6.1f} s  all of it once more, by one process that does all")
        scribe.end()
        again = _again(scene)
        found = differing(scene, again, scribe.appended, self._consumer(again, "all"))
        self.report.judged_again, self.report.told_otherwise = self.report.fed, len(found)
        self.report.faults += [*scribe.faults, *found[:MOST_TOLD]]

    def _judge_memory(self, memory: Memory) -> None:
        warm, end = memory.between(_WARM, _WARM + 1 / 6), memory.between(5 / 6, 1.0)
        report = self.report
        report.memory_warm_mib, report.memory_end_mib = round(warm / 2**20, 1), round(end / 2**20, 1)
        report.memory_growth = round(end / warm - 1, 4) if warm else 0.0
        report.memory_judged = bool(warm) and self._plan.feed_s >= _MEMORY_S

    def _end_all(self) -> None:
        for consumer in self._consumers:
            consumer.close()


def _again(scene: Scene) -> Scene:
    """Return a scene of other names on the same servers."""
    names = {name: f"{getattr(scene, name)}.again" for name in ("index", "images", "verdicts", "dead", "group")}
    return replace(scene, **names)
