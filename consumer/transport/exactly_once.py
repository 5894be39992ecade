"""Exactly once: all that a batch comes to and its offsets, in one Kafka transaction."""

import logging
import secrets
from collections.abc import Callable, Sequence
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

from consumer.messages import ImageMessage, OutgoingMessage
from consumer.settings import ServiceSettings
from consumer.transport.kafka import KafkaSource, await_topic, let_go, offsets_behind, producer_config, send_all
from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.kafka.client import Client
from neardup.kafka.errors import text_of, translated_errors

TRANSACTION_TIMEOUT_MS = 20_000
"""After this the broker aborts a transaction whose producer is gone. Until then nobody is told the offsets of its
partitions, and `read_committed` readers wait. Longer than a batch may take to be sent."""
STEP_TIMEOUT_MS = 15_000
"""After this a step of a transaction counts as failed."""
ABORT_TIMEOUT_MS = 3_000

_WITHOUT_TRANSACTIONS = (
    KafkaConfigurationError,
    TransactionalIdAuthorizationFailedError,
    UnsupportedForMessageFormatError,
    UnsupportedVersionError,
)
_log = logging.getLogger(__name__)


class TransactionalDelivery:
    """Publishes outcomes and commits offsets together, or not at all.

    An attempt that fails may have been committed all the same: its end may have been lost on the way back. So before a
    batch is sent again, a new producer with the same transactional id has the broker end what is open, and the
    group's offsets tell whether the batch went through: they are part of the same transaction.

    A consumer that the group has replaced cannot commit: the offsets go first, with who we are in the group, and the
    broker refuses those of an earlier generation or of a member whose instance id somebody else has now.

    Parameters
    ----------
    settings
        How to reach Kafka, and who we are in the group.
    source
        Where the messages come from.
    topics
        Topics that must exist.
    """

    def __init__(self, settings: ServiceSettings, source: KafkaSource, topics: Sequence[str]) -> None:
        self._source = source
        self._topics = topics
        transactional_id = transactional_id_of(settings)
        self._note = secrets.token_hex(8)  # beside our offsets: whoever takes our place has another
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
        """Reach Kafka, check that the topics exist, and end what an earlier process of our id left open."""
        producer = self._get_producer()
        for topic in self._topics:
            with translated_errors():
                await_topic(producer, topic)

    def _get_producer(self) -> Any:  # noqa: ANN401 - kafka-python has no types
        try:
            producer = self._client.get()
            if not self._ready:
                with translated_errors():
                    producer.init_transactions()
                self._ready = True
        except (KafkaUnavailable, Misconfigured) as exc:
            self._let_go(timeout_s=0)
            raise _explained(exc) from exc
        return producer

    def deliver(self, messages: Sequence[ImageMessage], outgoing: Sequence[Sequence[OutgoingMessage]]) -> list[bool]:
        """Publish and commit in one transaction; see `Delivery.deliver`."""
        producer = self._get_producer()
        ours = self._source.ours(messages)
        settled = self._settled(messages, ours) if self._unsure else [None] * len(messages)
        self._unsure = False
        todo = [at for at, own in enumerate(ours) if own and settled[at] is None]
        if todo:
            self._transact(producer, [messages[at] for at in todo], [sent for at in todo for sent in outgoing[at]])
        return [own and settled[at] is not False for at, own in enumerate(ours)]

    def _settled(self, messages: Sequence[ImageMessage], ours: Sequence[bool]) -> list[bool | None]:
        """Return for each message whether it is done after an attempt that seemed to fail.

        None says that it is not done, True that our attempt went through, False that somebody else has done it.
        """
        partitions = {_partition(message) for message, own in zip(messages, ours, strict=True) if own}
        committed = {partition: self._source.committed(partition) for partition in partitions}
        settled: list[bool | None] = []
        for message in messages:
            offset, note = committed.get(_partition(message), (0, ""))
            settled.append(note == self._note if message.offset < offset else None)
        if any(settled):
            _log.warning("a transaction that seemed to fail had gone through: nothing of it is sent again")
        return settled

    def _transact(
        self,
        producer: Any,  # noqa: ANN401 - kafka-python has no types
        messages: Sequence[ImageMessage],
        outgoing: Sequence[OutgoingMessage],
    ) -> None:
        try:
            with translated_errors():
                producer.begin_transaction()
                self._send_offsets(producer, messages)
                send_all(producer, outgoing)
                self._commit(producer)
        except (KafkaUnavailable, Misconfigured) as exc:
            self._unsure = True
            if isinstance(exc, Misconfigured):
                self._abort(producer)  # we are about to end, and readers need not wait for the time-out
            self._let_go(timeout_s=0)
            raise

    def _send_offsets(self, producer: Any, messages: Sequence[ImageMessage]) -> None:  # noqa: ANN401 - as above
        offsets, group = offsets_behind(messages, self._note), self._source.group_metadata()
        _bounded(producer, lambda manager: manager.send_offsets_to_transaction(offsets, group), STEP_TIMEOUT_MS)

    def _commit(self, producer: Any) -> None:  # noqa: ANN401 - as above
        # Every record is acknowledged by now. Else kafka-python might call a transaction committed that was not: when
        # the broker refuses a record's epoch, it takes up a new one, and finds nothing to commit.
        _bounded(producer, lambda manager: manager.begin_commit(), STEP_TIMEOUT_MS)

    @staticmethod
    def _abort(producer: Any) -> None:  # noqa: ANN401 - as above
        with suppress(KafkaError):
            _bounded(producer, lambda manager: manager.begin_abort(), ABORT_TIMEOUT_MS)

    def close(self) -> None:
        """Let go of the connections; no transaction is open."""
        self._let_go(timeout_s=5)

    def _let_go(self, timeout_s: float) -> None:
        self._ready = False
        let_go(self._client, timeout_s)


def transactional_id_of(settings: ServiceSettings) -> str:
    """Return the id that the broker knows our transactions by.

    With a ``--group-instance-id`` it outlives the process: whoever takes the place of a process that was killed ends
    its transaction at once. Without, it is new in each process, and the broker ends it after its time-out.
    """
    return f"neardup-{settings.group}-{settings.group_instance_id or secrets.token_hex(8)}"


def _bounded(producer: Any, begin: Callable[[Any], Any], timeout_ms: int) -> None:  # noqa: ANN401 - as above
    # The public calls do the same and wait without end, which they do while the broker is away.
    result = begin(producer._transaction_manager)  # noqa: SLF001 - there is no public way
    producer._sender.wakeup()  # noqa: SLF001 - as above
    if not result.wait(timeout_ms=timeout_ms):
        raise KafkaTimeoutError(f"no end of a transaction's step in {timeout_ms} ms")


def _explained(error: KafkaUnavailable | Misconfigured) -> KafkaUnavailable | Misconfigured:
    """Say what to do where it is transactions that the broker has not."""
    cause = error.__cause__
    if isinstance(cause, _WITHOUT_TRANSACTIONS):
        return Misconfigured(f"no transactions with this Kafka: {text_of(cause)}; say --delivery at-least-once")
    if isinstance(cause, KafkaTimeoutError) and "transactional state" in str(cause):
        return KafkaUnavailable(
            f"{error}: the transaction coordinator does not answer; on a broker without transactions say "
            "--delivery at-least-once"
        )
    return error


def _partition(message: ImageMessage) -> TopicPartition:
    return TopicPartition(message.topic, message.partition)
