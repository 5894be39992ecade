"""Puts the look-up service together from its settings, and runs it.

Exit codes: 0 stopped on request, 1 something was still in work when the shutdown timeout ran out, 2 wrong settings or
an index that does not fit, 3 an unexpected error, 130 a second SIGINT, 143 a second SIGTERM.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing

from aiohttp import web

from consumer.claim_checks.reader import UriReader
from consumer.ending import SERVE, stopped_by_signals
from consumer.handler import Handler, OutputTopics
from consumer.health import Health
from consumer.loop import ShutdownTimeout
from consumer.metrics import Metrics
from consumer.serve.application import Application
from consumer.serve.connections import listen
from consumer.serve.judging import Judging
from consumer.serve.settings import ServeSettings
from consumer.serve.tokens import TokenFile
from consumer.serve.uploads import TOPIC
from consumer.service import await_redis, open_redis_index, open_uris, suited_to_threads
from neardup.cores import count_of
from neardup.decoding.pool import open_decoder
from neardup.errors import Misconfigured
from neardup.index.descriptor import descriptor_of
from neardup.index.redis import RedisIndex
from neardup.settings.decoding import decode_limits, work_limits

_LOOK_S = 0.05
"""How often the event loop looks whether a signal has come; an end waits for it."""
_LAST_WORDS_S = 5.0
"""For responses that are being written when all is answered."""
_log = logging.getLogger(__name__)


def serve(settings: ServeSettings) -> None:
    """Answer requests until SIGTERM or SIGINT.

    Raises
    ------
    Misconfigured
        It cannot start, or cannot continue.
    ShutdownTimeout
        Something was still in work when the shutdown timeout ran out.
    """
    stop = threading.Event()
    tokens = None if settings.token_file is None else TokenFile(settings.token_file)
    open_uris(settings, settings.max_image_bytes).close()  # report a wrong prefix before waiting for Redis
    with stopped_by_signals(stop, SERVE), suited_to_threads():
        asyncio.run(_serve(settings, tokens, stop))


async def _serve(settings: ServeSettings, tokens: TokenFile | None, stop: threading.Event) -> None:
    metrics, health = Metrics(), Health()
    application = Application(settings, tokens, metrics, health)
    async with _listening(settings, application) as door:
        opened = await asyncio.to_thread(_opened, settings, metrics, health, stop)
        if opened is None:
            return
        handler, index, uris, stack = opened
        with (
            stack,
            Judging(
                index=index, handler=handler, uris=uris, metrics=metrics, health=health, batch_size=settings.batch_size
            ) as judging,
        ):
            application.judging = judging
            watching = asyncio.create_task(judging.watch())
            try:
                await _until_stopped(stop, judging, watching)
            finally:
                # In this order: who asks whether to come here is told no, then nobody can come, then all is answered.
                application.ending = True
                watching.cancel()
                if not judging.failed.cancel():
                    judging.failed.exception()  # it was told
                health.not_ready("stopping")
                metrics.ready.set(0)
                door.close()
                await _drain(application, settings.shutdown_timeout_s)


@asynccontextmanager
async def _listening(settings: ServeSettings, application: Application) -> AsyncIterator[asyncio.Server]:
    """Listen before there is an index: ``/readyz`` says what is missing."""
    runner = web.AppRunner(application.app(), access_log=None, shutdown_timeout=_LAST_WORDS_S)
    await runner.setup()
    try:
        try:
            door = await listen(runner, settings.host, settings.port, settings.max_connections)
        except (OSError, OverflowError) as exc:
            raise Misconfigured(f"--host {settings.host}, --port {settings.port}: cannot listen there: {exc}") from exc
        host, port = door.sockets[0].getsockname()[:2]
        _log.info("serving /lookup and /judge on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        with closing(door):
            yield door
    finally:
        await runner.cleanup()


Opened = tuple[Handler, RedisIndex, UriReader, ExitStack]


def _opened(settings: ServeSettings, metrics: Metrics, health: Health, stop: threading.Event) -> Opened | None:
    """Open the index, waiting for Redis as long as it takes, and what judges by it; None when told to stop meanwhile.

    What is opened is closed by the stack.
    """
    index = open_redis_index(settings, stop, health, metrics)
    if index is None:
        return None
    descriptor = await_redis(lambda: descriptor_of(index, settings.descriptor, settings.weights), stop, health, metrics)
    if descriptor is None:
        return None
    workers = count_of(settings.decode_workers)
    with ExitStack() as stack:
        uris = stack.enter_context(open_uris(settings, settings.max_image_bytes))
        decoder = stack.enter_context(open_decoder(workers, decode_limits(settings), work_limits(settings)))
        handler = Handler(
            descriptor=descriptor,
            index=index,
            topics=OutputTopics(TOPIC, TOPIC),
            executor=stack.enter_context(ThreadPoolExecutor(workers, thread_name_prefix="decode")),
            decoder=decoder,
            repeat_bytes=settings.repeat_bytes,
            uris=uris,
            metrics=metrics,
        )
        return handler, index, uris, stack.pop_all()
    raise AssertionError  # the stack hides no error


async def _until_stopped(stop: threading.Event, judging: Judging, watching: "asyncio.Task[None]") -> None:
    """Wait for a signal.

    Raises
    ------
    Misconfigured
        The index is gone, or does not fit any more.
    """
    while not stop.is_set():
        done, _ = await asyncio.wait([judging.failed, watching], timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        # Each is asked, as both may have ended: asyncio logs errors that nobody has seen.
        for error in [ended.exception() for ended in done]:
            if error is not None:
                raise error


async def _drain(application: Application, timeout_s: float) -> None:
    """Wait for what is in work; what has been asked for is answered.

    Raises
    ------
    ShutdownTimeout
        Not all of it, in time.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await application.idle.wait()
    except TimeoutError:
        raise ShutdownTimeout(
            "not all requests were answered; those with a key get the same verdict when they are sent again"
        ) from None
