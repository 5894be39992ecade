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
    """Goes on where the policy says, and tells what was lost.

    Parameters
    ----------
    policy
        ``earliest`` goes on with the oldest message that is left, ``latest`` behind the newest, ``stop`` ends.
    count
        Told how many messages were passed by unread.
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
                # The offset up to which what we have read is still there, when the broker knows it.
                self._go_on(consumer, partition, None if left is None else left.offset)
        else:
            for partition, position in error.args[0].items():
                self._go_on(consumer, partition, position)

    def _go_on(self, consumer: Any, partition: TopicPartition, position: int | None) -> None:  # noqa: ANN401 - as above
        first, end = (
            ask([partition], timeout_ms=_ANSWER_TIMEOUT_MS)[partition]
            for ask in (consumer.beginning_offsets, consumer.end_offsets)
        )
        told = _told(partition, position, first, end)
        if self._policy == "stop":
            raise Misconfigured(
                f"{told}; --on-lost-data stop: move the group's offset yourself, or say earliest or latest"
            )
        go_on_at = self._place(position, first, end)
        lost = max(0, go_on_at - (end if position is None else position))
        self._count(lost)
        _log.error("%s; going on at %d, %d messages are passed by", told, go_on_at, lost)
        consumer.seek(partition, go_on_at)

    def _place(self, position: int | None, first: int, end: int) -> int:
        if position is not None and first <= position <= end:
            return position  # what was cut off the end is gone, and nothing else
        return end if self._policy == "latest" else first


def _told(partition: TopicPartition, position: int | None, first: int, end: int) -> str:
    name = f"{partition.topic}-{partition.partition}"
    if position is not None and position < first:
        return f"lost: {name} offsets {position} to {first - 1} were deleted before they were read"
    return f"lost: {name} has offsets {first} to {end - 1}, and ours is another: it was cut, or made anew"
