"""The steps of a describer: from image messages to messages of the descriptor topic."""

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from typing import Protocol

from consumer.handler import Described, ImageDescriber, Outcome
from consumer.messages import ImageMessage, OutgoingMessage, dead_letter
from neardup.errors import BadInput, RelationMismatch
from neardup.index.base import IndexMeta, require_fit
from neardup.types import Query
from neardup.wire_described import DescribedImage, encode_described, made_for


class Head(Protocol):
    """What the live generation of an index is made for; `consumer.roles.head.LiveHead`."""

    @property
    def meta(self) -> IndexMeta:
        """What was read last."""

    def follow(self) -> None:
        """Look whether another generation is live; RedisUnavailable or Misconfigured where that cannot be said."""


@dataclass(frozen=True, slots=True)
class DescriberTopics:
    """Where outcomes go; each topic must exist."""

    descriptors: str
    dead_letters: str

    @property
    def names(self) -> list[str]:
        """All of them."""
        return list(astuple(self))


class DescribingSteps:
    """Describes images as the index compares them, and publishes that; see `consumer.handler.Steps`.

    Parameters
    ----------
    images
        Describes by the head's relation.
    head
        Of the index.
    topics
        Where outcomes go.
    pass_headers
        Names of headers that a message hands on to its verdict.
    """

    def __init__(
        self, images: ImageDescriber, head: Head, topics: DescriberTopics, pass_headers: Collection[str] = ()
    ) -> None:
        self._images = images
        self._head = head
        self._topics = topics
        self._passes = frozenset(pass_headers)

    @property
    def has_idle(self) -> bool:
        """See `Steps`."""
        return self._images.has_idle

    def describe(self, messages: Sequence[ImageMessage]) -> Described:
        """Describe a batch; see `ImageDescriber.describe`."""
        return self._images.describe(messages)

    def decide(self, described: Described) -> list[Outcome]:
        """Make messages of a described batch; what a new generation compares in another way is described again.

        Nothing is decided here. A message that comes again is described again, and says the same.

        Raises
        ------
        IndexMismatch
            The live generation has another descriptor than the one that was loaded.
        RedisUnavailable
            Nobody can say whether it has.
        """
        self._head.follow()
        meta = self._head.meta
        try:
            require_fit([query for _, _, query in described.items if isinstance(query, Query)], meta.relation)
        except RelationMismatch:
            again = self.describe([message for message, _, _ in described.items])
            outcomes = self.decide(again)
            described.took_s.update(again.took_s)
            return outcomes
        wanted = made_for(meta)
        return [self._outcome(*item, wanted) for item in described.items]

    def _outcome(self, message: ImageMessage, uri: str | None, query: Query | BadInput, wanted: str) -> Outcome:
        if isinstance(query, BadInput):
            return Outcome(message, (dead_letter(self._topics.dead_letters, message, query),), error=query)
        passed = tuple(header for header in message.headers if header[0] in self._passes)
        value = encode_described(DescribedImage(message, query, wanted, uri, passed))
        # All of a partition's images in one partition: they stay in the order in which they came.
        sent = OutgoingMessage(self._topics.descriptors, message.key, value, (), message.partition)
        return Outcome(message, (sent,), described=query)
