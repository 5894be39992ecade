"""Puts the service together from its settings, and runs it."""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from consumer.handler import Handler, OutputTopics
from consumer.health import Health, HealthServer
from consumer.loop import Loop
from consumer.metrics import Metrics
from consumer.settings import Settings
from consumer.transport.base import Sink, Source
from consumer.uris import UriReader
from neardup import __version__
from neardup.decode import DecodeLimits
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.descriptors.projected import projected
from neardup.errors import RedisUnavailable, Unavailable
from neardup.index.base import Index
from neardup.index.connection import connect
from neardup.index.redis import Probe, RedisIndex, RedisIndexOptions
from neardup.index.retention import Retention

REFRESH_S = 5.0
"""Sizes of the index are read this often: one round trip with a length for each cluster."""

_log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Run the service on Kafka and Redis until SIGTERM or SIGINT.

    Raises
    ------
    Misconfigured
        It cannot run, or cannot run on.
    ShutdownTimeout
        A server stayed away beyond the time to shut down.
    """
    from consumer.transport.kafka import KafkaSink, KafkaSource  # noqa: PLC0415 - folder mode does without Kafka

    metrics, health, stop = Metrics(), Health(), threading.Event()
    with (
        stopped_by_signals(stop),
        HealthServer(settings.metrics_host, settings.metrics_port, metrics.registry, health) as http,
    ):
        _log.info("serving /metrics, /healthz and /readyz on http://%s:%d", settings.metrics_host, http.port)
        index = open_redis_index(settings, stop, health)
        if index is None:
            return
        source = KafkaSource(settings, settings.group)
        sink = KafkaSink(settings, [settings.verdicts, settings.dead_letters])
        run(settings, index, source, sink, metrics=metrics, health=health, stop=stop)


@contextlib.contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Set `stop` on SIGTERM and SIGINT."""

    def note(number: int, _frame: object) -> None:
        _log.info("%s: finishing the batch in hand", signal.Signals(number).name)
        stop.set()

    earlier = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def open_redis_index(settings: Settings, stop: threading.Event, health: Health) -> RedisIndex | None:
    """Open the index, waiting for Redis as long as it takes; None when told to stop meanwhile."""
    while not stop.is_set():
        health.turned()
        try:
            return RedisIndex(connect(settings.redis_url), settings.index, options=_index_options(settings))
        except RedisUnavailable as error:
            health.not_ready("redis is away")
            _log.warning("%s; again in 1 s", error)
            time.sleep(1.0)  # not stop.wait: a signal's stop.set would wait for the lock that it holds
    return None


def _index_options(settings: Settings) -> RedisIndexOptions:
    window_ms = None if settings.retention_s is None else 1000 * settings.retention_s
    return RedisIndexOptions(
        decision_ttl_s=settings.decision_ttl_s,
        cache_bytes=settings.cache_bytes,
        max_cluster=settings.max_cluster,
        retention=Retention(window_ms),
        probe=Probe(settings.probe),
    )


def run(
    settings: Settings,
    index: Index,
    source: Source,
    sink: Sink,
    *,
    metrics: Metrics,
    health: Health,
    stop: threading.Event,
) -> None:
    """Judge what the source gives with the index's own descriptor, until stopped or exhausted."""
    descriptor = descriptor_of(index, settings)
    with ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decode") as executor:
        loop = Loop(
            source=source,
            sink=sink,
            handler=_handler(settings, index, descriptor, executor, metrics),
            metrics=metrics,
            health=health,
            refresh=_every(REFRESH_S, lambda: metrics.show_index(index.meta, index.stats(), __version__)),
            stop=stop,
            batch_size=settings.batch_size,
            poll_timeout_s=settings.poll_timeout_s,
            shutdown_timeout_s=settings.shutdown_timeout_s,
        )
        try:
            loop.run()
        finally:
            health.not_ready("stopping")
            metrics.ready.set(0)
            _close(sink)
            _close(source)


def _close(client: Source | Sink) -> None:
    # What is to be kept is acknowledged and committed by now: a server that is away must not hide how we ended.
    try:
        client.close()
    except Unavailable as error:
        _log.warning("closing: %s", error)


def descriptor_of(index: Index, settings: Settings) -> Descriptor:
    """Load the descriptor that the index was built by, and check that it is the very same one.

    Raises
    ------
    IndexMismatch
        Other version, other weights, or the settings ask for another one.
    """
    wanted = settings.descriptor or index.meta.descriptor
    descriptor = projected(load_descriptor(wanted, settings.weights), index.pca())
    index.meta.check_descriptor(descriptor.fingerprint)
    return descriptor


def _handler(
    settings: Settings, index: Index, descriptor: Descriptor, executor: ThreadPoolExecutor, metrics: Metrics
) -> Handler:
    return Handler(
        descriptor=descriptor,
        index=index,
        topics=OutputTopics(settings.verdicts, settings.dead_letters),
        executor=executor,
        limits=DecodeLimits(settings.max_image_bytes, settings.max_image_pixels),
        uris=UriReader(settings.allow_uri, settings.max_image_bytes),
        metrics=metrics,
    )


def _every(
    period_s: float, act: Callable[[], None], monotonic: Callable[[], float] = time.monotonic
) -> Callable[[], None]:
    """Return a function that acts when it is called, but no more often than once in the period."""
    due = float("-inf")

    def act_when_due() -> None:
        nonlocal due
        if monotonic() >= due:
            act()
            due = monotonic() + period_s

    return act_when_due
