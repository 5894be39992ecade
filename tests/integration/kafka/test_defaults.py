"""A broker as Kafka comes: it would create whatever topic a client names, and takes messages of 1 MiB."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
from kafka.errors import InvalidTimestampError, KafkaTimeoutError, MessageSizeTooLargeError
from PIL import Image

import consumer.feed
from bootstrap.live.verdicts import read_verdicts
from consumer.messages import ImageMessage, parse_message
from consumer.settings import ServiceSettings
from consumer.transport.exactly_once import ExactlyOnceDelivery
from consumer.transport.kafka import KafkaSink, KafkaSource, producer_config
from consumer.transport.records import batch_bytes
from neardup.decoding.decode import decode
from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.kafka.client import Client
from neardup.kafka.errors import MessageTooLarge
from neardup.kafka.topics import largest_batch_bytes
from tests.support.processes import eventually, photo, read_topic
from tests.support.transports import outgoing

pytestmark = pytest.mark.kafka

LIMIT_BYTES = 1_048_588
"""Kafka's own default of max.message.bytes, for a batch with all that is around its messages."""
LARGEST_VALUE_BYTES = 1_048_516
LARGEST_VALUE_OF_KAFKA_PYTHON_BYTES = 1_048_489
"""Its own default, max_request_size, is held against an estimate."""


@dataclass(frozen=True)
class Broker:
    """The broker, and who looks after it."""

    address: str
    admin: KafkaAdminClient

    @property
    def settings(self) -> ServiceSettings:
        return ServiceSettings(bootstrap_servers=self.address)

    def topic(self, **configs: str) -> str:
        """Make a topic and return its name."""
        name = f"images-{secrets.token_hex(4)}"
        dotted = {config.replace("_", "."): value for config, value in configs.items()}
        self.admin.create_topics([NewTopic(name, 1, 1, topic_configs=dotted)])
        return name

    def published(self, topic: str) -> dict[bytes, Any]:
        """Return the records of a topic by their image ids."""
        return {dict(record.headers)["image_id"]: record for record in read_topic(self.address, topic)}


@pytest.fixture(scope="module")
def broker(default_kafka_address: str) -> Iterator[Broker]:
    with KafkaAdminClient(bootstrap_servers=default_kafka_address) as admin:
        yield Broker(default_kafka_address, admin)


@pytest.fixture
def topic(broker: Broker) -> str:
    return broker.topic()


@pytest.fixture
def missing() -> str:
    return f"missing-{secrets.token_hex(4)}"


# Topics.


Made = KafkaSource | KafkaSink | ExactlyOnceDelivery


@pytest.mark.parametrize("who", ["source", "sink", "exactly once"])
def test_no_client_creates_the_topic_that_is_not_there(broker: Broker, topic: str, missing: str, who: str) -> None:
    settings = replace(broker.settings, topic=missing, group=missing)
    source = KafkaSource(settings)
    clients: dict[str, Made] = {
        "source": source,
        "sink": KafkaSink(settings, [topic, missing]),
        "exactly once": ExactlyOnceDelivery(settings, source, [topic, missing]),
    }
    with closing(clients[who]), pytest.raises(KafkaUnavailable, match=f"topic '{missing}' does not exist"):
        clients[who].connect()
    assert missing not in broker.admin.list_topics()


def test_neither_feed_nor_repair_creates_it(
    broker: Broker, missing: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert feed(broker, missing, pictures) == 1
    assert f"topic '{missing}' does not exist (yet)" in capsys.readouterr().err
    with pytest.raises(Misconfigured, match=f"there is no topic '{missing}'"):
        list(read_verdicts(broker.settings, missing, 0, print))
    assert missing not in broker.admin.list_topics()


def test_a_topic_that_is_deleted_while_we_run_does_not_come_back(broker: Broker, missing: str) -> None:
    config = {**producer_config(broker.settings), "max_block_ms": 1000}
    with closing(Client(KafkaProducer, lambda: config).get()) as ours, pytest.raises(KafkaTimeoutError):
        ours.partitions_for(missing)
    assert missing not in broker.admin.list_topics()


# Sizes.


def test_the_largest_message_is_smaller_than_a_mebibyte(broker: Broker, topic: str) -> None:
    with closing(KafkaSink(broker.settings, [topic])) as sink:
        sink.connect()
        assert sink.largest_bytes(topic) == LIMIT_BYTES
        largest = outgoing(topic, bytes(LARGEST_VALUE_BYTES))
        assert sink.bytes_of(largest) == LIMIT_BYTES
        sink.publish([largest])
        for larger in (
            outgoing(topic, bytes(LARGEST_VALUE_BYTES + 1)),
            outgoing(topic, bytes(LARGEST_VALUE_BYTES), key=b"k"),
            outgoing(topic, bytes(LARGEST_VALUE_BYTES), headers=(("h", b""),)),
        ):
            with pytest.raises(MessageTooLarge, match=rf"a message of {batch_bytes(larger):,} bytes .* {topic!r}"):
                sink.publish([larger])
        sink.publish([outgoing(topic, b"fits")])


def test_a_producer_as_kafka_python_comes_takes_even_less(broker: Broker, topic: str) -> None:
    with KafkaProducer(bootstrap_servers=broker.address) as theirs:
        theirs.send(topic, bytes(LARGEST_VALUE_OF_KAFKA_PYTHON_BYTES)).get(10)
        with pytest.raises(MessageSizeTooLargeError):
            theirs.send(topic, bytes(LARGEST_VALUE_OF_KAFKA_PYTHON_BYTES + 1)).get(10)


@pytest.mark.parametrize("bad", [{"value": bytes(30_000)}, {"timestamp_ms": 2**42}], ids=["size", "timestamp"])
def test_a_producer_as_kafka_python_comes_never_recovers_from_a_refusal_and_ours_does(
    broker: Broker, bad: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """What docs/delivery.md tells publishers; once it fails, kafka-python has mended it."""
    caplog.set_level("CRITICAL", logger="kafka")
    topic = broker.topic(max_message_bytes="20000")
    with KafkaProducer(bootstrap_servers=broker.address) as theirs:
        theirs.send(topic, b"fits").get(10)
        for message in (bad, {"value": b"fits"}, {"value": b"fits"}):
            with pytest.raises((MessageSizeTooLargeError, InvalidTimestampError)):
                theirs.send(topic, **{"value": b"dated", **message}).get(10)
    with closing(KafkaSink(broker.settings, [topic])) as ours:
        ours.connect()
        with pytest.raises(MessageTooLarge):
            ours.publish([outgoing(topic, bytes(30_000))])
        ours.publish([outgoing(topic, b"fits")])
    assert [record.value for record in read_topic(broker.address, topic)] == [b"fits", b"fits"]


def test_a_clock_that_the_topic_does_not_take_is_named(broker: Broker) -> None:
    # Every message is some milliseconds old when it is written.
    topic = broker.topic(message_timestamp_before_max_ms="0")
    with closing(KafkaSink(broker.settings, [topic])) as sink:
        sink.connect()
        with pytest.raises(Misconfigured, match=r"the clock of this machine.*message\.timestamp\.after\.max\.ms"):
            sink.publish([outgoing(topic)])


def test_retention_goes_by_record_times_and_by_how_they_were_batched(broker: Broker) -> None:
    """Why publishers leave Kafka's record time alone."""
    now_ms = int(time.time() * 1000)
    last_year_ms = now_ms - 365 * 24 * 60 * 60 * 1000
    times_ms = (last_year_ms, last_year_ms, now_ms)
    together, singly = broker.topic(), broker.topic()
    with (
        KafkaProducer(bootstrap_servers=broker.address, linger_ms=5000) as batching,
        KafkaProducer(bootstrap_servers=broker.address) as producer,
        closing(KafkaConsumer(bootstrap_servers=broker.address)) as reader,
    ):

        def first_offset(topic: str) -> int:
            place = TopicPartition(topic, 0)
            return int(reader.beginning_offsets([place])[place])

        def until_gone(topic: str) -> bool:
            producer.send(topic, b"picture", timestamp_ms=last_year_ms).get(10)
            return eventually(lambda: first_offset(topic) == 1, "a backfill's end")

        for time_ms in times_ms:
            batching.send(together, b"picture", timestamp_ms=time_ms)
        batching.flush()
        for time_ms in times_ms:
            producer.send(singly, b"picture", timestamp_ms=time_ms).get(10)
        # Once the second is gone, the broker has looked at all topics since the first was.
        assert until_gone(broker.topic())
        assert until_gone(broker.topic())
        assert (first_offset(together), first_offset(singly)) == (0, 2)


# Readers.


def test_share_groups_have_the_defaults_that_readers_are_warned_of(broker: Broker) -> None:
    group = f"labelling-{secrets.token_hex(4)}"

    def settings() -> dict[str, str]:
        resource = ConfigResource(ConfigResourceType.GROUP, group, None)
        found = broker.admin.describe_configs([resource], config_filter="all")["group"][group]
        return {name: found[name]["value"] for name in ("share.isolation.level", "share.auto.offset.reset")}

    assert settings() == {"share.isolation.level": "read_uncommitted", "share.auto.offset.reset": "latest"}
    wanted = {"share.isolation.level": "read_committed", "share.auto.offset.reset": "earliest"}
    broker.admin.alter_configs([ConfigResource(ConfigResourceType.GROUP, group, wanted)])
    eventually(lambda: settings() == wanted, "the group's settings to reach the broker that is asked")


# What the feed does with what is too large.


def feed(broker: Broker, topic: str, folder: Path, *more: str) -> int:
    arguments = [str(folder), "--bootstrap-servers", broker.address, "--images-topic", topic, *more]
    return consumer.feed.main(arguments, {})


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of a picture, one that is above the broker's limit, and another."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (700, 800, 3), dtype=np.uint8))
    noise.save(folder / "2 large.png")
    assert (folder / "2 large.png").stat().st_size > LIMIT_BYTES
    for name in ("1.jpg", "3.jpg"):
        (folder / name).write_bytes(photo(int(name[0])))
    return folder


@pytest.fixture(params=["the limit is known", "the limit is not told"])
def told(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    known: bool = request.param == "the limit is known"
    if not known:
        monkeypatch.setattr(KafkaSink, "largest_bytes", lambda _self, _topic: None)
    return known


@pytest.mark.usefixtures("told")
def test_a_file_that_is_too_large_is_named_and_left_out(
    broker: Broker, topic: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert feed(broker, topic, pictures) == consumer.feed.EXIT_LEFT_OUT == 3
    said, summary = capsys.readouterr().err.splitlines()
    value = (pictures / "2 large.png").read_bytes()
    size_bytes = batch_bytes(outgoing(topic, value, headers=(("image_id", b"2 large.png"),)))
    assert said.startswith(f"feed: left out 2 large.png: a message of {size_bytes:,} bytes")
    assert f"topic {topic!r}" in said
    assert "--oversize recompress or uri" in said
    assert summary == f"feed: 2 images published to {topic}, 1 left out: see above"
    assert set(broker.published(topic)) == {b"1.jpg", b"3.jpg"}


def test_it_is_made_smaller_if_asked_and_the_log_says_so(
    broker: Broker, topic: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert feed(broker, topic, pictures, "--oversize", "recompress", "--source", "door") == 0
    said, summary = capsys.readouterr().err.splitlines()
    record = broker.published(topic)[b"2 large.png"]
    pixels = decode(record.value)
    height, width, _ = pixels.shape
    assert said.startswith("feed: recompressed 2 large.png: a message of ")
    assert f"published as a JPEG of {len(record.value):,} bytes, {width}x{height} pixels, quality " in said
    assert batch_bytes(outgoing(topic, record.value, record.key, tuple(record.headers))) <= LIMIT_BYTES
    assert (width, height) == (800, 700)
    assert summary == f"feed: 3 images published to {topic}"


def test_how_small_it_must_be_has_to_be_told(
    broker: Broker,
    topic: str,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(KafkaSink, "largest_bytes", lambda _self, _topic: None)
    assert feed(broker, topic, pictures, "--oversize", "recompress") == 3
    assert "without the right DescribeConfigs" in capsys.readouterr().err


@pytest.mark.usefixtures("told")
def test_it_is_named_by_its_uri_if_asked(
    broker: Broker, topic: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert feed(broker, topic, pictures, "--oversize", "uri") == 0
    uri = (pictures / "2 large.png").as_uri()
    assert "published by its URI 2 large.png: a message of " in (said := capsys.readouterr().err)
    assert f"consumers read {uri}, if --allow-uri lets them" in said
    record = broker.published(topic)[b"2 large.png"]
    message = ImageMessage(topic, 0, 0, 0, record.key, record.value, tuple(record.headers))
    request = parse_message(message)
    assert (request.image_id, request.uri, request.data) == ("2 large.png", uri, None)
    assert json.loads(record.value) == {"uri": uri}


def test_a_file_above_our_own_limit_is_no_other_case(
    broker: Broker, topic: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size_bytes = (pictures / "1.jpg").stat().st_size
    assert feed(broker, topic, pictures / "1.jpg", "--max-message-bytes", str(size_bytes - 1)) == 3
    assert f"left out 1.jpg: more than {size_bytes - 1} bytes" in capsys.readouterr().err


def test_the_limit_is_the_topics_own(broker: Broker, pictures: Path) -> None:
    larger = broker.topic(max_message_bytes=str(8 * 2**20))
    assert largest_batch_bytes({"bootstrap_servers": broker.address}, larger) == 8 * 2**20
    assert feed(broker, larger, pictures) == 0
    assert broker.published(larger)[b"2 large.png"].value == (pictures / "2 large.png").read_bytes()


def test_what_cannot_be_decoded_cannot_be_made_smaller(
    broker: Broker, topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no image.jpg").write_bytes(bytes(2 * LIMIT_BYTES))
    assert feed(broker, topic, tmp_path, "--oversize", "recompress") == 3
    assert "left out no image.jpg: " in capsys.readouterr().err
