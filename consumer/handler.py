"""From image messages to verdicts and dead letters; no Kafka in it.

Describing and deciding are the two steps of a batch. The handler does both; `consumer.roles` has those of consumers
that do one of them.
"""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import astuple, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from consumer.claim_checks.reader import UriReader
from consumer.messages import (
    ImageMessage,
    ImageRequest,
    OutgoingMessage,
    dead_letter,
    parse_message,
    unique_message,
    verdict_message,
)
from consumer.metrics import Metrics
from neardup.capture_time import REMARKABLE, capture_time, explained, moment
from neardup.decoding.pool import Decoder
from neardup.describe_batch import BatchDescriber, Compared
from neardup.descriptors.base import Descriptor
from neardup.errors import BadInput, RelationMismatch
from neardup.index.base import Index
from neardup.index.block import member_of
from neardup.relation.describing import Describer, PreparedImage
from neardup.relation.rule import Relation
from neardup.repeats import Repeats
from neardup.types import Query, Verdict
from neardup.wire import Judged

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Described:
    """A described batch: each message with its URI, if it is a claim check, and its query, or what is wrong with it.

    Attributes
    ----------
    items
        In the order of the messages.
    took_s
        Seconds of each stage; deciding adds its own.
    """

    items: tuple[tuple[ImageMessage, str | None, Query | BadInput], ...]
    took_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a message: `judged`, `described` or `error`, and the messages to publish for it, if any."""

    message: ImageMessage
    outgoing: tuple[OutgoingMessage, ...]
    judged: Judged | None = None
    error: BadInput | None = None
    described: Query | None = None


class Steps(Protocol):
    """What the loop has done with each batch, in two steps, so that an outage repeats only one of them.

    Several batches may be in the first at once; they are decided one after another.
    """

    @property
    def has_idle(self) -> bool:
        """Whether messages would be described at once, and as well in a small batch as in a large one."""

    def describe(self, messages: Sequence[ImageMessage]) -> Described:
        """Return what the messages are judged by, or what is wrong with each."""

    def decide(self, described: Described) -> list[Outcome]:
        """Return an outcome for each message, in order; where it is to be repeated, it says the same.

        Raises
        ------
        RedisUnavailable
            Call again: what was decided stays decided.
        Misconfigured
            It can never succeed.
        """


@dataclass(frozen=True, slots=True)
class OutputTopics:
    """Where outcomes go; each topic must exist. Unique images go on as they came, if there is a topic for them."""

    verdicts: str
    dead_letters: str
    uniques: str | None = None

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [name for name in astuple(self) if name is not None]

    def judged(self, message: ImageMessage, judged: Judged) -> tuple[OutgoingMessage, ...]:
        """Return what is published for an image that was judged."""
        # A unique verdict holds the member's record, also when redelivered: Redis may lose its last writes.
        told = verdict_message(self.verdicts, judged)
        if self.uniques is None or judged.decision.verdict is not Verdict.UNIQUE:
            return (told,)
        return told, unique_message(self.uniques, message, judged)

    def refused(self, message: ImageMessage, error: BadInput) -> tuple[OutgoingMessage, ...]:
        """Return what is published for a message whose image cannot be judged."""
        return (dead_letter(self.dead_letters, message, error),)


def _request(message: ImageMessage) -> ImageRequest | BadInput:
    try:
        return parse_message(message)
    except BadInput as error:
        return error


def _uri(request: ImageRequest | BadInput) -> str | None:
    return None if isinstance(request, BadInput) else request.uri


def _query(
    message: ImageMessage,
    request: ImageRequest | BadInput,
    prepared: PreparedImage | BadInput,
    compared: Compared | BadInput,
) -> Query | BadInput:
    if isinstance(request, BadInput):
        return request
    if isinstance(compared, BadInput):
        return compared
    image, *variants = compared
    return Query(
        key=message.coordinates,
        image_id=request.image_id,
        descriptor=image.descriptor,
        captured_at_ms=request.captured_at_ms,
        kept=image.kept,
        variants=tuple(variants),
        frames=prepared.frames if isinstance(prepared, PreparedImage) else 1,
        seeks_parts=isinstance(prepared, PreparedImage) and prepared.seeks_parts,
    )


def _now() -> datetime:
    return datetime.now(UTC)


class ImageDescriber:
    """Describes batches of image messages; several may be described at once.

    Parameters
    ----------
    descriptor
        The index's own.
    relation
        Returns how the index compares images by now: a later generation may do it in another way.
    executor
        Threads that read images and wait for the decoder.
    decoder
        Decodes them.
    uris
        Reads claim checks.
    metrics
        Where stages are timed.
    repeat_bytes
        Memory for described images, found again by their bytes; see `neardup.repeats`.
    now
        Clock; UTC.
    """

    def __init__(
        self,
        *,
        descriptor: Descriptor,
        relation: Callable[[], Relation],
        executor: Executor,
        decoder: Decoder,
        uris: UriReader,
        metrics: Metrics,
        repeat_bytes: int = 0,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._relation = relation
        self._uris = uris
        self._metrics = metrics
        self._now = now
        self._decoder = decoder
        self._describes_there = descriptor.describer is not None
        self._describing = threading.Lock()

        def describing(relation: Relation) -> BatchDescriber:
            repeats = Repeats(repeat_bytes, metrics.repeated_images.inc)
            return BatchDescriber(Describer(descriptor, relation), decoder, executor, repeats)

        # Kept as long as the index compares alike: every decoding process loads what it is to make of images, and
        # what described images came to is of use for this relation only.
        self._batches = lru_cache(maxsize=1)(describing)

    @property
    def has_idle(self) -> bool:
        """Whether images would be described at once, and as well in a small batch as in a large one."""
        return self._describes_there and self._decoder.has_idle

    def describe(self, messages: Sequence[ImageMessage]) -> Described:
        """Decode in parallel on the executor's threads, then describe as one batch what the decoder left to do.

        The index says how images are compared; a later generation may say something else.
        """
        took_s: dict[str, float] = {}
        batch = self._batches(self._relation())
        with self._metrics.stage("decode", took_s):
            requests = [_request(message) for message in messages]
            prepared: list[PreparedImage | BadInput] = batch.prepare(requests, self._encoded)
        # A network takes one batch at a time.
        with self._describing, self._metrics.stage("describe", took_s):
            results = batch.describe(prepared)
        queries = self._with_known_times(messages, list(map(_query, messages, requests, prepared, results)))
        return Described(tuple(zip(messages, map(_uri, requests), queries, strict=True)), took_s)

    def _with_known_times(
        self, messages: Sequence[ImageMessage], queries: Sequence[Query | BadInput]
    ) -> list[Query | BadInput]:
        """Replace times that are none; count them, and warn once of those that somebody should look after."""
        clock_ms = int(self._now().timestamp() * 1000)
        known: list[Query | BadInput] = []
        remarkable: list[str] = []
        for message, query in zip(messages, queries, strict=True):
            if isinstance(query, BadInput):
                known.append(query)
                continue
            captured = capture_time(query.captured_at_ms, message.timestamp_ms, clock_ms)
            same = captured.ms == query.captured_at_ms
            known.append(query if same else replace(query, captured_at_ms=captured.ms))
            if captured.wrong:
                self._metrics.unknown_times.labels(captured.wrong.value).inc()
            if captured.wrong in REMARKABLE:
                said, sent = explained(query.captured_at_ms, clock_ms), moment(message.timestamp_ms)
                remarkable.append(f"{query.key} was captured at {said}, says its publisher, and sent at {sent}")
        if remarkable:
            _log.warning(
                "the capture time of %d of %d images counts as unknown; here it is %s, and %s",
                *(len(remarkable), len(messages), moment(clock_ms), remarkable[0]),
            )
        return known

    def _encoded(self, request: ImageRequest | BadInput) -> bytes | BadInput:
        if isinstance(request, BadInput):
            return request
        try:
            if request.read is not None:
                return request.read()
            return self._uris.read(request.uri) if request.uri is not None else request.data or b""
        except BadInput as error:
            return error


class Judge:
    """Has the index decide described batches, one after another.

    Parameters
    ----------
    index
        The index.
    topics
        Where outcomes go.
    metrics
        Where it is timed.
    now
        Clock; UTC.
    """

    def __init__(
        self, index: Index, topics: OutputTopics, metrics: Metrics, now: Callable[[], datetime] = _now
    ) -> None:
        self._index = index
        self._topics = topics
        self._metrics = metrics
        self._now = now

    def decide(self, described: Described, pass_headers: Collection[str] | None = None) -> list[Outcome]:
        """Let the index decide the batch; return an outcome for each message, in order.

        Parameters
        ----------
        described
            The batch.
        pass_headers
            Names of headers that a message hands on to its verdict; None for all that it has.

        Raises
        ------
        RedisUnavailable
            Call again: what was decided stays decided.
        RelationMismatch
            A new generation compares images in another way: describe them again.
        """
        queries = [query for _, _, query in described.items if isinstance(query, Query)]
        with self._metrics.stage("decide", described.took_s):
            decisions = iter(self._index.decide(queries) if queries else ())
        decided_at = self._now()
        outcomes = []
        for message, uri, query in described.items:
            if isinstance(query, BadInput):
                outcomes.append(Outcome(message, self._topics.refused(message, query), error=query))
            else:
                judged = Judged(
                    message=message,
                    image_id=query.image_id,
                    captured_at_ms=query.captured_at_ms,
                    decision=next(decisions),
                    meta=self._index.meta,
                    decided_at=decided_at,
                    member=member_of(query),
                    uri=uri,
                    frames=query.frames,
                    passed=tuple(each for each in message.headers if pass_headers is None or each[0] in pass_headers),
                )
                outcomes.append(Outcome(message, self._topics.judged(message, judged), judged=judged))
        return outcomes


class Handler:
    """Judges batches of messages: describes them, and has the index decide; see `Steps`.

    Parameters
    ----------
    descriptor, index
        The index's own descriptor, and the index.
    topics
        Where outcomes go.
    pass_headers
        Names of headers that a message hands on to its verdict.
    executor, decoder, repeat_bytes, uris, metrics, now
        As in `ImageDescriber`.
    """

    def __init__(
        self,
        *,
        descriptor: Descriptor,
        index: Index,
        topics: OutputTopics,
        executor: Executor,
        decoder: Decoder,
        uris: UriReader,
        metrics: Metrics,
        pass_headers: Collection[str] = (),
        repeat_bytes: int = 0,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._images = ImageDescriber(
            descriptor=descriptor,
            relation=lambda: index.meta.relation,
            executor=executor,
            decoder=decoder,
            uris=uris,
            metrics=metrics,
            repeat_bytes=repeat_bytes,
            now=now,
        )
        self._judge = Judge(index, topics, metrics, now)
        self._pass_headers = pass_headers

    @property
    def has_idle(self) -> bool:
        """See `Steps`."""
        return self._images.has_idle

    def describe(self, messages: Sequence[ImageMessage]) -> Described:
        """Describe a batch; see `ImageDescriber.describe`."""
        return self._images.describe(messages)

    def decide(self, described: Described) -> list[Outcome]:
        """Let the index decide the batch; see `Steps`.

        If a new generation compares images in another way, they are described again.
        """
        try:
            return self._judge.decide(described, self._pass_headers)
        except RelationMismatch:
            again = self.describe([message for message, _, _ in described.items])
            outcomes = self.decide(again)
            described.took_s.update(again.took_s)
            return outcomes
