"""Every metric: there from the start, and right."""

import re
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

import consumer
from consumer.handler import Handler  # loads every reason  # noqa: F401
from consumer.metrics import OPERATIONS, STAGES, Metrics
from neardup.capture_time import WrongTime
from neardup.errors import reasons
from neardup.index.base import IndexMeta, IndexStats

META = IndexMeta(name="default", generation=3, descriptor="dct", fingerprint="dct-1", dimension=4, radius=0.2)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    found = metrics.registry.get_sample_value(name, labels)
    return None if found is None else float(found)


def stats(sizes: tuple[int, ...], retries: int = 0) -> IndexStats:
    return IndexStats(members=sum(sizes), clusters=len(sizes), cluster_sizes=sizes, cache_bytes=1234, retries=retries)


def test_bounded_labels_are_there_from_the_start() -> None:
    metrics = Metrics()
    for verdict in ("unique", "duplicate"):
        assert value(metrics, "neardup_images_total", verdict=verdict) == 0
    for reason in reasons():
        assert value(metrics, "neardup_bad_input_total", reason=reason) == 0
    for wrong in WrongTime:
        assert value(metrics, "neardup_unknown_capture_times_total", reason=wrong.value) == 0
    for stage in STAGES:
        assert value(metrics, "neardup_stage_seconds_count", stage=stage) == 0
    for operation in OPERATIONS:
        assert value(metrics, "neardup_retries_total", operation=operation) == 0
    for rank in ("p50", "p99", "max"):
        assert value(metrics, "neardup_index_cluster_members", rank=rank) == 0


PRESET = re.compile(r"^ +self\.\w+\.labels\([\w.]+\)$", re.MULTILINE)


def test_every_metric_is_counted_somewhere() -> None:
    sources = [path.read_text("utf-8") for path in Path(consumer.__path__[0]).rglob("*.py")]
    text = PRESET.sub("", "\n".join(sources))
    declared = [name for name, value in vars(Metrics()).items() if isinstance(value, MetricWrapperBase)]
    # Once where it is declared, and once more.
    assert [name for name in declared if len(re.findall(rf"\.{name}\b", text)) == 1] == []


@pytest.mark.parametrize(
    "name",
    [
        "neardup_nearest_distance_count",
        "neardup_batch_images_count",
        "neardup_repeated_images_total",
        "neardup_forwarded_bytes_total",
        "neardup_index_members",
        "neardup_index_clusters",
        "neardup_cache_bytes",
        "neardup_redis_errors_total",
        "neardup_kafka_errors_total",
        "neardup_ready",
    ],
)
def test_series_without_labels_are_there_from_the_start(name: str) -> None:
    assert value(Metrics(), name) == 0


def test_the_reasons_include_those_of_messages_and_descriptors() -> None:
    assert {"bad-captured-at", "undescribable", "undecodable"} <= set(reasons())


def test_every_metric_has_its_prefix_and_its_help() -> None:
    families = list(text_string_to_metric_families(generate_latest(Metrics().registry).decode()))
    assert families
    for family in families:
        assert family.name.startswith("neardup_")
        assert family.documentation


def test_two_services_in_one_process_do_not_meet() -> None:
    one, other = Metrics(), Metrics()
    one.images.labels("unique").inc()
    assert value(other, "neardup_images_total", verdict="unique") == 0


def test_a_stage_is_timed_and_remembered_for_the_log() -> None:
    metrics = Metrics()
    took_s: dict[str, float] = {}
    with metrics.stage("decode", took_s):
        pass
    with pytest.raises(ZeroDivisionError), metrics.stage("decode", took_s):
        raise ZeroDivisionError
    assert value(metrics, "neardup_stage_seconds_count", stage="decode") == 2
    assert took_s["decode"] >= 0


def test_lag_shows_the_partitions_assigned_now_and_no_others() -> None:
    metrics = Metrics()
    metrics.show_lag({("images", 0): 5, ("images", 1): 0})
    assert value(metrics, "neardup_consumer_lag_messages", topic="images", partition="0") == 5
    assert value(metrics, "neardup_consumer_lag_messages", topic="images", partition="1") == 0
    metrics.show_lag({("images", 1): 7})
    assert value(metrics, "neardup_consumer_lag_messages", topic="images", partition="0") is None
    assert value(metrics, "neardup_consumer_lag_messages", topic="images", partition="1") == 7


@pytest.mark.parametrize(
    ("sizes", "median", "ninety_ninth", "largest"),
    [
        ((), 0, 0, 0),
        ((5,), 5, 5, 5),
        ((1, 2, 9), 2, 9, 9),
        (tuple(range(1, 101)), 51, 100, 100),
        ((0, 0, 0, 8), 0, 8, 8),
    ],
)
def test_cluster_sizes_are_told_by_rank(sizes: tuple[int, ...], median: int, ninety_ninth: int, largest: int) -> None:
    metrics = Metrics()
    metrics.show_index(META, stats(sizes), "1.2.3")
    for rank, size in {"p50": median, "p99": ninety_ninth, "max": largest}.items():
        assert value(metrics, "neardup_index_cluster_members", rank=rank) == size
    assert value(metrics, "neardup_index_members") == sum(sizes)
    assert value(metrics, "neardup_index_clusters") == len(sizes)
    assert value(metrics, "neardup_cache_bytes") == 1234


def test_build_info_names_one_index_only() -> None:
    metrics = Metrics()
    metrics.show_index(META, stats(()), "1.2.3")
    later = IndexMeta(name="default", generation=4, descriptor="dct", fingerprint="dct-1", dimension=4, radius=0.2)
    metrics.show_index(later, stats(()), "1.2.3")
    labels = {"version": "1.2.3", "index": "default", "descriptor": "dct-1"}
    assert value(metrics, "neardup_build_info", **labels, generation="3") is None
    assert value(metrics, "neardup_build_info", **labels, generation="4") == 1


def test_the_indexs_own_retries_are_counted_once() -> None:
    metrics = Metrics()
    for retries in (2, 2, 5):
        metrics.show_index(META, stats((), retries), "1.2.3")
    assert value(metrics, "neardup_retries_total", operation="index_commit") == 5
