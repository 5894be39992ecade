"""Which partitions were revoked while we were working on their messages."""

import logging
from collections.abc import Iterable

from kafka import ConsumerRebalanceListener, TopicPartition

_log = logging.getLogger(__name__)


class Partitions(ConsumerRebalanceListener):  # type: ignore[misc]
    """Listens to rebalances; kafka-python calls it only within our own polls.

    Work on a revoked partition is dropped: its next owner starts at the committed offset. So do we if it is revoked and
    assigned again in between, so that counts as revoked, too.
    """

    def __init__(self) -> None:
        self._taken: set[TopicPartition] = set()

    def taken(self, partition: TopicPartition) -> bool:
        """Return whether the partition was revoked since `forget_taken`."""
        return partition in self._taken

    def forget_taken(self) -> None:
        """Start over, when no batch is in progress."""
        self._taken.clear()

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Note partitions that the group gives to another consumer."""
        self._taken.update(revoked)
        _log.info("partitions revoked: %s", _names(revoked))

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Log which partitions we got in addition."""
        _log.info("partitions assigned: %s", _names(assigned))

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Note partitions that another consumer may have had for a while: the group considered us dead."""
        self._taken.update(lost)
        _log.warning("partitions lost, the group considered us dead: %s", _names(lost))


def _names(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(sorted(f"{partition.topic}-{partition.partition}" for partition in partitions)) or "none"
