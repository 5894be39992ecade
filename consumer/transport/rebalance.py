"""Which partitions were taken from us while messages of theirs were in hand."""

import logging
from collections.abc import Iterable

from kafka import ConsumerRebalanceListener, TopicPartition

_log = logging.getLogger(__name__)


class Partitions(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hears of every rebalance; kafka-python calls it only within a poll of ours.

    Work on a partition that is taken is dropped, never finished: whoever has the partition next begins at the offset
    that was committed. A partition that is taken and given back in between begins there, too, so it counts as taken.
    """

    def __init__(self) -> None:
        self._taken: set[TopicPartition] = set()

    def taken(self, partition: TopicPartition) -> bool:
        """Return whether the partition was taken from us since `forget_taken`."""
        return partition in self._taken

    def forget_taken(self) -> None:
        """Begin anew: nothing is in hand."""
        self._taken.clear()

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Note partitions that the group gives to somebody else."""
        self._taken.update(revoked)
        _log.info("partitions given up: %s", _names(revoked))

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Tell which partitions are ours from now on, besides those that were."""
        _log.info("partitions taken up: %s", _names(assigned))

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Note partitions that somebody else may have had for a while: the group took us for dead."""
        self._taken.update(lost)
        _log.warning("partitions lost, the group took us for dead: %s", _names(lost))


def _names(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(sorted(f"{partition.topic}-{partition.partition}" for partition in partitions)) or "none"
