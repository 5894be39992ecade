"""Which partitions were revoked while we were working on their messages."""

import logging
from collections import Counter
from collections.abc import Iterable

from kafka import ConsumerRebalanceListener, TopicPartition

_log = logging.getLogger(__name__)


class Partitions(ConsumerRebalanceListener):  # type: ignore[misc]
    """Listens to rebalances; kafka-python calls it only within our own polls.

    Work on a revoked partition is dropped: its next owner starts at the committed offset. So do we if it is revoked and
    assigned again in between; what comes then belongs to another assignment.
    """

    def __init__(self) -> None:
        self._taken: Counter[TopicPartition] = Counter()

    def assignment(self, partition: TopicPartition) -> int:
        """Return the number of the partition's present assignment: how often it was taken before."""
        return self._taken[partition]

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
