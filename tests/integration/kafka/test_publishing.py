"""What only a real broker does to a sink: transactions that end unheard or fenced, and messages too large or empty."""

import secrets
import time
from types import SimpleNamespace
from typing import Any

import kafka.producer.sender as kafka_sender
import pytest
from kafka import KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import (
    ConcurrentTransactionsError,
    KafkaConfigurationError,
    KafkaTimeoutError,
    UnsupportedVersionError,
)
from kafka.producer.sender import Sender
from kafka.producer.transaction_manager import AddOffsetsToTxnHandler

from consumer.messages import ImageMessage, dead_letter
from consumer.settings import KafkaSettings
from consumer.transport.exactly_once import ExactlyOnceDelivery, _explained
from consumer.transport.kafka import RETRY_MS, KafkaSink
from neardup.errors import EmptyImage, KafkaUnavailable, Misconfigured
from tests.support.processes import read_topic
from tests.support.transports import (
    BINARY,
    KafkaRig,
    Sent,
    answered,
    answers,
    connected,
    eventually_connects,
    numbered,
    outgoing,
    take,
)


@pytest.mark.kafka
@pytest.mark.parametrize("arrived", [True, False], ids=["the answer was lost", "the request was lost"])
def test_a_commit_whose_end_nobody_heard_is_not_made_twice(
    kafka: KafkaRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, arrived: bool
) -> None:
    kafka.write(numbered(5))
    source = connected(kafka.source())
    delivery = kafka.delivery(source)
    delivery.connect()
    taken = take(source, 5)
    commit = ExactlyOnceDelivery._commit

    def cut_off(self: ExactlyOnceDelivery, producer: object) -> None:
        if arrived:
            commit(self, producer)
        raise KafkaTimeoutError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(ExactlyOnceDelivery, "_commit", cut_off)
        with pytest.raises(KafkaUnavailable, match="cut off"):
            delivery.deliver(taken, answered(kafka, taken))
    assert delivery.deliver(taken, answered(kafka, taken)) == [True] * 5
    assert kafka.written() == answers(kafka, taken)
    assert kafka.committed() == {0: 5}
    assert ("nothing is sent again" in caplog.text) == arrived
    kafka.write(numbered(1, start=5))
    more = take(source, 1)
    assert delivery.deliver(more, answered(kafka, more)) == [True]
    assert kafka.written() == answers(kafka, [*taken, *more])


@pytest.mark.kafka
def test_a_transaction_whose_epoch_was_taken_is_made_again(kafka: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> None:
    kafka.write(numbered(3))
    source = connected(kafka.source())
    delivery = kafka.delivery(source)
    delivery.connect()
    taken = take(source, 3)
    commit = ExactlyOnceDelivery._commit

    def aborted_first(self: ExactlyOnceDelivery, producer: Any) -> None:  # noqa: ANN401 - kafka-python has no types
        # As the broker does when a transaction takes too long: it aborts, and takes the epoch away.
        monkeypatch.setattr(ExactlyOnceDelivery, "_commit", commit)
        servers, name = kafka.address, producer.config["transactional_id"]
        with KafkaProducer(bootstrap_servers=servers, transactional_id=name) as thief:
            thief.init_transactions()
        commit(self, producer)

    monkeypatch.setattr(ExactlyOnceDelivery, "_commit", aborted_first)
    with pytest.raises(KafkaUnavailable, match="ProducerFenced"):
        delivery.deliver(taken, answered(kafka, taken))
    assert delivery.deliver(taken, answered(kafka, taken)) == [True] * 3
    assert kafka.written() == answers(kafka, taken)
    assert kafka.committed() == {0: 3}


@pytest.mark.kafka
def test_the_verdicts_of_a_batch_go_in_one_request(kafka: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> None:
    kafka.write([Sent(bytes(2000))] * 64)
    source = connected(kafka.source())
    delivery = kafka.delivery(source)
    delivery.connect()
    taken = take(source, 64)
    requests: list[object] = []
    request = Sender._produce_request

    def counted(sender: Any, *args: Any) -> Any:  # noqa: ANN401 - kafka-python has no types
        requests.append(made := request(sender, *args))
        return made

    monkeypatch.setattr(Sender, "_produce_request", counted)
    assert all(delivery.deliver(taken, answered(kafka, taken)))
    assert len(requests) == 1
    assert kafka.written() == answers(kafka, taken)


@pytest.mark.kafka
def test_a_transaction_before_the_end_of_the_last_waits_for_an_instant(
    kafka: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.write(numbered(2))
    source = connected(kafka.source())
    delivery = kafka.delivery(source)
    delivery.connect()
    taken = take(source, 2)
    handle, slept_s = AddOffsetsToTxnHandler.handle_response, []

    def refused_first(handler: Any, response: Any) -> None:  # noqa: ANN401 - kafka-python has no types
        monkeypatch.setattr(AddOffsetsToTxnHandler, "handle_response", handle)
        response.error_code = ConcurrentTransactionsError.errno
        handle(handler, response)

    def sleep(seconds: float) -> None:
        slept_s.append(seconds)

    monkeypatch.setattr(AddOffsetsToTxnHandler, "handle_response", refused_first)
    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    monkeypatch.setattr(kafka_sender, "time", clock)
    assert delivery.deliver(taken, answered(kafka, taken)) == [True] * 2
    assert slept_s[0] == RETRY_MS / 1000
    assert kafka.written() == answers(kafka, taken)


@pytest.mark.parametrize(
    "cause",
    [
        KafkaConfigurationError("requires broker >= 0.11"),
        UnsupportedVersionError(),
        KafkaTimeoutError("transactional state"),
    ],
)
def test_a_broker_without_transactions_is_told_with_the_way_out(cause: Exception) -> None:
    error = KafkaUnavailable("Kafka is unavailable")
    error.__cause__ = cause
    assert "--delivery at-least-once" in str(_explained(error))


@pytest.mark.kafka
def test_a_message_that_the_broker_never_takes_names_the_settings(kafka: KafkaRig) -> None:
    small = f"{kafka.output}-small"
    kafka.admin.create_topics([NewTopic(small, 1, 1, topic_configs={"max.message.bytes": "10000"})])
    try:
        sink = kafka.sink(small)
        eventually_connects(sink)
        with pytest.raises(Misconfigured, match=r"larger than Kafka accepts.*max\.message\.bytes.*--max-message-bytes"):
            sink.publish([outgoing(small, bytes(20_000))])
        sink.publish([outgoing(small, b"fits")])
        assert [record.value for record in read_topic(kafka.address, small)] == [b"fits"]
    finally:
        kafka.admin.delete_topics([small])


@pytest.mark.kafka
def test_a_message_beyond_our_own_limit_names_the_settings(kafka: KafkaRig) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka.address, max_message_bytes=1024)
    sink = KafkaSink(settings, [kafka.output])
    try:
        sink.connect()
        with pytest.raises(Misconfigured, match="--max-message-bytes"):
            sink.publish([outgoing(kafka.output, bytes(100_000))])
    finally:
        sink.close()


@pytest.mark.kafka
def test_the_dead_letter_of_a_largest_message_passes(kafka: KafkaRig) -> None:
    kafka.write([Sent(secrets.token_bytes(20 * 2**20), key=BINARY, headers=(("image_id", b"large"),))])
    (large,) = take(connected(kafka.source()), 1)
    sink = kafka.sink()
    sink.connect()
    sink.publish([dead_letter(kafka.output, large, EmptyImage("not so empty"))])
    (written,) = kafka.written()
    assert written.value == large.value
    assert written.key == BINARY
    assert dict(written.headers)["error.reason"] == b"empty"


@pytest.mark.kafka
def test_the_dead_letter_of_a_message_without_key_and_value_passes(kafka: KafkaRig) -> None:
    # kafka-python writes no such message; other clients do.
    nothing = ImageMessage(kafka.images, 0, 0, 0, None, None, (("null", None),))
    sink = kafka.sink()
    sink.connect()
    sink.publish([dead_letter(kafka.output, nothing, EmptyImage("the message has no value"))])
    (written,) = kafka.written()
    assert (written.key, written.value) == (None, b"")
    assert written.headers[:2] == (("null", b""), ("error.reason", b"empty"))
