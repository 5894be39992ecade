"""Every metric: name, type, unit and meaning, in one place. Label values are bounded."""

import operator
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from neardup.capture_time import WrongTime
from neardup.errors import reasons
from neardup.index.base import IndexMeta, IndexStats
from neardup.types import Verdict

STAGES = ("poll", "decode", "describe", "decide", "deliver")
OPERATIONS = ("connect", "poll", "describe", "decide", "deliver", "refresh", "index_commit")
ENDPOINTS = ("judge", "lookup", "other")
"""Of the look-up service; `other` is all that neither judges nor looks up."""
SIZE_RANKS = {"p50": 0.5, "p99": 0.99, "max": 1.0}
OF_WORKERS: dict[str, Callable[[float, float], float]] = {"neardup_cache_bytes": operator.add, "neardup_ready": min}
"""What gauges of several workers come to as one; of all others it is the largest: the index is the same in each, and a
partition has one worker."""

_STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_DISTANCE_BUCKETS = (0.0, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.42, 2.0)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The service's metrics in their own registry.

    Parameters
    ----------
    registry
        Where they are registered; a new one when None.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._declare_flow()
        self._declare_index()
        self._declare_service()
        self._declare_http()

    def _declare_flow(self) -> None:
        registry = self.registry
        self.images = Counter("neardup_images", "Images judged, by verdict", ["verdict"], registry=registry)
        for verdict in Verdict:
            self.images.labels(verdict.value)
        self.described_images = Counter(
            "neardup_described_images",
            "Images whose descriptors were published for those who decide, with --role describe",
            registry=registry,
        )
        self.bad_input = Counter(
            "neardup_bad_input", "Messages dead-lettered, by reason", ["reason"], registry=registry
        )
        for reason in reasons():
            self.bad_input.labels(reason)
        self.forwarded_bytes = Counter(
            "neardup_forwarded_bytes",
            "Bytes of the unique images, as they came, that went on to the topic for them",
            registry=registry,
        )
        self.unknown_times = Counter(
            "neardup_unknown_capture_times",
            "Images whose capture time counts as unknown, by what is wrong with it",
            ["reason"],
            registry=registry,
        )
        for wrong in WrongTime:
            self.unknown_times.labels(wrong.value)
        self.repeated_images = Counter(
            "neardup_repeated_images",
            "Images that were not decoded, because the same bytes had been before",
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "neardup_stage_seconds",
            "Seconds that a stage took for one batch, by stage",
            ["stage"],
            buckets=_STAGE_BUCKETS_S,
            registry=registry,
        )
        for stage in STAGES:
            self.stage_seconds.labels(stage)
        self.nearest_distance = Histogram(
            "neardup_nearest_distance",
            "L2 distance of an image to the nearest member compared, 0 to 2, smaller is more alike",
            buckets=_DISTANCE_BUCKETS,
            registry=registry,
        )
        self.batch_images = Histogram(
            "neardup_batch_images", "Messages in one batch", buckets=_BATCH_BUCKETS, registry=registry
        )
        self.consumer_lag = Gauge(
            "neardup_consumer_lag_messages",
            "Messages between the consumer's position and the high watermark, by partition assigned to this process",
            ["topic", "partition"],
            registry=registry,
        )

        self.lost_messages = Counter(
            "neardup_lost_messages", "Image messages that Kafka deleted before they were read", registry=registry
        )

    def _declare_index(self) -> None:
        registry = self.registry
        self.index_members = Gauge("neardup_index_members", "Members of the live index", registry=registry)
        self.index_clusters = Gauge("neardup_index_clusters", "Clusters of the live index", registry=registry)
        self.cluster_members = Gauge(
            "neardup_index_cluster_members",
            "Members of the cluster that is larger than half of them (p50), than 99 % (p99), than all others (max)",
            ["rank"],
            registry=registry,
        )
        for rank in SIZE_RANKS:
            self.cluster_members.labels(rank)
        self.cache_bytes = Gauge(
            "neardup_cache_bytes", "Bytes of members that this process holds in memory", registry=registry
        )

    def _declare_service(self) -> None:
        registry = self.registry
        self.retries = Counter(
            "neardup_retries",
            "Operations retried, by operation: connect, poll, describe, decide, deliver, refresh after an outage; "
            "index_commit after another consumer's insertion",
            ["operation"],
            registry=registry,
        )
        for operation in OPERATIONS:
            self.retries.labels(operation)
        self._index_retries = 0
        self.redis_errors = Counter("neardup_redis_errors", "Calls to Redis that failed", registry=registry)
        self.kafka_errors = Counter("neardup_kafka_errors", "Calls to Kafka that failed", registry=registry)
        self.store_errors = Counter(
            "neardup_store_errors", "Batches that waited because an image store did not answer", registry=registry
        )
        self.ready = Gauge(
            "neardup_ready", "1 when both servers were reached and the index is loaded, else 0", registry=registry
        )
        self.worker_restarts = Counter(
            "neardup_worker_restarts", "Workers of --workers that ended unasked and were replaced", registry=registry
        )
        self.build_info = Gauge(
            "neardup_build_info",
            "Always 1; which version, index and descriptor this process runs",
            ["version", "index", "generation", "descriptor"],
            registry=registry,
        )

    def _declare_http(self) -> None:
        registry = self.registry
        self.http_requests = Counter(
            "neardup_http_requests",
            "Requests that the look-up service has answered, by endpoint and status",
            ["endpoint", "status"],
            registry=registry,
        )
        self.http_request_seconds = Histogram(
            "neardup_http_request_seconds",
            "Seconds from a request's headers to its response, by endpoint; without those told to come again",
            ["endpoint"],
            buckets=_STAGE_BUCKETS_S,
            registry=registry,
        )
        for endpoint in ENDPOINTS:
            self.http_request_seconds.labels(endpoint)
        self.http_in_flight = Gauge(
            "neardup_http_in_flight", "Images that the look-up service has in work", registry=registry
        )

    @contextmanager
    def stage(self, stage: str, seconds: dict[str, float]) -> Iterator[None]:
        """Time a stage of one batch, and add it to the seconds of its stages."""
        started = time.perf_counter()
        try:
            yield
        finally:
            elapsed_s = time.perf_counter() - started
            seconds[stage] = elapsed_s
            self.stage_seconds.labels(stage).observe(elapsed_s)

    def errors_of(self, service: str) -> Counter:
        """Return the counter of a service's failures: ``redis``, ``kafka`` or ``store``."""
        return {"redis": self.redis_errors, "store": self.store_errors}.get(service, self.kafka_errors)

    def show_lag(self, lag: Mapping[tuple[str, int], int]) -> None:
        """Show the lag of the partitions assigned now, and of no others."""
        self.consumer_lag.clear()
        for (topic, partition), messages in lag.items():
            self.consumer_lag.labels(topic, str(partition)).set(messages)

    def show_index(self, meta: IndexMeta, stats: IndexStats, version: str) -> None:
        """Show sizes and identity of the live index."""
        self.index_members.set(stats.members)
        self.index_clusters.set(stats.clusters)
        self.cache_bytes.set(stats.cache_bytes)
        self.retries.labels("index_commit").inc(stats.retries - self._index_retries)
        self._index_retries = stats.retries
        for rank, quantile in SIZE_RANKS.items():
            size = float(np.quantile(stats.cluster_sizes, quantile, method="higher")) if stats.cluster_sizes else 0.0
            self.cluster_members.labels(rank).set(size)
        self.show_build(meta, version)

    def leave_out_index(self) -> None:
        """Show no sizes of an index, where none is opened: zeros would look like an empty one."""
        for gauge in (self.index_members, self.index_clusters, self.cluster_members, self.cache_bytes):
            self.registry.unregister(gauge)

    def show_build(self, meta: IndexMeta, version: str) -> None:
        """Show which version runs, and for which index."""
        self.build_info.clear()
        self.build_info.labels(version, meta.name, str(meta.generation), meta.fingerprint).set(1)
