"""From image messages to verdicts and dead letters; no Kafka in it."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from consumer.claim_checks.reader import UriReader
from consumer.messages import (
    ImageMessage,
    ImageRequest,
    Judged,
    OutgoingMessage,
    dead_letter,
    parse_message,
    verdict_message,
)
from consumer.metrics import Metrics
from neardup.decode_pool import Decoder, PrepareAll
from neardup.describing import Describer, PreparedImage
from neardup.descriptors.base import Descriptor
from neardup.errors import BadInput, RelationMismatch
from neardup.index.base import Index
from neardup.index.block import member_of
from neardup.types import Query, Variant

Compared = tuple[Variant, ...]
"""What an image is compared by, the image as it came first."""


@dataclass(frozen=True, slots=True)
class Described:
    """A batch whose images are vectors by now: each message with its query, or with what is wrong with it.

    Attributes
    ----------
    items
        In the order of the messages.
    """

    items: tuple[tuple[ImageMessage, Query | BadInput], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a message comes to: `judged` or `error`, and what is to be published for it."""

    message: ImageMessage
    outgoing: OutgoingMessage
    judged: Judged | None = None
    error: BadInput | None = None


@dataclass(frozen=True, slots=True)
class OutputTopics:
    """Where outcomes go."""

    verdicts: str
    dead_letters: str


@dataclass(frozen=True, slots=True)
class _Prepared:
    request: ImageRequest
    image: PreparedImage


def _request(message: ImageMessage) -> ImageRequest | BadInput:
    try:
        return parse_message(message)
    except BadInput as error:
        return error


def _prepared(request: ImageRequest | BadInput, answer: PreparedImage | BadInput) -> _Prepared | BadInput:
    if isinstance(request, BadInput):
        return request
    return answer if isinstance(answer, BadInput) else _Prepared(request, answer)


def _now() -> datetime:
    return datetime.now(UTC)


class Handler:
    """Judges batches of messages in two steps, so that a server's outage repeats only the second.

    Parameters
    ----------
    descriptor, index
        The index's own descriptor, and the index.
    topics
        Where outcomes go.
    executor
        Threads that read images and wait for the decoder.
    decoder
        Decodes them.
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
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._descriptor = descriptor
        self._describer = Describer(descriptor, index.meta.relation)
        self._index = index
        self._topics = topics
        self._executor = executor
        self._decoder = decoder
        self._uris = uris
        self._metrics = metrics
        self._now = now

    def describe(self, messages: Sequence[ImageMessage]) -> Described:
        """Decode in shares, one in each of the executor's threads, then describe what could be decoded as one batch.

        What images are compared by is the index's to say: a later generation may say something else.
        """
        self._describer = Describer(self._descriptor, self._index.meta.relation)
        with self._metrics.stage("decode"):
            prepared = self._decode(messages)
        with self._metrics.stage("describe"):
            results = self._describe_prepared(prepared)
        return Described(
            tuple(
                (message, self._query(message, part, result))
                for message, part, result in zip(messages, prepared, results, strict=True)
            )
        )

    def _decode(self, messages: Sequence[ImageMessage]) -> list[_Prepared | BadInput]:
        prepare_all = self._decoder.preparing(self._describer.preparation)
        size = max(1, self._decoder.share(len(messages)))
        shares = [messages[start : start + size] for start in range(0, len(messages), size)]
        return [
            prepared for share in self._executor.map(partial(self._prepare, prepare_all), shares) for prepared in share
        ]

    def _prepare(self, prepare_all: PrepareAll, messages: Sequence[ImageMessage]) -> list[_Prepared | BadInput]:
        requests = [_request(message) for message in messages]
        answers = prepare_all(self._encoded(request) for request in requests)
        return [_prepared(request, answer) for request, answer in zip(requests, answers, strict=True)]

    def _encoded(self, request: ImageRequest | BadInput) -> bytes | BadInput:
        if isinstance(request, BadInput):
            return request
        try:
            return self._uris.read(request.uri) if request.uri is not None else request.data or b""
        except BadInput as error:
            return error

    def _describe_prepared(self, prepared: Sequence[_Prepared | BadInput]) -> list[Compared | BadInput]:
        good = [part.image for part in prepared if isinstance(part, _Prepared)]
        described = iter(self._describe_each(good))
        return [next(described) if isinstance(part, _Prepared) else part for part in prepared]

    def _describe_each(self, images: Sequence[PreparedImage]) -> list[Compared | BadInput]:
        try:
            return list(self._describer.describe(images))
        except BadInput as error:
            if len(images) == 1:
                return [error]
        # One image spoils the batch: alone, each shows whether it was the one.
        return [self._describe_each([one])[0] for one in images]

    @staticmethod
    def _query(message: ImageMessage, part: _Prepared | BadInput, result: Compared | BadInput) -> Query | BadInput:
        if isinstance(part, BadInput):
            return part
        if isinstance(result, BadInput):
            return result
        image, *variants = result
        return Query(
            key=message.coordinates,
            image_id=part.request.image_id,
            descriptor=image.descriptor,
            captured_at_ms=part.request.captured_at_ms,
            thumbnail=image.thumbnail,
            variants=tuple(variants),
        )

    def decide(self, described: Described) -> list[Outcome]:
        """Let the index decide the batch; return an outcome for each message, in order.

        Where a new generation compares images in another way than they were described for, they are described again.

        Raises
        ------
        RedisUnavailable
            Repeat the call: what was decided stays decided.
        """
        queries = [query for _, query in described.items if isinstance(query, Query)]
        try:
            with self._metrics.stage("decide"):
                decisions = iter(self._index.decide(queries) if queries else ())
        except RelationMismatch:
            return self.decide(self.describe([message for message, _ in described.items]))
        decided_at = self._now()
        outcomes = []
        for message, query in described.items:
            if isinstance(query, BadInput):
                letter = dead_letter(self._topics.dead_letters, message, query)
                outcomes.append(Outcome(message, letter, error=query))
            else:
                # A unique is published with its record, a redelivered one again: Redis may lose its last writes.
                judged = Judged(
                    message, query.image_id, next(decisions), self._index.meta, decided_at, member_of(query)
                )
                outcomes.append(Outcome(message, verdict_message(self._topics.verdicts, judged), judged=judged))
        return outcomes
