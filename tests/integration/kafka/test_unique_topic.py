"""Unique images that go on to a topic of their own, by the real consumer: topics that are missing or too narrow."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic

from tests.support.processes import eventually, photo, read_topic
from tests.support.stage import Service, Stage, bootstrap, fresh, seed_folder

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]

NARROW_BYTES = 20_000
DELIVERIES = ["exactly-once", "at-least-once"]


@pytest.fixture
def stage(kafka_address: str, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    index = f"uniques-{secrets.token_hex(4)}"
    bootstrap(seed_folder(tmp_path / "seeds"), redis_url, index)
    stage = Stage(kafka_address, redis_url, index, 1)
    with stage.stack:
        yield stage


@pytest.fixture
def topic(stage: Stage) -> Iterator[str]:
    """Name of a topic for unique images, which is not there yet."""
    name = f"uniques-{secrets.token_hex(4)}"
    yield name
    if name in stage.admin.list_topics():
        stage.admin.delete_topics([name])


def warnings(service: Service) -> str:
    """Return the warnings so far."""
    return " ".join(line["message"] for line in service.program.complaints())


def places(stage: Stage, topic: str) -> list[str]:
    """Return where the images in a topic come from."""
    return [dict(record.headers)["unique.source"].decode() for record in read_topic(stage.address, topic)]


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_the_service_waits_for_the_topic_and_then_sends_unique_images_to_it(
    stage: Stage, topic: str, delivery: str
) -> None:
    new = fresh()
    first, _, check = stage.publish(photo(new)), stage.publish(photo(new, 60)), stage.publish(photo(fresh()))
    stage.publish(b"no image")
    stage.flush()
    with stage.service("--unique-topic", topic, "--delivery", delivery) as service:
        eventually(lambda: f"topic '{topic}' does not exist (yet)" in warnings(service), "it says what is missing")
        assert topic not in stage.admin.list_topics()
        stage.admin.create_topics([NewTopic(topic, 1, 1)])
        stage.await_outcomes()
        wanted = sum(len(stage.values[place] or b"") for place in (first, check))
        # Counted after the commit.
        eventually(lambda: service.metrics()["neardup_forwarded_bytes_total", ()] == wanted, f"{wanted} bytes")
        assert service.program.stop() == 0
    assert places(stage, topic) == [first, check]
    (one, two) = read_topic(stage.address, topic)
    assert [one.value, two.value] == [stage.values[first], stage.values[check]]
    assert dict(one.headers)["unique.cluster"].isdigit()


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_an_image_too_large_for_the_topic_ends_the_service_and_is_not_lost(
    stage: Stage, topic: str, delivery: str
) -> None:
    limit = {"max.message.bytes": str(NARROW_BYTES)}
    stage.admin.create_topics([NewTopic(topic, 1, 1, topic_configs=limit)])
    large = stage.publish(photo(fresh(), size=(1600, 1200)))
    assert len(stage.values[large] or b"") > NARROW_BYTES
    stage.flush()
    with stage.service("--unique-topic", topic, "--delivery", delivery) as service:
        assert service.program.wait() == 2
        text = "".join(service.program.lines)
    assert f"topic '{topic}' takes messages of {NARROW_BYTES} bytes, topic '{stage.images}' of " in text
    (line,) = [line for line in text.splitlines() if line.startswith("consumer: ")]
    assert f"is larger than Kafka accepts for topic '{topic}': raise max.message.bytes of the topic" in line
    assert "Traceback" not in text
    assert (stage.committed(), places(stage, topic)) == ({}, [])
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "40000000"})
    stage.admin.alter_configs([resource])
    with stage.service("--unique-topic", topic, "--delivery", delivery) as service:
        stage.await_outcomes()
        eventually(lambda: stage.committed() == stage.published, "committed")
        assert "takes messages of" not in warnings(service)
        assert service.program.stop() == 0
    assert places(stage, topic) == [large]


def test_a_topic_that_is_another_one_too_is_refused(stage: Stage) -> None:
    with stage.service_that_ends("--unique-topic", stage.images) as ended:
        assert ended.wait() == 2
    why = "it is also --images-topic; unique images need a topic of their own"
    assert ended.lines == [f"consumer: --unique-topic {stage.images}: {why}\n"]
