"""The service between its parts, without servers."""

import threading

from consumer.health import Health
from consumer.messages import ImageMessage, OutgoingMessage
from consumer.metrics import Metrics
from consumer.service import run
from consumer.settings import Settings
from consumer.transport.in_turn import InTurnDelivery
from consumer.transport.memory import MemorySink, MemorySource
from neardup.descriptors import DEFAULT, load_descriptor
from neardup.errors import RedisUnavailable
from neardup.index.base import IndexMeta
from neardup.index.memory import MemoryIndex
from neardup.pca import Pca
from tests.acceptance.processes import photo


class Absent(MemoryIndex):
    """An index that was opened, and whose server then goes away for the next two questions."""

    absences = 2

    def pca(self) -> Pca | None:
        if self.absences:
            self.absences -= 1
            raise RedisUnavailable("Redis does not answer: connection refused")
        return super().pca()


def test_a_server_that_goes_away_between_opening_and_judging_is_waited_for() -> None:
    descriptor = load_descriptor(DEFAULT, None)
    meta = IndexMeta("absent", 0, descriptor.spec, descriptor.fingerprint, descriptor.dimension, radius=0.3)
    published: list[OutgoingMessage] = []
    source = MemorySource([ImageMessage("images", 0, 0, 0, None, photo(1))])
    metrics, health = Metrics(), Health()
    delivery = InTurnDelivery(source, MemorySink(published.append))
    run(Settings(), Absent(meta), source, delivery, metrics=metrics, health=health, stop=threading.Event())
    (verdict,) = published
    assert verdict.topic == "verdicts"
    assert metrics.registry.get_sample_value("neardup_redis_errors_total") == 2
    assert metrics.registry.get_sample_value("neardup_retries_total", {"operation": "connect"}) == 2


def test_told_to_stop_while_the_server_is_away_it_ends_with_nothing_published() -> None:
    descriptor = load_descriptor(DEFAULT, None)
    meta = IndexMeta("absent", 0, descriptor.spec, descriptor.fingerprint, descriptor.dimension, radius=0.3)
    published: list[OutgoingMessage] = []
    source = MemorySource([ImageMessage("images", 0, 0, 0, None, photo(1))])
    stop = threading.Event()
    stop.set()
    delivery = InTurnDelivery(source, MemorySink(published.append))
    run(Settings(), Absent(meta), source, delivery, metrics=Metrics(), health=Health(), stop=stop)
    assert published == []
