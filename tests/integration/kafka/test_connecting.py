"""Brokers and topics that are away, settings that can never work, and passwords."""

import gc
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest
from kafka.admin import KafkaAdminClient, NewTopic

import consumer.transport.kafka
from consumer.settings import ServiceSettings
from consumer.transport.base import Sink, Source
from consumer.transport.kafka import KafkaSink, KafkaSource
from demo.services import KafkaProgram, KafkaServer
from demo.services.process import free_port
from neardup.errors import KafkaUnavailable, Misconfigured
from tests.support.processes import read_topic
from tests.support.transports import KafkaRig, eventually_connects, outgoing, take, until_deadline, values


@pytest.fixture
def leaked_sockets(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    # kafka-python never closes a socket whose connection was refused, nor what it opened before its constructor
    # failed. They are collected here, where the warning is expected, and not kept alive by captured log records.
    caplog.set_level(logging.CRITICAL, logger="kafka")
    yield
    gc.collect()


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, milliseconds in {
        "CONNECT_TIMEOUT_MS": 1000,
        "SEND_TIMEOUT_MS": 1000,
        "DELIVERY_TIMEOUT_MS": 2500,
        "COMMIT_TIMEOUT_MS": 1000,
        "ANSWER_TIMEOUT_MS": 1000,
    }.items():
        monkeypatch.setattr(consumer.transport.kafka, name, milliseconds)


@dataclass(frozen=True)
class OwnKafka:
    """A broker that may be killed, with a second listener that asks for a password."""

    server: KafkaServer
    secured: str


@pytest.fixture(scope="module")
def own_kafka(kafka_program: KafkaProgram) -> Iterator[OwnKafka]:
    ours, controller, secured = (f"127.0.0.1:{free_port()}" for _ in range(3))
    listeners = f"PLAINTEXT://{ours},SECURED://{secured}"
    settings = {
        "listeners": f"{listeners},CONTROLLER://{controller}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURED:SASL_PLAINTEXT",
        "controller.quorum.bootstrap.servers": controller,
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secured.plain.sasl.jaas.config": (
            'org.apache.kafka.common.security.plain.PlainLoginModule required user_camera="open sesame";'
        ),
    }
    server = KafkaServer(kafka_program, settings)
    server.address = ("127.0.0.1", int(ours.rpartition(":")[2]))
    with server:
        with KafkaAdminClient(bootstrap_servers=ours) as admin:
            admin.create_topics([NewTopic("images", 1, 1), NewTopic("output", 1, 1)])
        yield OwnKafka(server, secured)


@pytest.mark.kafka
def test_a_topic_that_is_not_there_is_waited_for(kafka: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = f"{kafka.images}-missing"
    monkeypatch.setattr(consumer.transport.kafka, "CONNECT_TIMEOUT_MS", 1000)
    source = KafkaSource(replace(kafka.settings, topic=missing))
    sink = kafka.sink(kafka.output, missing)
    clients: list[Source | Sink] = [source, sink]
    try:
        for client in clients:
            with pytest.raises(KafkaUnavailable, match=f"topic '{missing}' does not exist"):
                client.connect()
        source.idle(0.05)
        kafka.admin.create_topics([NewTopic(missing, 1, 1)])
        eventually_connects(source)
        eventually_connects(sink)
    finally:
        source.close()
        kafka.admin.delete_topics([missing])


@pytest.mark.kafka
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.usefixtures("leaked_sockets")
@pytest.mark.usefixtures("short_timeouts")
def test_a_broker_that_dies_is_an_outage_and_nothing_more(own_kafka: OwnKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    server = own_kafka.server
    settings = ServiceSettings(bootstrap_servers=server.bootstrap_servers, group="group")
    source, sink, feed = (
        KafkaSource(settings),
        KafkaSink(settings, ["output"]),
        KafkaSink(settings, ["images"]),
    )
    late_source, late_sink = KafkaSource(replace(settings, group="late")), KafkaSink(settings, ["output"])
    clients: list[Source | Sink] = [source, sink, feed]
    with ExitStack() as closing:
        for client in (*clients, late_source, late_sink):
            closing.callback(client.close)
        for client in clients:
            eventually_connects(client)
        feed.publish([outgoing("images", b"%d" % number) for number in range(3)])
        taken = take(source, 3)
        server.kill()
        attempts: list[Callable[[], object]] = [
            late_source.connect,
            late_sink.connect,
            lambda: sink.publish([outgoing("output", b"verdict")]),
            lambda: source.commit(taken),
        ]
        for attempt in attempts:
            with pytest.raises(KafkaUnavailable):
                attempt()
        source.idle(0.1)
        monkeypatch.setattr(consumer.transport.kafka, "SILENCE_S", 0.0)
        with pytest.raises(KafkaUnavailable):
            source.poll(100, 0.1)
        server.start()
        eventually(lambda: source.poll(100, 0.1))
        eventually(lambda: sink.publish([outgoing("output", b"verdict")]))
        assert {record.value for record in read_topic(server.bootstrap_servers, "output")} == {b"verdict"}
        eventually(lambda: source.commit(taken))
        eventually(lambda: feed.publish([outgoing("images", b"3")]))
        # A publishing that seemed to fail, and was tried again, may have come twice.
        assert set(values(take(source, 1))) == {b"3"}
        eventually_connects(late_source)
        assert set(values(take(late_source, 4))) == {b"0", b"1", b"2", b"3"}


def eventually(attempt: Callable[[], object]) -> None:
    for _ in until_deadline():
        try:
            attempt()
        except KafkaUnavailable:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("no success in time")


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.usefixtures("leaked_sockets")
@pytest.mark.parametrize(
    "client", [KafkaSource, lambda settings: KafkaSink(settings, ["output"])], ids=["source", "sink"]
)
@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (ServiceSettings(bootstrap_servers="127.0.0.1:port"), "Kafka settings"),
        (ServiceSettings(security_protocol="SASL_PLAINTEXT"), "--sasl-mechanism"),
        (ServiceSettings(security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN"), "--sasl-username"),
        (ServiceSettings(security_protocol="SSL", ssl_cafile="/no/such/file"), "--ssl-cafile"),
    ],
    ids=["port", "mechanism", "username", "cafile"],
)
def test_a_setting_that_can_never_work_is_said_at_once(
    client: Callable[[ServiceSettings], Source | Sink], settings: ServiceSettings, named: str
) -> None:
    made = client(settings)
    with pytest.raises(Misconfigured, match=named) as caught:
        made.connect()
    assert "\n" not in str(caught.value)
    made.close()


@pytest.mark.kafka
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.usefixtures("leaked_sockets")
@pytest.mark.usefixtures("short_timeouts")
def test_passwords_reach_the_broker(own_kafka: OwnKafka) -> None:
    settings = ServiceSettings(
        bootstrap_servers=own_kafka.secured,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="camera",
        sasl_password="open sesame",  # noqa: S106 - of a broker that lives for this test
        group="secured",
    )
    right: list[Source | Sink] = [KafkaSource(settings), KafkaSink(settings, ["images"])]
    wrong_settings = replace(settings, sasl_password="wrong")  # noqa: S106 - as above
    wrong: list[Source | Sink] = [KafkaSource(wrong_settings), KafkaSink(wrong_settings, ["images"])]
    for client in right:
        eventually_connects(client)
        client.close()
    for client in wrong:
        with pytest.raises(Misconfigured, match="SaslAuthenticationFailedError") as caught:
            client.connect()
        assert "\n" not in str(caught.value)
        client.close()
