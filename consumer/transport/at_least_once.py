"""At least once: a batch is published, then its offsets are committed."""

from collections.abc import Sequence

from consumer.messages import ImageMessage, OutgoingMessage
from consumer.transport.base import Sink, Source


class AtLeastOnceDelivery:
    """Publishes outcomes, waits until they are acknowledged, then commits the offsets.

    After a crash in between, outcomes are published a second time. In memory nothing fails in between: it is
    exactly once.

    Parameters
    ----------
    source, sink
        Where the messages come from, and where outcomes go.
    """

    def __init__(self, source: Source, sink: Sink) -> None:
        self._source = source
        self._sink = sink
        self._published: list[str] = []

    def connect(self) -> None:
        """Reach the servers and check that the topics are there."""
        self._sink.connect()

    def deliver(self, messages: Sequence[ImageMessage], outgoing: Sequence[Sequence[OutgoingMessage]]) -> list[bool]:
        """Publish, then commit; if only the commit failed, the next attempt does not publish again."""
        ours = self._source.ours(messages)
        batch = [message.coordinates for message in messages]
        if batch != self._published:
            self._sink.publish([sent for each, own in zip(outgoing, ours, strict=True) if own for sent in each])
            self._published = batch
        self._source.commit([message for message, own in zip(messages, ours, strict=True) if own])
        self._published = []
        return ours

    def catch_up(self) -> None:
        """Commit what the source has passed without a message; see `Delivery.catch_up`."""
        if self._source.passed():
            self._source.ours([])  # completes a rebalance, in which nothing can be committed
            self._source.commit_passed()

    def close(self) -> None:
        """Close all connections."""
        self._sink.close()
