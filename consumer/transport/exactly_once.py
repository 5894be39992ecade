"""Exactly once: a batch's outcomes and its offsets, in one Kafka transaction."""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka.errors import (
    KafkaConfigurationError,
    KafkaError,
    KafkaTimeoutError,
    TransactionalIdAuthorizationFailedError,
    UnsupportedForMessageFormatError,
    UnsupportedVersionError,
)
from kafka.structs import OffsetAndMetadata

from consumer.messages import ImageMessage, OutgoingMessage
from consumer.settings import KafkaSettings, ServiceSettings
from consumer.transport.kafka import KafkaSource, producer_config, require_topics, send_all
from consumer.transport.records import offsets_at, offsets_behind
from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.kafka.client import Client, close_producer
from neardup.kafka.errors import text_of, translated_errors

TRANSACTION_TIMEOUT_MS = 20_000
"""After this the broker aborts a transaction whose producer is gone. Until then the offsets of its partitions cannot be
read, and `read_committed` readers wait. Longer than it may take to send a batch."""
STEP_TIMEOUT_MS = 15_000
"""After this a step of a transaction has failed."""
ABORT_TIMEOUT_MS = 3_000

_WITHOUT_TRANSACTIONS = (
    KafkaConfigurationError,
    TransactionalIdAuthorizationFailedError,
    UnsupportedForMessageFormatError,
    UnsupportedVersionError,
)
_log = logging.getLogger(__name__)


class Transactions:
    """Publishes messages and commits offsets together, or not at all.

    A failed attempt may have been committed all the same, if only the reply was lost: `_unsure` says so. Then a new
    producer with the same transactional id makes the broker end any open transaction.

    Parameters
    ----------
    settings
        How to reach Kafka.
    transactional_id
        Ours alone.
    topics
        Topics that must exist.
    group
        Returns whose offsets are committed: our identity in a group, or the name of one that nobody joins.
    """

    def __init__(
        self, settings: KafkaSettings, transactional_id: str, topics: Sequence[str], group: Callable[[], Any]
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._group = group
        self._client = Client(
            KafkaProducer,
            lambda: {
                **producer_config(settings),
                "transactional_id": transactional_id,
                "transaction_timeout_ms": TRANSACTION_TIMEOUT_MS,
            },
        )
        self._ready = False
        self._unsure = False

    def connect(self) -> None:
        """Reach Kafka, check that the topics exist, and end what an earlier process with our id left open."""
        self._get_producer()
        require_topics(self._settings, self._topics)

    def _get_producer(self) -> Any:  # noqa: ANN401 - kafka-python has no types
        try:
            producer = self._client.get()
            if not self._ready:
                with translated_errors():
                    producer.init_transactions()
                self._ready = True
        except (KafkaUnavailable, Misconfigured) as exc:
            self._close_producer(timeout_s=0)
            raise _explained(exc) from exc
        return producer

    def _transact(
        self,
        producer: Any,  # noqa: ANN401 - kafka-python has no types
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        outgoing: Sequence[OutgoingMessage],
    ) -> None:
        try:
            with translated_errors():
                producer.begin_transaction()
                self._send_offsets(producer, offsets)
                send_all(producer, outgoing)
                self._commit(producer)
        except (KafkaUnavailable, Misconfigured) as exc:
            self._unsure = True
            if isinstance(exc, Misconfigured):
                self._abort(producer)  # we are about to exit: spare readers the wait for the timeout
            self._close_producer(timeout_s=0)
            raise

    def _send_offsets(
        self,
        producer: Any,  # noqa: ANN401 - as above
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
    ) -> None:
        group = self._group()
        _bounded(producer, lambda manager: manager.send_offsets_to_transaction(offsets, group), STEP_TIMEOUT_MS)

    def _commit(self, producer: Any) -> None:  # noqa: ANN401 - as above
        # Every record must be acknowledged by now. Otherwise kafka-python might report an aborted transaction as
        # committed: if the broker refuses a record's epoch, it starts a new one, which has nothing to commit.
        _bounded(producer, lambda manager: manager.begin_commit(), STEP_TIMEOUT_MS)

    @staticmethod
    def _abort(producer: Any) -> None:  # noqa: ANN401 - as above
        with suppress(KafkaError):
            _bounded(producer, lambda manager: manager.begin_abort(), ABORT_TIMEOUT_MS)

    def close(self) -> None:
        """Close all connections; no transaction is open."""
        self._close_producer(timeout_s=5)

    def _close_producer(self, timeout_s: float) -> None:
        self._ready = False
        close_producer(self._client, timeout_s)


class ExactlyOnceDelivery(Transactions):
    """Publishes outcomes and commits offsets together, or not at all.

    A failed attempt may have been committed all the same, if only the reply was lost. So before a retry, a
    new producer with the same transactional id makes the broker end any open transaction. Then the group's offsets,
    part of the same transaction, show whether the batch went through.

    A consumer that was replaced in the group cannot commit: the offsets go first, with our group metadata, and the
    broker refuses those of an earlier generation or of a member whose instance id was taken over.

    Parameters
    ----------
    settings
        How to reach Kafka, and our identity in the group.
    source
        Where the messages come from.
    topics
        Topics that must exist.
    """

    def __init__(self, settings: ServiceSettings, source: KafkaSource, topics: Sequence[str]) -> None:
        super().__init__(settings, transactional_id_of(settings), topics, source.group_metadata)
        self._source = source
        self._note = secrets.token_hex(8)  # stored with our offsets: whoever replaces us has another

    def deliver(self, messages: Sequence[ImageMessage], outgoing: Sequence[Sequence[OutgoingMessage]]) -> list[bool]:
        """Publish and commit in one transaction; see `Delivery.deliver`."""
        producer = self._get_producer()
        ours = self._source.ours(messages)
        settled = self._settled(messages, ours) if self._unsure else [None] * len(messages)
        self._unsure = False
        todo = [at for at, own in enumerate(ours) if own and settled[at] is None]
        if todo:
            offsets = offsets_behind((messages[at] for at in todo), self._note)
            self._transact(producer, offsets, [sent for at in todo for sent in outgoing[at]])
        return [own and settled[at] is not False for at, own in enumerate(ours)]

    def catch_up(self) -> None:
        """Commit what the source has passed without a message; see `Delivery.catch_up`.

        In a transaction like all other offsets: one that the consumer commits could arrive late, and take them back.
        """
        if not self._source.passed():
            return
        producer = self._get_producer()
        self._source.ours([])  # completes a rebalance, which may take partitions away
        if passed := self._source.passed():
            self._transact(producer, offsets_at(passed, self._note), [])
            self._source.have_committed(passed)

    def _settled(self, messages: Sequence[ImageMessage], ours: Sequence[bool]) -> list[bool | None]:
        """Return for each message whether it is done after an attempt that seemed to fail.

        None if it is not done, True if our attempt went through, False if another consumer has done it.
        """
        partitions = {_partition(message) for message, own in zip(messages, ours, strict=True) if own}
        committed = {partition: self._source.committed(partition) for partition in partitions}
        settled: list[bool | None] = []
        for message in messages:
            offset, note = committed.get(_partition(message), (0, ""))
            settled.append(note == self._note if message.offset < offset else None)
        if any(settled):
            _log.warning("a transaction that seemed to fail was committed: nothing is sent again")
        return settled


def transactional_id_of(settings: ServiceSettings) -> str:
    """Return the transactional id.

    With a ``--group-instance-id`` it outlives the process: the successor of a killed process ends its transaction at
    once. Without one it is new for each process, and the broker aborts the transaction after its timeout. No other
    group has the same, unless an instance has a slash in its name, which Kafka's own clients refuse.
    """
    instance = settings.group_instance_id
    return f"neardup-{settings.group}-" + (f"instance/{instance}" if instance else secrets.token_hex(8))


def _bounded(producer: Any, begin: Callable[[Any], Any], timeout_ms: int) -> None:  # noqa: ANN401 - as above
    # The public calls do the same, but without a timeout: they hang while the broker is away.
    result = begin(producer._transaction_manager)  # noqa: SLF001 - there is no public way
    producer._sender.wakeup()  # noqa: SLF001 - as above
    if not result.wait(timeout_ms=timeout_ms):
        raise KafkaTimeoutError(f"a step of the transaction did not finish in {timeout_ms} ms")


def _explained(error: KafkaUnavailable | Misconfigured) -> KafkaUnavailable | Misconfigured:
    """Add what to do if the broker has no transactions."""
    cause = error.__cause__
    if isinstance(cause, _WITHOUT_TRANSACTIONS):
        return Misconfigured(f"no transactions with this Kafka: {text_of(cause)}; use --delivery at-least-once")
    if isinstance(cause, KafkaTimeoutError) and "transactional state" in str(cause):
        return KafkaUnavailable(
            f"{error}: the transaction coordinator does not answer; on a broker without transactions use "
            "--delivery at-least-once"
        )
    return error


def _partition(message: ImageMessage) -> TopicPartition:
    return TopicPartition(message.topic, message.partition)
