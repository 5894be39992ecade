"""Publishes batches that have a number, so that whoever was killed can ask which of them went through."""

from collections.abc import Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from consumer.messages import OutgoingMessage
from consumer.settings import KafkaSettings
from consumer.transport.exactly_once import Transactions
from consumer.transport.kafka import COMMIT_TIMEOUT_MS, KafkaSink
from consumer.transport.records import batch_bytes
from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.kafka.client import Client
from neardup.kafka.errors import translated_errors

_FORBIDDEN = "AuthorizationFailedError"


class NumberedBatches(Transactions):
    """Publishes each batch in a transaction that commits its number, as the offset of a group that nobody joins.

    Kafka then knows of each batch whether it went through, however the process ended.

    Parameters
    ----------
    settings
        How to reach Kafka, and the topic.
    name
        Transactional id and group: the same after a restart, and nobody else's.
    """

    def __init__(self, settings: KafkaSettings, name: str) -> None:
        super().__init__(settings, name, [settings.topic], lambda: name)
        self._place = TopicPartition(settings.topic, 0)
        self._reader = Client(
            KafkaConsumer,
            lambda: {
                **settings.client_config(),
                "client_id": "neardup-feed",
                "group_id": name,
                # With this the answer waits for a transaction that is about to end.
                "isolation_level": "read_committed",
                "enable_auto_commit": False,
                "allow_auto_create_topics": False,
                "metrics_enabled": False,
            },
        )

    def largest_bytes(self, topic: str) -> int | None:
        """Return the largest message that a topic takes; see `KafkaSink.largest_bytes`."""
        return KafkaSink(self._settings, []).largest_bytes(topic)

    @staticmethod
    def bytes_of(message: OutgoingMessage) -> int:
        """Return the size of a message as brokers count it."""
        return batch_bytes(message)

    def latest(self) -> int | None:
        """Return the number of the latest batch that went through; None for none, or if Kafka has forgotten it.

        Raises
        ------
        KafkaUnavailable
            Ask again.
        Misconfigured
            We may not know.
        """
        self._get_producer()  # ends what an earlier process with our name left open
        with translated_errors():
            found: int | None = self._reader.get().committed(self._place, timeout_ms=COMMIT_TIMEOUT_MS)
        return found

    def publish(self, messages: Sequence[OutgoingMessage], number: int) -> None:
        """Publish a batch; its number is larger than all before.

        Raises
        ------
        KafkaUnavailable
            It may have gone through: ask `latest`.
        Misconfigured
            It never will.
        """
        producer: Any = self._get_producer()
        try:
            self._transact(producer, {self._place: OffsetAndMetadata(number, "", -1)}, messages)
        except KafkaUnavailable as exc:
            # Of an offset in a transaction, kafka-python says as text only that we may not commit it.
            if _FORBIDDEN in str(exc):
                raise Misconfigured(f"Kafka rejected the client: {exc}; exactly once needs READ on its topic") from exc
            raise

    def close(self) -> None:
        """Close all connections; no transaction is open."""
        super().close()
        if self._reader.made is not None:
            with translated_errors():
                self._reader.made.close(autocommit=False, timeout_ms=5000)
            self._reader.drop()


class UnnumberedBatches(KafkaSink):
    """Publishes without transactions: whether a batch went through is known only to who heard the answer."""

    def latest(self) -> None:
        """Return None: nobody knows."""
        return

    def publish(self, messages: Sequence[OutgoingMessage], number: int = 0) -> None:
        """Send all, then wait for every acknowledgement."""
        del number
        super().publish(messages)
