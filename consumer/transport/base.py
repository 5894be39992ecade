"""What the loop asks of a transport."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from consumer.messages import ImageMessage, OutgoingMessage


class Source(Protocol):
    """Delivers messages in the order of each partition, from the first one that is not committed."""

    def connect(self) -> None:
        """Reach the servers and check that the topic is there; may be repeated.

        Raises
        ------
        KafkaUnavailable
            Not yet.
        Misconfigured
            Never, with these settings.
        """

    def poll(self, max_messages: int, timeout_s: float) -> list[ImageMessage]:
        """Return what is there, at most `max_messages`; wait up to `timeout_s` for the first."""

    def ours(self, messages: Sequence[ImageMessage]) -> list[bool]:
        """Return which messages of the latest poll are still ours to answer: not those of partitions that were taken.

        A rebalance that is under way is taken part in first.

        Raises
        ------
        KafkaUnavailable
            The rebalance does not end.
        """

    def commit(self, messages: Sequence[ImageMessage]) -> None:
        """Declare these messages and all before them in their partitions done."""

    def idle(self, timeout_s: float) -> None:
        """Wait without taking messages, and stay a live member of the group meanwhile."""

    def lag(self) -> Mapping[tuple[str, int], int]:
        """Return for each (topic, partition) assigned how many messages wait behind the position."""

    @property
    def exhausted(self) -> bool:
        """Whether there will never be another message; always false for a stream."""

    def close(self) -> None:
        """Leave the group and let go of everything."""


class Delivery(Protocol):
    """Answers messages: publishes what they come to, and declares them done."""

    def connect(self) -> None:
        """Reach the servers and check that the topics are there; errors as `Source.connect`."""

    def deliver(self, messages: Sequence[ImageMessage], outgoing: Sequence[Sequence[OutgoingMessage]]) -> list[bool]:
        """Publish the outcome of each message, and commit the messages; return when both are acknowledged.

        Messages of partitions that were taken from us are left out, with all that they come to: somebody else answers
        them.

        Parameters
        ----------
        messages, outgoing
            A batch of one poll, and what is to be published for each of its messages: any number of messages, also
            none, in the order in which they are sent, to any of the topics. One with none is committed all the same.

        Returns
        -------
        list of bool
            For each message whether it was answered here.

        Raises
        ------
        KafkaUnavailable
            Deliver the same batch again.
        Misconfigured
            It can never be delivered.
        """

    def close(self) -> None:
        """Let go of everything."""


class Sink(Protocol):
    """Takes messages that must not be lost."""

    def connect(self) -> None:
        """Reach the servers and check that the topics are there; errors as `Source.connect`."""

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Send messages, and return when every one is acknowledged.

        Raises
        ------
        KafkaUnavailable
            Some may have been written: publish all again.
        Misconfigured
            The broker will never take one of them.
        """

    def close(self) -> None:
        """Let go of everything."""
