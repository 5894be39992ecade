"""How much a number of cameras takes: cores, consumers, partitions, memory of Redis; from what was measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

BUSY = 0.6
"""Share of the cores, and of a consumer's rate, that is planned for: the rest catches up after an outage."""
_DAY_S = 86_400
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Load:
    """What comes.

    Attributes
    ----------
    cameras, frames_s
        How many, and images a second of each.
    unique
        Share of the images that become members.
    days
        How long members are kept (``--retention``).
    decision_s
        How long decisions are remembered (``--decision-ttl-s``).
    """

    cameras: int
    frames_s: float
    unique: float
    days: float
    decision_s: float = 7200.0

    @property
    def images_s(self) -> float:
        """Images a second of all cameras."""
        return self.cameras * self.frames_s


@dataclass(frozen=True, slots=True)
class Costs:
    """What an image takes.

    Attributes
    ----------
    images_s
        Of one consumer.
    consumer_ms, servers_ms
        CPU of the consumer with its processes; of Kafka and Redis.
    member_bytes, decision_bytes
        In Redis.
    """

    images_s: float
    consumer_ms: float
    servers_ms: float
    member_bytes: float
    decision_bytes: float

    @classmethod
    def measured(cls, figures: Mapping[str, float]) -> Self:
        """Return the costs from a build's figures in the results of `end_to_end`."""
        return cls(
            figures["images_s"],
            figures["cpu_ms"],
            figures["kafka_ms"] + figures["redis_ms"],
            figures["member_bytes"],
            figures["decision_bytes"],
        )


@dataclass(frozen=True, slots=True)
class Need:
    """What it takes: whole cores and consumers, and as many partitions at least as consumers."""

    cores: int
    consumers: int
    partitions: int
    redis_gib: float


def need(load: Load, costs: Costs) -> Need:
    """Return what a load needs."""
    cores = math.ceil(load.images_s * (costs.consumer_ms + costs.servers_ms) / 1000 / BUSY)
    consumers = math.ceil(load.images_s / costs.images_s / BUSY)
    members = load.images_s * load.unique * load.days * _DAY_S
    held = members * costs.member_bytes + load.images_s * load.decision_s * costs.decision_bytes
    # Twice as many partitions as consumers: more consumers can come without a new topic, and one may die.
    return Need(cores, consumers, 2 * consumers, held / _GIB)
