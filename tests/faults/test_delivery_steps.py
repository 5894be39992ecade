"""Death at every line of the loop's docstring, with three batches in hand, and what those find who come after."""

import json
import signal
from collections import Counter, defaultdict
from collections.abc import Callable

import pytest

from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect
from tests.support.dying import EVERYWHERE, IN_A_TRANSACTION, IN_TURN, Consumers
from tests.support.harness import audit, sources_of_dead_letters
from tests.support.processes import eventually, photo
from tests.support.stage import Stage, fresh

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]

AT_LEAST_ONCE = ("--delivery", "at-least-once")
UNIQUES, TIMES = 4, 3
THREE = ("--batch-size", str(UNIQUES + 1))
"""Makes three batches of what is fed at a time."""


@pytest.fixture(scope="module")
def once(make_stage: Callable[..., Stage]) -> Stage:
    """Give a place where all is exactly once, whatever the tests before have done there."""
    return make_stage(1, has_unique_topic=True)


@pytest.fixture(scope="module")
def at_least(make_stage: Callable[..., Stage]) -> Stage:
    """Give a place for at-least-once."""
    return make_stage(1, has_unique_topic=True)


def static(stage: Stage, *more: str) -> list[str]:
    """Return the command line of one and the same member of the group, who may die and come back."""
    return stage.arguments("--group-instance-id", "one", *THREE, *more)


def feed(stage: Stage) -> Counter[str]:
    """Publish images that nobody has seen, copies of them, and what is no image; return the verdicts wanted."""
    pictures = [fresh() for _ in range(UNIQUES)]
    for copy in range(TIMES):
        for number in pictures:
            stage.publish(photo(number, quality=90 - 10 * copy))
        stage.publish(b"no image")
    stage.flush()
    return Counter({"unique": UNIQUES, "duplicate": UNIQUES * (TIMES - 1)})


def check_index(stage: Stage) -> None:
    """Check that each unique image is a member once, and nothing else is."""
    with connect(stage.redis_url) as client:
        members = RedisIndex(client, stage.index).members()
    ours = Counter(member.key for member in members if member.key.startswith(f"{stage.images}-"))
    uniques = {place for place, document in stage.documents().items() if document["verdict"] == "unique"}
    assert ours == dict.fromkeys(uniques, 1)


def forwarded(stage: Stage) -> Counter[str]:
    """Count by their places the images that went on as unique, and check that each is what was published there."""
    found: Counter[str] = Counter()
    for record in stage.unique_reader.read_to_end():
        place = dict(record.headers)["unique.source"].decode()
        assert (record.key, record.value) == (b"camera", stage.values[place])
        found[place] += 1
    return found


def check_uniques(stage: Stage) -> None:
    """Check that each unique image has gone on once, and nothing else has."""
    uniques = {place for place, document in stage.documents().items() if document["verdict"] == "unique"}
    assert forwarded(stage) == dict.fromkeys(uniques, 1)


def verdicts(stage: Stage) -> Counter[str]:
    """Count the verdicts of each kind."""
    return Counter(str(document["verdict"]) for document in stage.documents().values())


def in_the_end(stage: Stage) -> None:
    """Check that all is told once, committed, and in the index."""
    audit(stage)
    assert stage.committed() == stage.published
    check_index(stage)
    if stage.uniques:
        check_uniques(stage)


# Exactly once.


@pytest.mark.parametrize("step", [*EVERYWHERE, *IN_A_TRANSACTION, "told"])
def test_killed_at_any_step_nothing_is_lost_or_told_twice(once: Stage, consumers: Consumers, step: str) -> None:
    before = verdicts(once)
    wanted = feed(once)
    with consumers.run(static(once), step=step, in_hand=TIMES) as dying:
        assert dying.wait() == -signal.SIGKILL, dying.said()
    with consumers.run(static(once)) as successor:
        once.await_outcomes()
        assert successor.stop() == 0, successor.said()
    in_the_end(once)
    assert verdicts(once) - before == wanted


@pytest.mark.parametrize("step", [*EVERYWHERE, *IN_A_TRANSACTION, "told"])
def test_told_to_stop_at_any_step_what_is_in_hand_is_finished(once: Stage, consumers: Consumers, step: str) -> None:
    feed(once)
    with consumers.run(static(once), step=step, number=signal.SIGTERM, in_hand=TIMES) as stopping:
        assert stopping.wait() == 0, stopping.said()
    assert "SIGTERM: finishing what is in hand" in stopping.said()
    in_the_end(once)


@pytest.mark.parametrize("step", ["described", "all sent"])
def test_told_twice_it_leaves_at_once_and_costs_nothing(once: Stage, consumers: Consumers, step: str) -> None:
    feed(once)
    with consumers.run(static(once), step=step, number=signal.SIGTERM, again=True, in_hand=TIMES) as leaving:
        assert leaving.wait() == 128 + signal.SIGTERM, leaving.said()
    line = "consumer: SIGTERM again: exiting now, what is in hand will be delivered again\n"
    assert leaving.said().endswith(line)
    with consumers.run(static(once)) as successor:
        once.await_outcomes()
        assert successor.stop() == 0, successor.said()
    in_the_end(once)


@pytest.mark.parametrize("step", ["described", "all sent"])
def test_a_zombie_whose_place_was_taken_is_fenced_and_says_so(once: Stage, consumers: Consumers, step: str) -> None:
    feed(once)
    with consumers.run(static(once), step=step, number=signal.SIGSTOP, in_hand=TIMES) as zombie:
        eventually(zombie.sleeps, "asleep")
        with consumers.run(static(once)) as other:
            once.await_outcomes()
            zombie.signal(signal.SIGCONT)
            assert zombie.wait() == 2, zombie.said()
            # Whoever took the place goes on in it.
            feed(once)
            once.await_outcomes()
            assert other.stop() == 0, other.said()
    (line,) = [line for line in zombie.said().splitlines() if line.startswith("consumer: ")]
    assert "another consumer joined the group with our --group-instance-id" in line
    assert "Traceback" not in zombie.said()
    in_the_end(once)


def test_a_zombie_without_a_name_drops_its_work_and_takes_part_again(
    make_stage: Callable[[int], Stage], consumers: Consumers
) -> None:
    stage = make_stage(1)
    feed(stage)
    impatient = stage.arguments("--session-timeout-s", "6", *THREE)
    with consumers.run(
        impatient,
        step="all sent",
        number=signal.SIGSTOP,
        constants={"TRANSACTION_TIMEOUT_MS": 2000},
        in_hand=TIMES,
    ) as zombie:
        eventually(zombie.sleeps, "asleep with a transaction open")
        with consumers.run(impatient) as other:
            # The broker ends the session, then the transaction; until then nobody knows where to begin.
            stage.await_outcomes()
            zombie.signal(signal.SIGCONT)
            # Lost if a heartbeat tells it that its session has ended; revoked if it joins again before it knows.
            zombie.await_line("partitions lost", "partitions revoked")
            feed(stage)
            stage.await_outcomes()
            assert other.stop() == 0, other.said()
        feed(stage)
        stage.await_outcomes()
        assert zombie.stop() == 0, zombie.said()
    in_the_end(stage)


# At least once.


def tellings(stage: Stage) -> dict[str, list[tuple[object, ...]]]:
    """Return what was told of each message, as often as it was told."""
    told: defaultdict[str, list[tuple[object, ...]]] = defaultdict(list)
    for record in stage.verdict_reader.read_to_end():
        document = json.loads(record.value)
        source = document["source"]
        place = f"{source['topic']}-{source['partition']}-{source['offset']}"
        told[place].append(tuple(document[name] for name in ("image_id", "verdict", "duplicate_of", "distance")))
    for place in sources_of_dead_letters(stage):
        told[place].append(("dead letter",))
    return told


@pytest.mark.parametrize("step", [*EVERYWHERE, *IN_TURN, "told"])
def test_at_least_once_nothing_is_lost_and_what_is_told_again_is_the_same(
    at_least: Stage, consumers: Consumers, step: str
) -> None:
    stage = at_least
    before = set(tellings(stage))
    feed(stage)
    with consumers.run(static(stage, *AT_LEAST_ONCE), step=step, in_hand=TIMES) as dying:
        assert dying.wait() == -signal.SIGKILL, dying.said()
    with consumers.run(static(stage, *AT_LEAST_ONCE)) as successor:
        eventually(lambda: stage.committed() == stage.published, "all offsets committed")
        assert successor.stop() == 0, successor.said()
    told = tellings(stage)
    assert told.keys() == {f"{stage.images}-0-{offset}" for offset in range(stage.published[0])}
    assert {place for place, words in told.items() if len(set(words)) > 1} == set()
    uniques = {place for place, words in told.items() if words[0][1:2] == ("unique",)}
    assert forwarded(stage).keys() == uniques
    twice = {place for place, words in told.items() if len(words) > 1} - before
    assert bool(twice) == (step in {"half published", "published"}), "that is what the step is there for"
