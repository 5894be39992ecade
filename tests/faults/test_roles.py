"""Describers and deciders on real servers: killed at every step, each image gets one verdict, that of one consumer."""

import json
import secrets
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from consumer.settings import DECIDERS
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect
from neardup.wire_described import decode_described
from tests.support.dying import EVERYWHERE, IN_A_TRANSACTION, Consumers
from tests.support.harness import audit, fatal_line
from tests.support.processes import eventually, photo, read_topic, run
from tests.support.stage import Stage, bootstrap, fresh, seed_folder

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]

MakeStage = Callable[..., Stage]
UNIQUES, TIMES = 4, 3
STEPS = [*EVERYWHERE, *IN_A_TRANSACTION, "told"]
TIMES_OF_DAY = {"decided_at", "latency_ms"}


@pytest.fixture(scope="module")
def once(make_stage: MakeStage) -> Stage:
    """Give a place with one partition of everything: the order is that of the feed."""
    return make_stage(1, descriptor_partitions=1)


@pytest.fixture(scope="module")
def twins(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Names of two indexes that are alike: one for both roles, and one for a consumer that does all."""
    seeds, run_id = seed_folder(tmp_path_factory.mktemp("twins") / "seeds"), secrets.token_hex(4)
    names = (f"roles-{run_id}", f"all-{run_id}")
    for name in names:
        bootstrap(seeds, redis_url, name)
    return names


def feed(stage: Stage, partition: int = 0) -> None:
    """Publish images that nobody has seen, copies of them, and what is no image."""
    pictures = [fresh() for _ in range(UNIQUES)]
    for copy in range(TIMES):
        for number in pictures:
            headers = [("camera", b"%d" % number)]
            stage.publish(photo(number, quality=90 - 10 * copy), partition=partition, headers=headers)
        stage.publish(b"no image", partition=partition)
    stage.flush()


def describer(stage: Stage, name: str = "one", *more: str) -> list[str]:
    """Return the command line of a describer who may die and come back, in batches of a third of what is fed."""
    sizes = ("--batch-size", str(UNIQUES + 1), "--pass-headers", "camera")
    return stage.role("describe", "--group-instance-id", name, *sizes, *more)


def decider(stage: Stage, name: str = "one", *more: str) -> list[str]:
    """Return the same of a decider."""
    return stage.role("decide", "--group-instance-id", name, "--batch-size", str(UNIQUES), *more)


def is_described(stage: Stage) -> bool:
    """Say whether describers have done with all that was fed."""
    return stage.committed() == stage.published


def described_in(stage: Stage) -> list[Any]:
    """Return what is in the descriptor topic, which has as many partitions as that of the images."""
    partitions = range(stage.partitions)
    return [each for number in partitions for each in read_topic(stage.address, stage.descriptors, partition=number)]


def in_the_end(stage: Stage) -> None:
    """Check that all is told once and committed by both groups, and that the index holds what was unique."""
    audit(stage)
    assert is_described(stage)
    images = [(record.partition, decode_described(record.value)) for record in described_in(stage)]
    assert Counter(image.query.key for _, image in images) == dict.fromkeys(stage.documents(), 1)
    assert all(image.source.partition == partition for partition, image in images)
    with connect(stage.redis_url) as client:
        keys = [member.key for member in RedisIndex(client, stage.index).members()]
    uniques = {place for place, document in stage.documents().items() if document["verdict"] == "unique"}
    assert Counter(key for key in keys if key.startswith(f"{stage.images}-")) == dict.fromkeys(uniques, 1)


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_nothing_is_lost_or_told_twice(once: Stage, consumers: Consumers, step: str) -> None:
    feed(once)
    own = "decided" if step == "half decided" else step  # a describer decides nothing
    with consumers.run(describer(once), step=own, in_hand=TIMES) as dying:
        assert dying.wait() == -signal.SIGKILL, dying.said()
    with consumers.run(describer(once)) as successor:
        eventually(lambda: is_described(once), "all described")
        assert successor.stop() == 0, successor.said()
    with consumers.run(decider(once), step=step, in_hand=TIMES) as dying:
        assert dying.wait() == -signal.SIGKILL, dying.said()
    with consumers.run(decider(once)) as successor:
        once.await_outcomes()
        assert successor.stop() == 0, successor.said()
    in_the_end(once)


def test_the_verdicts_are_those_of_one_consumer_that_does_all(
    once: Stage, twins: tuple[str, str], consumers: Consumers, make_stage: MakeStage
) -> None:
    stage = make_stage(1, descriptor_partitions=1)
    stage.index, other = twins
    feed(stage)
    feed(stage)
    with consumers.run(describer(stage)) as first, consumers.run(decider(stage)) as second:
        stage.await_outcomes()
        assert (first.stop(), second.stop()) == (0, 0), first.said() + second.said()
    in_the_end(stage)
    assert told(stage.verdict_reader.read_to_end()) == told(judged_by_one(stage, other, consumers, once))


def judged_by_one(stage: Stage, index: str, consumers: Consumers, spare: Stage) -> list[Any]:
    """Return the verdicts that one consumer gives on the images of a stage, by an index of its own."""
    begun = len(spare.verdict_reader.read_to_end())
    other = ["--index", index, "--group", f"{stage.group}-all", "--verdicts", spare.verdicts]
    whole = [*stage.arguments("--pass-headers", "camera"), *other, "--dead-letters", spare.dead]
    wanted = len(stage.documents())
    with consumers.run(whole) as consumer:
        eventually(lambda: spare.verdict_reader.read() >= begun + wanted, "as many verdicts")
        assert consumer.stop() == 0, consumer.said()
    return spare.verdict_reader.read_to_end()[begun:]


def told(records: list[Any]) -> dict[str, Any]:
    """Return by the place of the image all that a verdict says, but for times and the name of the index."""
    found: dict[str, Any] = {}
    for record in records:
        document = json.loads(record.value)
        source = document["source"]
        document["index"].pop("name")
        said = [(name, value) for name, value in document.items() if name not in TIMES_OF_DAY]
        found[f"{source['topic']}-{source['partition']}-{source['offset']}"] = (said, record.key, record.headers)
    return found


def test_two_describers_and_two_deciders_each_killed_once(
    make_stage: MakeStage, twins: tuple[str, str], once: Stage, consumers: Consumers
) -> None:
    stage = make_stage(2, descriptor_partitions=2)
    stage.index, other = twins
    lines = [describer(stage, "a"), describer(stage, "b"), decider(stage, "a"), decider(stage, "b")]
    steps = ["all sent", "commit sent", "half decided", "half sent"]
    with ExitStack() as stack:
        dying = [stack.enter_context(consumers.run(line, step=step)) for line, step in zip(lines, steps, strict=True)]
        alive = list(dying)
        # Whoever dies is followed by who has its name, until all have died once.
        while any(each in alive for each in dying):
            feed(stage, 0)
            feed(stage, 1)
            for at, each in enumerate(dying):
                if alive[at] is each and not each.process.is_alive():
                    assert each.wait() == -signal.SIGKILL, each.said()
                    alive[at] = stack.enter_context(consumers.run(lines[at]))
            eventually(
                lambda: is_described(stage) or any(not each.process.is_alive() for each in alive), "work or death"
            )
        stage.await_outcomes()
        assert [each.stop() for each in alive] == [0] * len(alive), "".join(each.said() for each in alive)
    in_the_end(stage)
    ours, whole = told(stage.verdict_reader.read_to_end()), told(judged_by_one(stage, other, consumers, once))
    assert without_far_ones(ours) == without_far_ones(whole)


def without_far_ones(verdicts: dict[str, Any]) -> dict[str, object]:
    """Leave out what depends on the order of two partitions: how far a unique image is from what was there."""
    found: dict[str, object] = {}
    for place, (said, key, headers) in verdicts.items():
        document = dict(said)
        is_unique = document["verdict"] == "unique"
        far = {"distance", "similarity", "cluster"} if is_unique else {"cluster"}
        found[place] = ({name: value for name, value in document.items() if name not in far}, key, headers)
    return found


def test_a_running_service_is_changed_over_one_consumer_at_a_time(make_stage: MakeStage, consumers: Consumers) -> None:
    stage = make_stage(2, descriptor_partitions=2)
    with consumers.run(stage.arguments("--pass-headers", "camera")) as whole, consumers.run(decider(stage)) as second:
        feed(stage, 0)
        feed(stage, 1)
        stage.await_outcomes()
        assert described_in(stage) == []
        with consumers.run(describer(stage)) as first:
            first.await_line("partitions assigned")
            feed(stage, 0)
            feed(stage, 1)
            assert whole.stop() == 0, whole.said()
            feed(stage, 0)
            feed(stage, 1)
            stage.await_outcomes()
            assert (first.stop(), second.stop()) == (0, 0), first.said() + second.said()
    audit(stage)
    assert is_described(stage)
    described = [decode_described(record.value).query.key for record in described_in(stage)]
    assert len(described) == len(set(described)) >= 2 * UNIQUES * TIMES


def test_several_workers_of_each_role_are_seen_as_one(make_stage: MakeStage) -> None:
    stage = make_stage(2, descriptor_partitions=2)
    between = ["--role", "describe", "--descriptors-topic", stage.descriptors]
    two = ["--workers", "2"]
    with (
        stage.service(*between, *two, "--decode-workers", "1") as describers,
        stage.service("--role", "decide", *between[2:], *two) as deciders,
    ):
        everywhere = {"0", "1"}
        eventually(lambda: describers.partitions() == deciders.partitions() == everywhere, "all partitions")
        feed(stage, 0)
        feed(stage, 1)
        stage.await_outcomes()
        images = 2 * UNIQUES * TIMES
        eventually(lambda: deciders.images() == images, "all counted")
        eventually(
            lambda: describers.metrics()["neardup_described_images_total", ()] == images, "all described are counted"
        )
        shown = {name for name, _ in describers.metrics()}
        assert {"neardup_index_members", "neardup_index_clusters", "neardup_cache_bytes"} & shown == set()
        assert describers.images() == 0
        assert deciders.metrics()["neardup_index_members", ()] > 0
        assert deciders.metrics()["neardup_described_images_total", ()] == 0
        assert {labels for name, labels in deciders.metrics() if name == "neardup_consumer_lag_messages"} == {
            (("partition", str(number)), ("topic", stage.descriptors)) for number in (0, 1)
        }
        assert [each.program.stop() for each in (describers, deciders)] == [0, 0]
    in_the_end(stage)


@pytest.fixture
def flipped(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of an index that compares mirrored images, too."""
    name = f"flipped-{secrets.token_hex(4)}"
    seeds = seed_folder(tmp_path_factory.mktemp("flipped") / "seeds")
    ended = run(["-m", "bootstrap", str(seeds), "--redis", redis_url, "--index", name, "--match-flips"])
    assert ended.returncode == 0, ended.stderr
    return name


def test_a_decider_of_an_index_that_compares_otherwise_ends_and_says_why(make_stage: MakeStage, flipped: str) -> None:
    stage = make_stage(1, descriptor_partitions=1)
    feed(stage)
    with stage.service("--role", "describe", "--descriptors-topic", stage.descriptors) as describers:
        eventually(lambda: is_described(stage), "all described")
        assert describers.program.stop() == 0
    with stage.service("--role", "decide", "--descriptors-topic", stage.descriptors, "--index", flipped) as deciders:
        line = fatal_line(deciders.program)
    assert f"{stage.images}-0-0 was described for dct" in line
    assert f"but index {flipped!r}, generation 1, compares dct" in line
    assert "(none, mirror; no parts; keeping nothing): let describers of this index describe it again" in line
    assert stage.documents() == {}
    assert stage.committed(f"{stage.group}{DECIDERS}") == {}


def test_a_describer_ends_when_a_bootstrap_changes_the_descriptor(
    make_stage: MakeStage, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stage = make_stage(1, descriptor_partitions=1)
    name = f"changed-{secrets.token_hex(4)}"
    seeds = seed_folder(tmp_path_factory.mktemp("changed") / "seeds")
    bootstrap(seeds, redis_url, name)
    with stage.service("--role", "describe", "--descriptors-topic", stage.descriptors, "--index", name) as describer:
        feed(stage)
        eventually(lambda: is_described(stage), "all described")
        other = ["--descriptor", "pixels", "--fresh", "--radius", "0.1"]
        ended = run(["-m", "bootstrap", str(seeds), "--redis", redis_url, "--index", name, *other])
        assert ended.returncode == 0, ended.stderr
        feed(stage)
        line = fatal_line(describer.program)
    assert f"index {name!r}, generation 2, was built with descriptor pixels" in line
    assert len(described_in(stage)) == UNIQUES * TIMES


@pytest.mark.parametrize("role", ["describe", "decide"])
def test_a_topic_of_descriptors_that_is_not_there_is_waited_for_by_name(make_stage: MakeStage, role: str) -> None:
    stage = make_stage(1)
    with stage.service("--role", role, "--descriptors-topic", stage.descriptors) as service:
        service.program.await_line(f"topic '{stage.descriptors}' does not exist (yet)")
        assert service.status("/readyz") == (503, "kafka is away")
        assert service.program.stop() == 0


def test_what_is_no_description_is_a_dead_letter(make_stage: MakeStage) -> None:
    stage = make_stage(1, descriptor_partitions=1)
    stage.producer.send(stage.descriptors, b"no description", key=b"k").get(30)
    with stage.service("--role", "decide", "--descriptors-topic", stage.descriptors) as service:
        eventually(lambda: stage.dead_reader.read() == 1, "a dead letter")
        assert service.program.stop() == 0
    (letter,) = stage.dead_reader.records
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (b"k", b"no description")
    assert headers["error.reason"] == b"bad-description"
    assert headers["error.source"] == f"{stage.descriptors}-0-0".encode()
