"""Judges and looks up images with one index, in batches: the consumer's handler, between requests and Redis."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

from consumer.backoff import Backoff
from consumer.claim_checks.reader import UriReader
from consumer.handler import Described, Handler, Outcome
from consumer.health import Health
from consumer.logs import report_lookup, report_outcomes
from consumer.messages import ImageMessage, parse_message
from consumer.metrics import Metrics
from consumer.serve.admission import Ticket
from consumer.serve.batching import Batcher
from consumer.serve.documents import Document, lookup_document
from consumer.serve.problems import AWAY_S, come_again
from neardup import __version__
from neardup.errors import BadInput, Misconfigured, RelationMismatch, Unavailable
from neardup.index.base import IndexMeta
from neardup.index.looking.neighbours import Neighbours, neighbours
from neardup.index.redis import RedisIndex
from neardup.types import Query

WATCH_S = 5.0
"""How often Redis is asked for the sizes of the index, which is also how an outage is noticed while nobody asks."""
_LONGEST_AWAY_S = 2.0
"""How long it may take to notice that Redis is back."""
_DESCRIBED_AT_ONCE = 2
"""Batches, so that no decoding process waits for the last images of one."""
_FETCHED_AT_ONCE = 8
_EXPLAINED_AT_ONCE = 2

Result = TypeVar("Result")
Looked = tuple[Query | BadInput, str | None, Neighbours | None, IndexMeta]
_log = logging.getLogger(__name__)


class Judging:
    """One index and what judges by it; for one event loop. Each step has threads of its own, the index one alone.

    Parameters
    ----------
    index, handler, uris
        As the consumer has them.
    metrics, health
        Where progress is reported.
    batch_size
        Largest batch.
    """

    def __init__(
        self,
        *,
        index: RedisIndex,
        handler: Handler,
        uris: UriReader,
        metrics: Metrics,
        health: Health,
        batch_size: int,
    ) -> None:
        self._index, self._handler, self._uris = index, handler, uris
        self._metrics, self._health = metrics, health
        self._worried = asyncio.Event()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stack = ExitStack()
        self._describers = self._threads("describe", _DESCRIBED_AT_ONCE)
        self._index_thread = self._threads("index", 1)
        self._fetchers = self._threads("fetch", _FETCHED_AT_ONCE)
        self._explainers = self._threads("explain", _EXPLAINED_AT_ONCE)
        self._judged = Batcher(self._judge_all, batch_size, _DESCRIBED_AT_ONCE)
        self._looked_up = Batcher(self._look_up_all, batch_size, _DESCRIBED_AT_ONCE)

    def _threads(self, name: str, most: int) -> ThreadPoolExecutor:
        threads = ThreadPoolExecutor(most, thread_name_prefix=name)
        # An end waits for what has begun, which has time limits of its own; not for all that queues behind it.
        self._stack.callback(threads.shutdown, cancel_futures=True)
        return threads

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # -- one image ----------------------------------------------------------------------------------------------------

    async def judge(self, message: ImageMessage, ticket: Ticket) -> Outcome:
        """Return what the stream would have made of a message; what was decided stays decided.

        Raises
        ------
        Problem, Unavailable, Misconfigured
            It is not known what has been decided, if anything: the same message may be judged again.
        """
        return await self._judged.ask(await self._fetched(message, ticket))

    async def look_up(self, message: ImageMessage, limit: int, ticket: Ticket) -> Document:
        """Return what is near an image; nothing is decided, and nothing kept.

        Raises
        ------
        BadInput
            It cannot be judged.
        Problem, Unavailable, Misconfigured
            As `judge`.
        """
        query, uri, found, meta = await self._looked_up.ask((await self._fetched(message, ticket), limit))
        if isinstance(query, BadInput) or found is None:
            raise query if isinstance(query, BadInput) else TypeError
        at = datetime.now(UTC)
        document = await self._run(self._explainers, lambda: lookup_document(query, found, meta, uri, at))
        report_lookup(document)
        return document

    async def _fetched(self, message: ImageMessage, ticket: Ticket) -> ImageMessage:
        """Read what a message's envelope names, if it is one: each by itself, as one store may be away."""
        try:
            uri = parse_message(message).uri
        except BadInput:
            return message  # the handler says so
        if uri is None:
            return message
        try:
            data = await self._run(self._fetchers, lambda: self._uris.read(uri))
        except BadInput as error:
            return replace(message, read=_raising(error))
        ticket.carry(len(data))
        return replace(message, read=lambda: data)

    # -- batches ------------------------------------------------------------------------------------------------------

    async def _judge_all(self, messages: Sequence[ImageMessage]) -> list[Outcome]:
        described = await self._described(messages)
        return await self._run(self._index_thread, lambda: self._decide(described))

    def _decide(self, described: Described) -> list[Outcome]:
        outcomes = self._handler.decide(described)
        report_outcomes(outcomes, described.took_s, self._metrics)
        return outcomes

    async def _look_up_all(self, asked: Sequence[tuple[ImageMessage, int]]) -> list[Looked]:
        described = await self._described([message for message, _ in asked])
        limits = [limit for _, limit in asked]
        return await self._run(self._index_thread, lambda: self._find(described, limits))

    def _find(self, described: Described, limits: Sequence[int]) -> list[Looked]:
        """Look up a batch; describe it again if a new generation compares images in another way."""
        try:
            return [
                (query, uri, self._found(query, limit), self._index.meta)
                for (_, uri, query), limit in zip(described.items, limits, strict=True)
            ]
        except RelationMismatch:
            return self._find(self._handler.describe([message for message, _, _ in described.items]), limits)

    def _found(self, query: Query | BadInput, limit: int) -> Neighbours | None:
        return None if isinstance(query, BadInput) else neighbours(self._index, query, limit)

    async def _described(self, messages: Sequence[ImageMessage]) -> Described:
        self._metrics.batch_images.observe(len(messages))
        return await self._run(self._describers, lambda: self._handler.describe(messages))

    async def _run(self, threads: Executor, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except BadInput:
            raise
        except Unavailable as error:
            self._away(error)
            raise come_again(f"{error.service} is away: send it again later", AWAY_S) from error
        except Exception as error:
            self._note(error)
            raise

    # -- outages and the end ------------------------------------------------------------------------------------------

    def _away(self, error: Unavailable) -> None:
        self._metrics.errors_of(error.service).inc()
        _log.warning("%s", error)
        if error.service != "store":  # that is one image's
            self._health.not_ready(f"{error.service} is away")
            self._metrics.ready.set(0)
            self._worried.set()

    def _note(self, error: Exception) -> None:
        """Note what ends the service: as the consumer, it does not go on without its index."""
        if isinstance(error, Misconfigured) and not self.failed.done():
            self._health.not_ready("stopping")
            self.failed.set_exception(error)

    async def watch(self) -> None:
        """Ask Redis for the sizes of the index now and then, more often while it is away; until cancelled."""
        backoff = Backoff(longest_s=_LONGEST_AWAY_S)
        while True:
            self._worried.clear()
            try:
                await asyncio.get_running_loop().run_in_executor(self._index_thread, self._refresh)
            except Unavailable as error:
                self._away(error)
                self._metrics.retries.labels("refresh").inc()
                await asyncio.sleep(backoff.next_wait_s())
            except Exception as error:
                self._note(error)
                raise
            else:
                backoff.reset()
                self._health.ready()
                self._metrics.ready.set(1)
                await self._pause()
            finally:
                self._health.turned()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(WATCH_S):
                await self._worried.wait()
        except TimeoutError:
            return

    def _refresh(self) -> None:
        self._metrics.show_index(self._index.meta, self._index.stats(), __version__)


def _raising(error: BadInput) -> Callable[[], bytes]:
    def read() -> bytes:
        raise error

    return read
