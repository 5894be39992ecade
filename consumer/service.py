"""Puts the service together from its settings, and runs it."""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict, TypeVar

from consumer.backoff import Backoff
from consumer.claim_checks.reader import UriReader
from consumer.claim_checks.scheme import FetchSettings
from consumer.ending import stopped_by_signals
from consumer.handler import Handler, ImageDescriber, Judge, OutputTopics, Steps
from consumer.health import Health, HealthServer
from consumer.loop import Loop
from consumer.metrics import Metrics
from consumer.roles.decider import DecidingSteps
from consumer.roles.describer import DescriberTopics, DescribingSteps
from consumer.roles.foreign import DECIDE, DESCRIBE
from consumer.roles.head import LiveHead
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
from neardup.decoding.pool import Decoder, open_decoder
from neardup.errors import RedisUnavailable, Unavailable
from neardup.index.base import Index
from neardup.index.descriptor import descriptor_of
from neardup.index.redis import Probe, RedisIndex, RedisIndexOptions
from neardup.index.retention import Retention
from neardup.index.shared.folder import lasting_folder
from neardup.index.shared.views import SharedViews
from neardup.index.stored.connection import connect
from neardup.settings.decoding import decode_limits, work_limits

REFRESH_S = 5.0
"""How often the index sizes are read: one round trip that returns the size of every cluster."""
_TURN_S = 0.0005
"""How long a thread computes while another one wants to; docs/performance.md has what it brings."""

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
    """Do what the role says with the messages of its topic until told to stop; raises as `serve`.

    `shared` is where other workers on this machine leave what they know of the index.
    """
    if settings.index_cache is not None and settings.role != DESCRIBE:
        folder = lasting_folder(Path(settings.index_cache), settings.index, settings.cache_bytes)
        shared = SharedViews(folder, lasting=True)
    with suited_to_threads():
        if settings.role != DECIDE:
            open_uris(settings, settings.max_image_bytes).close()  # report a wrong prefix before waiting for Redis
        if settings.role == DESCRIBE:
            _describe_stream(settings, metrics, health, stop)
            return
        index = open_redis_index(settings, stop, health, metrics, shared)
        if index is None:
            return
        topics = output_topics(settings)
        source, delivery = kafka_transport(settings.of_role(), metrics)
        turns = {"poll_timeout_s": settings.poll_timeout_s, "max_wait_ms": settings.max_wait_ms}
        if settings.role == DECIDE:
            steps = DecidingSteps(index, Judge(index, topics, metrics))
            turn(
                settings,
                steps,
                source,
                delivery,
                metrics=metrics,
                health=health,
                stop=stop,
                refresh=shown_by(index, metrics),
                **turns,
            )
        else:
            run(
                settings,
                index,
                source,
                delivery,
                topics=topics,
                pass_headers=settings.pass_headers,
                claim_checks=settings,
                metrics=metrics,
                health=health,
                stop=stop,
                **turns,
            )
        index.leave()


def _describe_stream(settings: ServiceSettings, metrics: Metrics, health: Health, stop: threading.Event) -> None:
    """Describe the images of the topic: no index is opened, and none of its sizes are shown."""
    metrics.leave_out_index()
    head = await_redis(
        lambda: LiveHead(connect(settings.redis_url, settings.redis_password), settings.index), stop, health, metrics
    )
    if head is None:
        return
    descriptor = descriptor_of(head, settings.descriptor, settings.weights)
    topics = DescriberTopics(settings.descriptors_topic, settings.dead_letters_topic)
    source, delivery = kafka_transport(settings, metrics, topics.names)
    with _tools(settings, settings) as tools:
        images = ImageDescriber(
            descriptor=descriptor,
            relation=lambda: head.meta.relation,
            metrics=metrics,
            repeat_bytes=settings.repeat_bytes,
            **tools,
        )
        turn(
            settings,
            DescribingSteps(images, head, topics, settings.pass_headers),
            source,
            delivery,
            metrics=metrics,
            health=health,
            stop=stop,
            refresh=lambda: metrics.show_build(head.meta, __version__),
            poll_timeout_s=settings.poll_timeout_s,
            max_wait_ms=settings.max_wait_ms,
        )


@contextlib.contextmanager
def suited_to_threads() -> Iterator[None]:
    """Have Python and BLAS suit threads that mostly wait: for decoding processes, Redis and Kafka.

    Products of matrices are small and computed in the thread that asks: others would spin between them. And threads
    take turns often, or a decoding process that has answered waits until a busy thread has had its whole turn.
    """
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - looks through all libraries that are loaded

    before_s = sys.getswitchinterval()
    with threadpool_limits(1, user_api="blas"):
        sys.setswitchinterval(_TURN_S)
        try:
            yield
        finally:
            sys.setswitchinterval(before_s)


def kafka_transport(
    settings: ServiceSettings, metrics: Metrics, topics: Sequence[str] | None = None
) -> tuple[Source, Delivery]:
    """Return the source and the delivery that ``--delivery`` asks for.

    `topics` are those that are published to; None stands for those of verdicts.
    """
    topics = output_topics(settings).names if topics is None else topics
    from consumer.transport.exactly_once import ExactlyOnceDelivery  # noqa: PLC0415 - as above
    from consumer.transport.kafka import KafkaSink, KafkaSource  # noqa: PLC0415 - folder mode does without Kafka

    exactly_once = settings.delivery == EXACTLY_ONCE
    source = KafkaSource(settings, read_committed=exactly_once, count_lost=metrics.lost_messages.inc)
    if exactly_once:
        return source, ExactlyOnceDelivery(settings, source, topics)
    return source, AtLeastOnceDelivery(source, KafkaSink(settings, topics))


def output_topics(settings: ServiceSettings) -> OutputTopics:
    """Return where outcomes go."""
    return OutputTopics(settings.verdicts_topic, settings.dead_letters_topic, settings.unique_topic)


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
        return RedisIndex(client, settings.index, options=_index_options(settings, health, shared))

    return await_redis(attempt, stop, health, metrics)


def await_redis(
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


def _index_options(settings: JudgingSettings, health: Health, shared: SharedViews | None) -> RedisIndexOptions:
    window_ms = None if settings.retention_s is None else 1000 * settings.retention_s
    return RedisIndexOptions(
        decision_ttl_s=settings.decision_ttl_s,
        cache_bytes=settings.cache_bytes,
        replicas=settings.wait_replicas,
        max_cluster=settings.max_cluster,
        retention=Retention(window_ms),
        probe=Probe(settings.probe),
        shared=shared,
        busy=health.busy,
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
    descriptor = await_redis(lambda: descriptor_of(index, settings.descriptor, settings.weights), stop, health, metrics)
    if descriptor is None:
        return
    with _tools(settings, claim_checks) as tools:
        handler = Handler(
            descriptor=descriptor,
            index=index,
            topics=topics,
            pass_headers=pass_headers,
            repeat_bytes=settings.repeat_bytes,
            metrics=metrics,
            **tools,
        )
        turn(
            settings,
            handler,
            source,
            delivery,
            metrics=metrics,
            health=health,
            stop=stop,
            refresh=shown_by(index, metrics),
            poll_timeout_s=poll_timeout_s,
            max_wait_ms=max_wait_ms,
        )


class _Tools(TypedDict):
    """What images are read and decoded with."""

    uris: UriReader
    decoder: Decoder
    executor: ThreadPoolExecutor


@contextlib.contextmanager
def _tools(settings: JudgingSettings, claim_checks: ClaimCheckSettings) -> Iterator[_Tools]:
    workers = count_of(settings.decode_workers)
    with (
        open_uris(claim_checks, settings.max_image_bytes) as uris,
        open_decoder(workers, decode_limits(settings), work_limits(settings)) as decoder,
        ThreadPoolExecutor(workers, thread_name_prefix="decode") as executor,
    ):
        yield {"uris": uris, "decoder": decoder, "executor": executor}


def shown_by(index: Index, metrics: Metrics) -> Callable[[], None]:
    """Return what shows the sizes of an index."""
    return lambda: metrics.show_index(index.meta, index.stats(), __version__)


def turn(
    settings: JudgingSettings,
    steps: Steps,
    source: Source,
    delivery: Delivery,
    *,
    metrics: Metrics,
    health: Health,
    stop: threading.Event,
    refresh: Callable[[], None],
    poll_timeout_s: float,
    max_wait_ms: float,
) -> None:
    """Take what the source gives through the two steps and deliver what comes of it, until stopped or exhausted."""
    loop = Loop(
        source=source,
        delivery=delivery,
        handler=steps,
        metrics=metrics,
        health=health,
        refresh=refresh,
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
