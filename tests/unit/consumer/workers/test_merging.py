"""The metrics of several workers as those of one."""

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from consumer.metrics import Metrics
from consumer.workers.merging import counted, merged
from consumer.workers.report import families_of


class Held(Collector):
    """Gives families that were collected before."""

    def __init__(self, *every: list[Metric]) -> None:
        self._every = every

    def collect(self) -> list[Metric]:
        return merged(self._every)


def registry_of(*every: list[Metric]) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Held(*every))
    return registry


def test_what_is_counted_adds_up() -> None:
    one, other = Metrics(), Metrics()
    one.images.labels("unique").inc(2)
    other.images.labels("unique").inc(3)
    one.nearest_distance.observe(0.2)
    other.nearest_distance.observe(0.7)
    value = registry_of(families_of(one), families_of(other)).get_sample_value
    assert value("neardup_images_total", {"verdict": "unique"}) == 5
    assert value("neardup_images_total", {"verdict": "duplicate"}) == 0
    assert value("neardup_nearest_distance_bucket", {"le": "0.25"}) == 1
    assert value("neardup_nearest_distance_count") == 2
    created = [
        sample.value
        for each in (one, other)
        for family in families_of(each)
        for sample in family.samples
        if (sample.name, sample.labels) == ("neardup_images_created", {"verdict": "unique"})
    ]
    assert value("neardup_images_created", {"verdict": "unique"}) == min(created)


def test_gauges_tell_of_all() -> None:
    one, other = Metrics(), Metrics()
    one.show_lag({("images", 0): 4})
    other.show_lag({("images", 1): 6})
    for metrics, ready, cache in ((one, 1, 100), (other, 0, 50)):
        metrics.index_members.set(1000 + cache)
        metrics.cache_bytes.set(cache)
        metrics.ready.set(ready)
    value = registry_of(families_of(one), families_of(other)).get_sample_value
    assert value("neardup_consumer_lag_messages", {"topic": "images", "partition": "0"}) == 4
    assert value("neardup_consumer_lag_messages", {"topic": "images", "partition": "1"}) == 6
    assert value("neardup_index_members") == 1100
    assert value("neardup_cache_bytes") == 150
    assert value("neardup_ready") == 0


def test_a_partition_that_moved_is_shown_once() -> None:
    one, other = Metrics(), Metrics()
    one.show_lag({("images", 0): 4})
    one.show_lag({})
    other.show_lag({("images", 0): 9})
    value = registry_of(families_of(one), families_of(other)).get_sample_value
    assert value("neardup_consumer_lag_messages", {"topic": "images", "partition": "0"}) == 9


def test_of_one_that_has_ended_stays_what_it_counted() -> None:
    ended, alive = Metrics(), Metrics()
    ended.images.labels("unique").inc(2)
    ended.show_lag({("images", 0): 4})
    ended.ready.set(0)
    alive.ready.set(1)
    registry = registry_of(families_of(alive), counted(families_of(ended)))
    assert registry.get_sample_value("neardup_images_total", {"verdict": "unique"}) == 2
    assert registry.get_sample_value("neardup_ready") == 1
    assert registry.get_sample_value("neardup_consumer_lag_messages", {"topic": "images", "partition": "0"}) is None


def test_of_one_alone_nothing_changes() -> None:
    metrics = Metrics()
    metrics.images.labels("unique").inc(2)
    metrics.nearest_distance.observe(0.2)
    metrics.show_lag({("images", 0): 4})
    assert generate_latest(registry_of(families_of(metrics))) == generate_latest(metrics.registry)
