"""A transport within one process: for a folder of images, and for tests."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from consumer.messages import ImageMessage, OutgoingMessage, last_offsets


class MemorySource:
    """Delivers the messages of an iterable, which is read only as far as needed.

    Parameters
    ----------
    messages
        In order of delivery.
    committed
        Offsets by (topic, partition) to start from; pass an earlier source's `committed` to resume.
    """

    def __init__(
        self, messages: Iterable[ImageMessage], committed: Mapping[tuple[str, int], int] | None = None
    ) -> None:
        self.committed: dict[tuple[str, int], int] = dict(committed or {})
        self._messages: Iterator[ImageMessage] = iter(messages)
        self._exhausted = False

    def connect(self) -> None:
        """Do nothing: memory is always there."""

    def poll(self, max_messages: int, timeout_s: float, *, full: bool = False) -> list[ImageMessage]:
        """Return the next messages, as many as there may be: there is nothing to wait for."""
        del timeout_s, full
        batch: list[ImageMessage] = []
        while len(batch) < max_messages and not self._exhausted:
            message = next(self._messages, None)
            if message is None:
                self._exhausted = True
            elif message.offset >= self.committed.get((message.topic, message.partition), 0):
                batch.append(message)
        return batch

    def ours(self, messages: Sequence[ImageMessage]) -> list[bool]:
        """Return True for each: there is no rebalance."""
        return [True] * len(messages)

    def commit(self, messages: Sequence[ImageMessage]) -> None:
        """Remember the offsets."""
        self.committed |= last_offsets(messages)

    def passed(self) -> Mapping[tuple[str, int], int]:
        """Return nothing: there are only messages."""
        return {}

    def commit_passed(self) -> None:
        """Do nothing."""

    def idle(self, timeout_s: float) -> None:
        """Return at once: the loop itself waits."""

    def lag(self) -> Mapping[tuple[str, int], int]:
        """Return nothing: the number of messages left is unknown."""
        return {}

    @property
    def exhausted(self) -> bool:
        """Whether the iterable has ended."""
        return self._exhausted

    def close(self) -> None:
        """Do nothing."""


class MemorySink:
    """Hands each message to a function.

    Parameters
    ----------
    take
        Called with each message in order; None keeps them in `topics`.
    """

    def __init__(self, take: Callable[[OutgoingMessage], None] | None = None) -> None:
        self.topics: defaultdict[str, list[OutgoingMessage]] = defaultdict(list)
        self._take = take or self._keep

    def _keep(self, message: OutgoingMessage) -> None:
        self.topics[message.topic].append(message)

    def connect(self) -> None:
        """Do nothing: memory is always there."""

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        """Hand over the messages."""
        for message in messages:
            self._take(message)

    def close(self) -> None:
        """Do nothing."""
