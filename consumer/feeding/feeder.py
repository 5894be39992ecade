"""Publishes images: in batches that are acknowledged together, at their pace, smaller or by their URI where needed."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from consumer.feeding.outgoing import Limits, MessageMaker, Outgoing
from consumer.feeding.pace import Pace
from consumer.feeding.settings import FeedSettings
from neardup.kafka.errors import MessageTooLarge
from neardup.sources.images import SourceImage

CHUNK_MESSAGES = 64
CHUNK_BYTES = 8 * 1024 * 1024
"""Messages acknowledged together when each has no moment of its own."""


class Feeder:
    """Publishes images, and counts what it published and what it left out.

    Parameters
    ----------
    settings
        Of the feed.
    limits
        Of where it is published.
    deliver
        Publishes what goes together, and returns when all of it is acknowledged.
    pace
        Waits until an image is due.
    """

    def __init__(
        self,
        settings: FeedSettings,
        limits: Limits,
        deliver: Callable[[Sequence[Outgoing]], object],
        pace: Pace | None = None,
    ) -> None:
        self.published = 0
        self._maker = MessageMaker(settings, limits)
        self._pace = pace or Pace(settings)
        self._deliver = deliver

    @property
    def left_out(self) -> int:
        """How many images there is no message for."""
        return self._maker.left_out

    def leave_out(self) -> None:
        """Count one more that was left out, and named by who knows of it."""
        self._maker.left_out += 1

    def publish(self, images: Iterable[SourceImage], progress: Callable[[int], object] = lambda _: None) -> None:
        """Publish images, in order; tell how many were after each step."""
        # Where only a refusal tells that a message is too large, it has to be clear which one was refused.
        singly = self._pace.singly or self._maker.limit_bytes is None
        for chunk in chunks(self._maker.outgoing(images), 1 if singly else CHUNK_MESSAGES):
            self._pace.wait(chunk)
            self._publish(chunk)
            progress(len(chunk))

    def _publish(self, chunk: Sequence[Outgoing]) -> None:
        try:
            self._deliver(chunk)
        except MessageTooLarge as error:
            if self._maker.limit_bytes is not None:  # it was lowered meanwhile
                raise
            chunk = [Outgoing(each.image, message) for each in chunk for message in self._maker.instead(each, error)]
            if chunk:
                self._deliver(chunk)
        self.published += len(chunk)


def chunks(outgoing: Iterator[Outgoing], largest: int) -> Iterator[list[Outgoing]]:
    """Divide what is to be published into what is acknowledged together: at most so many, and some megabytes."""
    chunk: list[Outgoing] = []
    size_bytes = 0
    for each in outgoing:
        chunk.append(each)
        size_bytes += len(each.message.value or b"")
        if len(chunk) >= largest or size_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, size_bytes = [], 0
    if chunk:
        yield chunk
