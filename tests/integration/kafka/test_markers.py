"""Offsets behind the markers of publishers' transactions: what other tools take for lag."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from consumer.metrics import Metrics
from consumer.service import kafka_transport
from consumer.settings import AT_LEAST_ONCE, EXACTLY_ONCE
from tests.support.transports import KafkaRig, numbered, until_deadline

pytestmark = pytest.mark.kafka


class Judge:
    """A source and its delivery, as the service puts them together, and turns as its loop makes them."""

    def __init__(self, kafka: KafkaRig, delivery: str) -> None:
        settings = replace(
            kafka.settings, delivery=delivery, verdicts_topic=kafka.output, dead_letters_topic=kafka.other
        )
        self._kafka = kafka
        self.source, self.delivery = kafka_transport(settings, Metrics())
        self.source.connect()
        self.delivery.connect()

    def turn(self) -> int:
        """Answer what has come, and return how much it was."""
        messages = self.source.poll(100, 0.2)
        if messages:
            self.delivery.deliver(messages, [() for _ in messages])
        else:
            self.delivery.catch_up()
        return len(messages)

    def until_no_lag(self, end: int) -> None:
        """Turn until other tools see no lag: the group's offset is the partition's end, which brokers tell late."""
        for _ in until_deadline():
            self.turn()
            if self._kafka.committed().get(0) == end:
                break
        place = TopicPartition(self._kafka.images, 0)
        with closing(KafkaConsumer(bootstrap_servers=self._kafka.address)) as reader:
            assert (self._kafka.committed(), reader.end_offsets([place])) == ({0: end}, {place: end})

    def close(self) -> None:
        self.delivery.close()
        self.source.close()


@pytest.fixture
def publisher(kafka: KafkaRig) -> Iterator[KafkaProducer]:
    with KafkaProducer(bootstrap_servers=kafka.address, transactional_id=f"publisher-{secrets.token_hex(4)}") as made:
        made.init_transactions()
        yield made


def publish(publisher: KafkaProducer, topic: str, *, commit: bool = True) -> None:
    publisher.begin_transaction()
    for sent in numbered(3):
        publisher.send(topic, sent.value, partition=0)
    publisher.flush()
    if commit:
        publisher.commit_transaction()
    else:
        publisher.abort_transaction()


@pytest.mark.parametrize("delivery", [EXACTLY_ONCE, AT_LEAST_ONCE])
def test_no_lag_is_left_behind_a_publishers_transactions(
    kafka: KafkaRig, publisher: KafkaProducer, delivery: str
) -> None:
    with closing(Judge(kafka, delivery)) as judge:
        publish(publisher, kafka.images)
        judge.until_no_lag(4)
        publish(publisher, kafka.images, commit=False)
        judge.until_no_lag(8)
        assert judge.source.passed() == {}
        assert set(judge.source.lag().values()) == {0}


def test_a_restart_finds_what_an_earlier_consumer_left_behind(kafka: KafkaRig, publisher: KafkaProducer) -> None:
    publish(publisher, kafka.images)
    with closing(Judge(kafka, EXACTLY_ONCE)) as earlier:
        for _ in until_deadline():
            if earlier.turn():
                break
    assert kafka.committed() == {0: 3}
    with closing(Judge(kafka, EXACTLY_ONCE)) as later:
        later.until_no_lag(4)


def test_without_transactions_nothing_is_committed_but_messages(kafka: KafkaRig) -> None:
    kafka.write(numbered(3))
    with closing(Judge(kafka, EXACTLY_ONCE)) as judge:
        judge.until_no_lag(3)
        for _ in range(3):
            assert judge.turn() == 0
            assert judge.source.passed() == {}
