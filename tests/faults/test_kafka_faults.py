"""Kafka fails in every way it can, under a consumer that runs."""

import gc
import time
import warnings
from collections.abc import Iterator, Sequence

import pytest
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic

from demo.services import KafkaProgram
from tests.support.brokers import ProxiedKafka, SecondBroker
from tests.support.harness import audit, fatal_line, outage, verdict_of
from tests.support.processes import eventually, photo
from tests.support.stage import Service, Stage, fresh

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.redis,
    pytest.mark.slow,
    # Of our own clients: kafka-python never closes a socket whose connection was refused.
    pytest.mark.filterwarnings("ignore:unclosed .socket:ResourceWarning"),
]

SESSION_S = 6
"""The shortest that a broker allows by itself."""
IMPATIENT = ("--session-timeout-s", str(SESSION_S))
RETRIES = 2
"""An attempt at Kafka takes seconds by itself: fewer are waited for than of Redis."""


COORDINATED = ("__consumer_offsets", "__transaction_state")
"""Whoever leads these coordinates groups and transactions."""


@pytest.fixture(scope="module", autouse=True)
def sockets() -> Iterator[None]:
    """Forget the sockets that our own clients were refused with, before anybody is told of them."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def server(kafka_program: KafkaProgram) -> Iterator[ProxiedKafka]:
    """Give a broker that tests may stop and start."""
    with ProxiedKafka(kafka_program) as running:
        yield running


@pytest.fixture(scope="module")
def stage(server: ProxiedKafka, redis_url: str, index: str) -> Iterator[Stage]:
    place = Stage(server.bootstrap_servers, redis_url, index, partitions=2)
    with place.stack:
        yield place


@pytest.fixture(scope="module")
def service(stage: Stage, server: ProxiedKafka) -> Iterator[Service]:
    """Run the one consumer that lives through all that passes."""
    with stage.service("--bootstrap-servers", server.proxied_servers, *IMPATIENT) as running:
        yield running
        assert running.program.stop() == 0
    assert stage.committed() == stage.published


@pytest.fixture
def own_stage(server: ProxiedKafka, redis_url: str, index: str) -> Iterator[Stage]:
    """Give topics of a test's own."""
    place = Stage(server.bootstrap_servers, redis_url, index, partitions=1)
    with place.stack:
        yield place


def judge_one(stage: Stage) -> None:
    show_many(stage, 1)
    stage.await_outcomes()


def show_many(stage: Stage, images: int) -> None:
    for number in range(images):
        stage.publish(photo(fresh()), partition=number % stage.partitions)
    stage.flush()


# What passes: one consumer lives through it all.


def test_a_broker_that_is_stopped_for_longer_than_the_session_is_waited_for(
    stage: Stage, service: Service, server: ProxiedKafka
) -> None:
    with outage(stage, service, "kafka", retries=RETRIES) as fault:
        fault.show()
        show_many(stage, 40)
        stopped_s = time.monotonic()
        server.stop()
        fault.endure()
        eventually(lambda: time.monotonic() > stopped_s + SESSION_S + 1, "the end of the session")
        server.start()
        fault.show()


def test_stalled_connections_are_waited_for_beyond_the_session(
    stage: Stage, service: Service, server: ProxiedKafka
) -> None:
    # The broker lives, and gives the partitions of a consumer that it does not hear of to nobody.
    with outage(stage, service, "kafka", retries=RETRIES) as fault:
        stalled_s = time.monotonic()
        server.proxy.stall()
        fault.show()
        fault.endure()
        eventually(lambda: time.monotonic() > stalled_s + SESSION_S + 2, "the end of the session")
        server.proxy.resume()


def test_cut_connections_lose_and_double_nothing(stage: Stage, service: Service, server: ProxiedKafka) -> None:
    eventually(service.is_ready, "ready")
    for after_bytes in (0, 3, 20, 100, 1000):
        server.proxy.cut_replies(after_bytes, times=3)
        show_many(stage, 12)
        eventually(lambda: server.proxy.cuts_left == 0, "the cuts")
        server.proxy.cut()
    stage.await_outcomes()
    audit(stage)
    eventually(service.is_ready, "ready again")


def test_a_slow_line_is_no_outage(stage: Stage, service: Service, server: ProxiedKafka) -> None:
    eventually(service.is_ready, "ready")
    errors = service.metrics()["neardup_kafka_errors_total", ()]
    server.proxy.latency_s, server.proxy.bytes_per_s = 0.05, 100_000.0
    show_many(stage, 12)
    stage.await_outcomes()
    server.proxy.latency_s, server.proxy.bytes_per_s = 0.0, 0.0
    audit(stage)
    assert service.is_ready()
    assert service.metrics()["neardup_kafka_errors_total", ()] == errors


def leaders(admin: KafkaAdminClient, places: Sequence[TopicPartition]) -> set[int]:
    """Return the nodes that lead these partitions, of topics of one partition each."""
    return {topic["partitions"][0]["leader_id"] for topic in admin.describe_topics([place.topic for place in places])}


def lead(admin: KafkaAdminClient, places: Sequence[TopicPartition], replicas: list[int]) -> None:
    """Let the first of the nodes lead these partitions, once it has what they hold."""
    refused = admin.alter_partition_reassignments(dict.fromkeys(places, replicas))
    assert set(refused.values()) <= {None}

    def elected() -> bool:
        admin.elect_leaders(0, {place.topic: [0] for place in places}, raise_errors=False)
        return leaders(admin, places) == {replicas[0]}

    eventually(elected, f"node {replicas[0]} leading {[place.topic for place in places]}")


def test_a_coordinator_that_moves_is_followed(
    stage: Stage, service: Service, server: ProxiedKafka, kafka_program: KafkaProgram
) -> None:
    with SecondBroker(kafka_program, server) as second:
        judge_one(stage)
        places = [TopicPartition(name, 0) for name in COORDINATED]
        # In good order, and then by the death of the one that it had moved to.
        lead(stage.admin, places, [2, 1])
        judge_one(stage)
        second.kill()
        judge_one(stage)
        eventually(lambda: leaders(stage.admin, places) == {1}, "node 1 leading again")
        eventually(service.is_ready, "ready again")
        audit(stage)
        lead(stage.admin, places, [1])


# Topics.


def test_topics_that_are_missing_at_the_start_are_waited_for(own_stage: Stage) -> None:
    topics = [own_stage.images, own_stage.verdicts]
    own_stage.admin.delete_topics(topics)
    with own_stage.service() as service:
        for topic in topics:
            service.program.await_line(f"topic '{topic}' does not exist (yet)")
            assert service.status("/readyz") == (503, "kafka is away")
            own_stage.admin.create_topics([NewTopic(topic, 1, 1)])
        eventually(service.is_ready, "ready")
        place = own_stage.publish(photo(fresh()))
        own_stage.publish(b"no image")
        own_stage.flush()
        own_stage.await_outcomes()
        assert verdict_of(own_stage, place) == "unique"
        audit(own_stage)
        assert service.program.stop() == 0


def test_a_dead_letter_that_its_topic_does_not_take_ends_the_consumer_until_it_does(own_stage: Stage) -> None:
    limit = {"max.message.bytes": "20000"}
    own_stage.admin.delete_topics([own_stage.dead])
    own_stage.admin.create_topics([NewTopic(own_stage.dead, 1, 1, topic_configs=limit)])
    good = own_stage.publish(photo(fresh()))
    bad = own_stage.publish(b"no image" * 10_000)
    own_stage.flush()
    with own_stage.service() as service:
        said = fatal_line(service.program)
    assert "larger than Kafka accepts" in said
    assert "max.message.bytes" in said
    assert own_stage.committed() == {}
    assert own_stage.dead_reader.read_to_end() == []
    resource = ConfigResource(ConfigResourceType.TOPIC, own_stage.dead, {"max.message.bytes": "200000"})
    own_stage.admin.alter_configs([resource])
    with own_stage.service() as service:
        own_stage.await_outcomes()
        eventually(lambda: own_stage.committed() == own_stage.published, "the commit")
        assert service.program.stop() == 0
    audit(own_stage)
    assert verdict_of(own_stage, good) == "unique"
    (letter,) = own_stage.dead_reader.read_to_end()
    assert dict(letter.headers)["error.source"].decode() == bad
