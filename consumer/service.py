"""Puts the service together from its settings, and runs it."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from consumer.backoff import Backoff
from consumer.claim_checks.reader import UriReader
from consumer.claim_checks.scheme import FetchSettings
from consumer.ending import stopped_by_signals
from consumer.handler import Handler, OutputTopics
from consumer.health import Health, HealthServer
from consumer.loop import Loop
from consumer.metrics import Metrics
from consumer.settings import (
    EXACTLY_ONCE,
    MAX_WAIT_MS,
    POLL_TIMEOUT_S,
    ClaimCheckSettings,
    JudgingSettings,
    ServiceSettings,
)
from consumer.transport.at_least_once import AtLeastOnceDelivery
from consumer.transport.base import Delivery, Source
from neardup import __version__
from neardup.cores import count_of
from neardup.decoding.pool import open_decoder
from neardup.errors import RedisUnavailable, Unavailable
from neardup.index.base import Index
from neardup.index.descriptor import descriptor_of
from neardup.index.redis import Probe, RedisIndex, RedisIndexOptions
from neardup.index.retention import Retention
from neardup.index.shared.views import SharedViews
from neardup.index.stored.connection import connect
from neardup.settings.decoding import decode_limits, work_limits

REFRESH_S = 5.0
"""How often the index sizes are read: one round trip that returns the size of every cluster."""

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


def serve(settings: ServiceSettings) -> None:
    """Run the service on Kafka and Redis until SIGTERM or SIGINT.

    Raises
    ------
    Misconfigured
        It cannot start, or cannot continue.
    ShutdownTimeout
        A server was still away when the shutdown timeout ran out.
    """
    metrics, health, stop = Metrics(), Health(), threading.Event()
    with (
        stopped_by_signals(stop),
        HealthServer(settings.metrics_host, settings.metrics_port, metrics.registry, health),
    ):
        judge_stream(settings, metrics, health, stop)


def judge_stream(
    settings: ServiceSettings,
    metrics: Metrics,
    health: Health,
    stop: threading.Event,
    shared: SharedViews | None = None,
) -> None:
    """Judge the images of the topic until told to stop; raises as `serve`.

    `shared` is where other workers on this machine leave what they know of the index.
    """
    with one_thread_a_product():
        open_uris(settings, settings.max_image_bytes).close()  # report a wrong prefix before waiting for Redis
        index = open_redis_index(settings, stop, health, metrics, shared)
        if index is None:
            return
        source, delivery = kafka_transport(settings, metrics)
        run(
            settings,
            index,
            source,
            delivery,
            topics=output_topics(settings),
            pass_headers=settings.pass_headers,
            claim_checks=settings,
            poll_timeout_s=settings.poll_timeout_s,
            max_wait_ms=settings.max_wait_ms,
            metrics=metrics,
            health=health,
            stop=stop,
        )


def one_thread_a_product() -> contextlib.AbstractContextManager[object]:
    """Compute products of matrices in the thread that asks: they are small, and others would spin between them."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - looks through all libraries that are loaded

    limits: contextlib.AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits


def kafka_transport(settings: ServiceSettings, metrics: Metrics) -> tuple[Source, Delivery]:
    """Return the source and the delivery that ``--delivery`` asks for."""
    from consumer.transport.exactly_once import ExactlyOnceDelivery  # noqa: PLC0415 - as above
    from consumer.transport.kafka import KafkaSink, KafkaSource  # noqa: PLC0415 - folder mode does without Kafka

    exactly_once = settings.delivery == EXACTLY_ONCE
    topics = output_topics(settings).names
    source = KafkaSource(settings, read_committed=exactly_once, count_lost=metrics.lost_messages.inc)
    if exactly_once:
        return source, ExactlyOnceDelivery(settings, source, topics)
    return source, AtLeastOnceDelivery(source, KafkaSink(settings, topics))


def output_topics(settings: ServiceSettings) -> OutputTopics:
    """Return where outcomes go."""
    return OutputTopics(settings.verdicts_topic, settings.dead_letters_topic)


def open_redis_index(
    settings: JudgingSettings,
    stop: threading.Event,
    health: Health,
    metrics: Metrics,
    shared: SharedViews | None = None,
) -> RedisIndex | None:
    """Open the index, waiting for Redis as long as it takes; None when told to stop meanwhile."""

    def attempt() -> RedisIndex:
        client = connect(settings.redis_url, settings.redis_password)
        return RedisIndex(client, settings.index, options=_index_options(settings, shared))

    return _await_redis(attempt, stop, health, metrics)


def _await_redis(
    attempt: Callable[[], Result], stop: threading.Event, health: Health, metrics: Metrics
) -> Result | None:
    """Return what an attempt returns once Redis answers; None when told to stop meanwhile."""
    backoff = Backoff()
    while not stop.is_set():
        health.turned()
        try:
            return attempt()
        except RedisUnavailable as error:
            wait_s = backoff.next_wait_s()
            health.not_ready("redis is away")
            metrics.errors_of(error.service).inc()
            metrics.retries.labels("connect").inc()
            _log.warning("connect: %s; retrying in %.1f s", error, wait_s)
            time.sleep(wait_s)  # not stop.wait: a signal's stop.set would wait for the lock that it holds
    return None


def _index_options(settings: JudgingSettings, shared: SharedViews | None) -> RedisIndexOptions:
    window_ms = None if settings.retention_s is None else 1000 * settings.retention_s
    return RedisIndexOptions(
        decision_ttl_s=settings.decision_ttl_s,
        cache_bytes=settings.cache_bytes,
        max_cluster=settings.max_cluster,
        retention=Retention(window_ms),
        probe=Probe(settings.probe),
        shared=shared,
    )


def run(
    settings: JudgingSettings,
    index: Index,
    source: Source,
    delivery: Delivery,
    *,
    topics: OutputTopics,
    pass_headers: Collection[str] = (),
    claim_checks: ClaimCheckSettings,
    poll_timeout_s: float = POLL_TIMEOUT_S,
    max_wait_ms: float = MAX_WAIT_MS,
    metrics: Metrics,
    health: Health,
    stop: threading.Event,
) -> None:
    """Judge what the source gives with the index's own descriptor, until stopped or exhausted."""
    descriptor = _await_redis(
        lambda: descriptor_of(index, settings.descriptor, settings.weights), stop, health, metrics
    )
    if descriptor is None:
        return
    workers = count_of(settings.decode_workers)
    with (
        open_uris(claim_checks, settings.max_image_bytes) as uris,
        open_decoder(workers, decode_limits(settings), work_limits(settings)) as decoder,
        ThreadPoolExecutor(workers, thread_name_prefix="decode") as executor,
    ):
        loop = Loop(
            source=source,
            delivery=delivery,
            handler=Handler(
                descriptor=descriptor,
                index=index,
                topics=topics,
                pass_headers=pass_headers,
                executor=executor,
                decoder=decoder,
                repeat_bytes=settings.repeat_bytes,
                uris=uris,
                metrics=metrics,
            ),
            metrics=metrics,
            health=health,
            refresh=lambda: metrics.show_index(index.meta, index.stats(), __version__),
            refresh_s=REFRESH_S,
            stop=stop,
            batch_size=settings.batch_size,
            poll_timeout_s=poll_timeout_s,
            max_wait_s=max_wait_ms / 1000,
            shutdown_timeout_s=settings.shutdown_timeout_s,
        )
        try:
            loop.run()
        finally:
            health.not_ready("stopping")
            metrics.ready.set(0)
            _close(delivery)
            _close(source)


def open_uris(settings: ClaimCheckSettings, max_image_bytes: int) -> UriReader:
    """Return the reader of claim checks; close it when done.

    Raises
    ------
    Misconfigured
        A prefix cannot be read, or its extra is not installed.
    """
    fetch = FetchSettings(
        timeout_s=settings.uri_timeout_s,
        patience_s=settings.uri_patience_s,
        private_addresses=settings.allow_private_addresses,
        ca_file=settings.uri_ca_file,
    )
    return UriReader(settings.allow_uri, max_image_bytes, fetch)


def _close(client: Source | Delivery) -> None:
    # Everything is acknowledged and committed by now: an outage while closing must not hide the real result.
    try:
        client.close()
    except Unavailable as error:
        _log.warning("closing: %s", error)
