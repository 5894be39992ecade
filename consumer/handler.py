"""From image messages to verdicts and dead letters; no Kafka in it."""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import astuple, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache

from consumer.claim_checks.reader import UriReader
from consumer.messages import (
    ImageMessage,
    ImageRequest,
    OutgoingMessage,
    dead_letter,
    parse_message,
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
from neardup.types import Query
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
    """The outcome of a message: `judged` or `error`, and the messages to publish for it, if any."""

    message: ImageMessage
    outgoing: tuple[OutgoingMessage, ...]
    judged: Judged | None = None
    error: BadInput | None = None


@dataclass(frozen=True, slots=True)
class OutputTopics:
    """Where outcomes go; each topic must exist."""

    verdicts: str
    dead_letters: str

    @property
    def names(self) -> list[str]:
        """All of them."""
        return list(astuple(self))

    def judged(self, judged: Judged) -> tuple[OutgoingMessage, ...]:
        """Return what is published for an image that was judged."""
        # A unique verdict holds the member's record, also when redelivered: Redis may lose its last writes.
        return (verdict_message(self.verdicts, judged),)

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


class Handler:
    """Judges batches of messages in two steps, so that an outage repeats only the second.

    Several may be described at once; they are decided one after another.

    Parameters
    ----------
    descriptor, index
        The index's own descriptor, and the index.
    topics
        Where outcomes go.
    pass_headers
        Names of headers that a message hands on to its verdict.
    executor
        Threads that read images and wait for the decoder.
    decoder
        Decodes them.
    repeat_bytes
        Memory for described images, found again by their bytes; see `neardup.repeats`.
    uris
        Reads claim checks.
    metrics
        Where stages are timed.
    now
        Clock; UTC.
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
        self._index = index
        self._topics = topics
        self._pass_headers = pass_headers
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
        batch = self._batches(self._index.meta.relation)
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

    def decide(self, described: Described) -> list[Outcome]:
        """Let the index decide the batch; return an outcome for each message, in order.

        If a new generation compares images in another way, they are described again.

        Raises
        ------
        RedisUnavailable
            Call again: what was decided stays decided.
        """
        queries = [query for _, _, query in described.items if isinstance(query, Query)]
        try:
            with self._metrics.stage("decide", described.took_s):
                decisions = iter(self._index.decide(queries) if queries else ())
        except RelationMismatch:
            again = self.describe([message for message, _, _ in described.items])
            outcomes = self.decide(again)
            described.took_s.update(again.took_s)
            return outcomes
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
                    passed=tuple(header for header in message.headers if header[0] in self._pass_headers),
                )
                outcomes.append(Outcome(message, self._topics.judged(judged), judged=judged))
        return outcomes
