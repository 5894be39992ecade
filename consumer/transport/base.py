"""What the loop requires of a transport."""

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
            They cannot be reached yet.
        Misconfigured
            They can never be reached with these settings.
        """

    def poll(self, max_messages: int, timeout_s: float, *, full: bool = False) -> list[ImageMessage]:
        """Return up to `max_messages` available messages; wait up to `timeout_s` for the first.

        With `full` none, unless they make a full batch or no more can come; those that are there are kept.
        """

    def ours(self, messages: Sequence[ImageMessage]) -> list[bool]:
        """Return which messages are still ours to answer: not those of partitions revoked since they were polled.

        Completes a rebalance in progress first.

        Raises
        ------
        KafkaUnavailable
            The rebalance does not complete in time.
        """

    def commit(self, messages: Sequence[ImageMessage]) -> None:
        """Mark these messages and all before them in their partitions as done."""

    def passed(self) -> Mapping[tuple[str, int], int]:
        """Return by (topic, partition) the offsets to commit that are behind more than the last message.

        Publishers' transactions end in markers, and aborted ones leave messages that are never delivered. An offset
        before them looks like a message that waits, for ever if no other comes. Call it when no batch is in hand.
        """

    def commit_passed(self) -> None:
        """Commit them."""

    def idle(self, timeout_s: float) -> None:
        """Wait without taking messages, but stay in the group."""

    def lag(self) -> Mapping[tuple[str, int], int]:
        """Return for each (topic, partition) assigned how many messages are still to be read."""

    @property
    def exhausted(self) -> bool:
        """Whether there will never be another message; always false for a stream."""

    def close(self) -> None:
        """Leave the group and close all connections."""


class Delivery(Protocol):
    """Answers messages: publishes their outcomes and marks them as done."""

    def connect(self) -> None:
        """Reach the servers and check that the topics are there; errors as `Source.connect`."""

    def deliver(self, messages: Sequence[ImageMessage], outgoing: Sequence[Sequence[OutgoingMessage]]) -> list[bool]:
        """Publish the outcome of each message, and commit the messages; return when both are acknowledged.

        Messages of revoked partitions are skipped with their outcomes: another consumer answers them.

        Parameters
        ----------
        messages, outgoing
            The batch polled after the one delivered before, and the messages to publish for each of its messages, in
            order, to any of the topics. A message with none to publish is committed as well.

        Returns
        -------
        list of bool
            For each message whether it was answered here.

        Raises
        ------
        KafkaUnavailable
            Deliver the same batch again.
        Misconfigured
            It can never succeed.
        """

    def catch_up(self) -> None:
        """Commit what the source has passed without a message; errors as `deliver`.

        Call it when no batch is in hand.
        """

    def close(self) -> None:
        """Close all connections."""


class Sink(Protocol):
    """Takes messages that must not be lost."""

    def connect(self) -> None:
        """Reach the servers and check that the topics are there; errors as `Source.connect`."""

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Send messages, and return when every one is acknowledged.

        Raises
        ------
        KafkaUnavailable
            Some may have been written: publish all of them again.
        Misconfigured
            The broker will never accept one of them.
        """

    def close(self) -> None:
        """Close all connections."""
