"""Publishes so that a restart knows of it: exactly once, or at least once."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from consumer.feeding.outages import waited_out
from consumer.feeding.outgoing import Outgoing, say
from consumer.feeding.state import FileState, State, advanced
from consumer.messages import OutgoingMessage
from neardup.errors import KafkaUnavailable
from neardup.sources.images import FileImage, SourceImage


class Batches(Protocol):
    """Where numbered batches go."""

    def connect(self) -> None:
        """Reach Kafka; see `consumer.transport.base.Sink`."""

    def largest_bytes(self, topic: str) -> int | None:
        """Return the largest message that a topic takes; None if brokers do not tell."""

    def bytes_of(self, message: OutgoingMessage) -> int:
        """Return the size of a message as brokers count it."""

    def latest(self) -> int | None:
        """Return the number of the latest batch that is known to have gone through; None for none."""

    def publish(self, messages: Sequence[OutgoingMessage], number: int) -> None:
        """Publish a batch, and return when it went through."""

    def close(self) -> None:
        """Close all connections."""


class Noting(Protocol):
    """Knows of the batch that is on its way, and what will be known once it went through."""

    def pending(self) -> int | None:
        """Return the number of the batch that was noted and not ended; None for none."""

    def end(self, *, went_through: bool) -> None:
        """Make what was noted of the latest batch part of what is known, or forget it."""


class Settling:
    """Publishes batches that were noted, and notes what became of them; waits for Kafka while it is away.

    Before a batch is sent it is noted in the state, and afterwards it is known. If we die here:

    1. before it is noted: it is published after the restart;
    2. after it is noted, before Kafka has it all: Kafka drops it, and it is published after the restart;
    3. after Kafka has it, before we know: after the restart Kafka says so, and it is not published again.

    Without transactions there is no 3: it is published again, with the same image ids.

    Parameters
    ----------
    state
        What is known.
    batches
        Where batches go.
    stop
        Ends the waiting.
    tell
        Tells the user that we wait, in one line.
    """

    def __init__(
        self, state: Noting, batches: Batches, stop: threading.Event, tell: Callable[[str], object] = say
    ) -> None:
        self._noted = state
        self._batches = batches
        self._stop = stop
        self._tell = tell
        self._unsure = False

    def resume(self) -> None:
        """Find out about the batch that was on its way when an earlier process ended.

        Raises
        ------
        KafkaUnavailable
            Kafka does not answer.
        """
        number = self._noted.pending()
        if number is not None:
            latest = self._batches.latest()
            self._noted.end(went_through=latest is not None and latest >= number)

    def settle(self, messages: Sequence[OutgoingMessage], number: int) -> None:
        """Publish the batch that was noted under this number, and note that it went through.

        Raises
        ------
        Stopped
            While Kafka was away.
        Misconfigured
            It never takes them.
        """
        waited_out(lambda: self._attempt(number, messages), self._stop, self._tell)
        self._noted.end(went_through=True)

    def _attempt(self, number: int, messages: Sequence[OutgoingMessage]) -> None:
        """Publish a batch, unless an attempt that seemed to fail went through."""
        if self._unsure:
            latest = self._batches.latest()
            self._unsure = False
            if latest is not None and latest >= number:
                return
        try:
            self._batches.publish(messages, number)
        except KafkaUnavailable:
            self._unsure = True
            raise


class Remembering(Settling):
    """Publishes batches of a folder's images, and remembers what went through.

    Parameters
    ----------
    state, batches, stop
        As of `Settling`.
    """

    def __init__(self, state: State, batches: Batches, stop: threading.Event) -> None:
        super().__init__(state, batches, stop)
        self._state = state
        self._of: dict[int, tuple[FileState, int]] = {}  # not by image id: a.jpg~2 may be a file's own name, too

    def images(self, file: FileState, images: Iterable[SourceImage]) -> Iterator[SourceImage]:
        """Iterate over those images of a file that are not published yet."""
        for done, image in enumerate(images, start=1):
            if self._stop.is_set():
                return
            if done > file.done:
                self._of[id(image)] = file, done
                yield image

    def deliver(self, outgoing: Sequence[Outgoing]) -> None:
        """Publish messages, and remember that they are.

        Raises
        ------
        Stopped
            While Kafka was away.
        Misconfigured
            It never takes them.
        """
        number = self._state.begin(self._after(outgoing))
        self.settle([each.message for each in outgoing], number)
        for each in outgoing:
            self._of.pop(id(each.image), None)

    def forget_images(self) -> None:
        """Forget the images that were left out: all that came are handled."""
        self._of.clear()

    def _after(self, outgoing: Sequence[Outgoing]) -> list[FileState]:
        """Return what is known of their files once these are published."""
        files: dict[str, FileState] = {}
        for each in outgoing:
            file, done = self._of[id(each.image)]
            now = advanced(files.get(file.path, file), done)
            # A file of one image is whole at once, and not only when the pass is: it may be renamed before a restart.
            files[file.path] = replace(now, whole=now.whole or isinstance(each.image, FileImage))
        return [*files.values()]
