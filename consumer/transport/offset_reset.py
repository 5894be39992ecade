"""What happens when messages were deleted before they were read."""

import logging
from collections.abc import Callable
from typing import Any

from kafka import TopicPartition
from kafka.errors import LogTruncationError, OffsetOutOfRangeError

from neardup.errors import Misconfigured

LOST = (OffsetOutOfRangeError, LogTruncationError)
"""What kafka-python raises when a position points at nothing."""

_ANSWER_TIMEOUT_MS = 15_000
_log = logging.getLogger(__name__)


class LostData:
    """Continues where the policy says, and reports what was lost.

    Parameters
    ----------
    policy
        ``earliest`` continues with the oldest message left, ``latest`` after the newest, ``stop`` exits.
    count
        Called with the number of messages skipped unread.
    """

    def __init__(self, policy: str, count: Callable[[int], None]) -> None:
        self._policy = policy
        self._count = count

    def go_on(self, consumer: Any, error: OffsetOutOfRangeError | LogTruncationError) -> None:  # noqa: ANN401 - kafka-python has no types
        """Move the consumer on each partition of the error.

        Raises
        ------
        Misconfigured
            The policy is ``stop``.
        """
        if isinstance(error, LogTruncationError):
            for partition, left in error.divergent_offsets.items():
                # Up to this offset, if the broker knows it, what we have read is still there.
                self._go_on(consumer, partition, None if left is None else left.offset)
        else:
            for partition, position in error.args[0].items():
                self._go_on(consumer, partition, position)

    def _go_on(self, consumer: Any, partition: TopicPartition, position: int | None) -> None:  # noqa: ANN401 - as above
        first, end = (
            ask([partition], timeout_ms=_ANSWER_TIMEOUT_MS)[partition]
            for ask in (consumer.beginning_offsets, consumer.end_offsets)
        )
        loss = _describe_loss(partition, position, first, end)
        if self._policy == "stop":
            raise Misconfigured(
                f"{loss}; --on-lost-data stop: move the group's offset yourself, or use earliest or latest"
            )
        go_on_at = self._place(position, first, end)
        lost = max(0, go_on_at - (end if position is None else position))
        self._count(lost)
        _log.error("%s; continuing at %d, %d messages skipped", loss, go_on_at, lost)
        consumer.seek(partition, go_on_at)

    def _place(self, position: int | None, first: int, end: int) -> int:
        if position is not None and first <= position <= end:
            return position  # only messages at the end were cut off
        return end if self._policy == "latest" else first


def _describe_loss(partition: TopicPartition, position: int | None, first: int, end: int) -> str:
    name = f"{partition.topic}-{partition.partition}"
    if position is not None and position < first:
        return f"lost: {name} offsets {position} to {first - 1} were deleted before they were read"
    return f"lost: {name} has offsets {first} to {end - 1}, but ours is outside: the topic was truncated or recreated"
