"""Describers and deciders of this process: real descriptor, index in memory, topics as lists."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from consumer.claim_checks.reader import UriReader
from consumer.handler import Handler, ImageDescriber, Judge, OutputTopics, Steps
from consumer.messages import ImageMessage, OutgoingMessage
from consumer.metrics import Metrics
from consumer.roles.decider import DecidingSteps
from consumer.roles.describer import DescriberTopics, DescribingSteps
from neardup.decoding.limits import DecodeLimits
from neardup.decoding.pool import DecodeHere
from neardup.descriptors.dct import DctDescriptor
from neardup.errors import IndexMismatch
from neardup.index.base import IndexMeta
from neardup.index.memory import MemoryIndex
from neardup.relation.rule import Relation
from tests.support.indexes import with_relation

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DCT = DctDescriptor()
META = IndexMeta("default", 1, "dct", DCT.fingerprint, DCT.dimension, DCT.default_radius)
TOPICS = OutputTopics("verdicts", "dead")
PASSED = ("camera",)


@dataclass
class Head:
    """An index's head; another generation goes live where `coming` is set."""

    meta: IndexMeta
    coming: IndexMeta | None = None

    def follow(self) -> None:
        """Take up what is live by now."""
        if self.coming is not None:
            if self.coming.fingerprint != self.meta.fingerprint:
                raise IndexMismatch("another descriptor")
            self.meta, self.coming = self.coming, None


def meta_of(relation: Relation | None = None) -> IndexMeta:
    """Return the metadata of an index that compares so."""
    return with_relation(META, relation)


def judging(index: MemoryIndex, executor: ThreadPoolExecutor) -> Handler:
    """Make the steps of who does both."""
    return Handler(
        descriptor=DCT,
        index=index,
        topics=TOPICS,
        pass_headers=PASSED,
        executor=executor,
        decoder=DecodeHere(DecodeLimits()),
        uris=UriReader([], 1),
        metrics=Metrics(),
        now=lambda: NOW,
    )


def describing(head: Head, executor: ThreadPoolExecutor, metrics: Metrics | None = None) -> DescribingSteps:
    """Make the steps of a describer."""
    images = ImageDescriber(
        descriptor=DCT,
        relation=lambda: head.meta.relation,
        executor=executor,
        decoder=DecodeHere(DecodeLimits()),
        uris=UriReader([], 1),
        metrics=metrics or Metrics(),
        now=lambda: NOW,
    )
    return DescribingSteps(images, head, DescriberTopics("descriptors", "dead"), PASSED)


def deciding(index: MemoryIndex) -> DecidingSteps:
    """Make the steps of a decider."""
    return DecidingSteps(index, Judge(index, TOPICS, Metrics(), lambda: NOW))


def through(steps: Steps, messages: Sequence[ImageMessage]) -> list[OutgoingMessage]:
    """Return what is published for a batch."""
    return [sent for outcome in steps.decide(steps.describe(messages)) for sent in outcome.outgoing]


def delivered(sent: Sequence[OutgoingMessage], topic: str = "descriptors", start: int = 0) -> list[ImageMessage]:
    """Return what was published to a topic as it comes to who reads it."""
    ours = [each for each in sent if each.topic == topic]
    return [
        ImageMessage(topic, 0, offset, 1_800_000_000_000, each.key, each.value, each.headers)
        for offset, each in enumerate(ours, start)
    ]


def another(message: ImageMessage, **changes: object) -> ImageMessage:
    """Return a message with some of it changed."""
    return replace(message, **changes)  # type: ignore[arg-type]
