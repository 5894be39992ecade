"""Publishes listings in batches, each of which takes the progress with it."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from consumer.backfill.entries import Entry, Listing, Pause, Refused, Step
from consumer.backfill.lists import PipedList
from consumer.backfill.manifests import ManifestFile
from consumer.backfill.progress import Progress, ProgressFile
from consumer.backfill.settings import BackfillSettings
from consumer.feeding.pace import Pace
from consumer.feeding.remembering import Batches, Settling
from consumer.messages import ENVELOPE_HEADER, OutgoingMessage, encode_envelope
from neardup.capture_time import known_ms, moment, now_ms
from neardup.errors import Misconfigured

CHUNK_STEPS = 1000
"""Lines that go together: a transaction takes as long as a few hundred messages."""
_BATCHES_A_SECOND = 10
"""With a rate, so that it is even within a second."""

Tell = Callable[[str], object]


class Filler:
    """Publishes what listings come to.

    Parameters
    ----------
    settings
        Of the backfill.
    listings
        What is published, in this order.
    state
        How far it came.
    batches
        Where to publish, connected; None for a dry run, which only counts.
    stop
        Ends it.
    tell
        Tells the user something, in one line.
    refuse
        Is told of each refused line.
    """

    def __init__(
        self,
        settings: BackfillSettings,
        listings: Sequence[Listing],
        state: ProgressFile,
        batches: Batches | None,
        stop: threading.Event,
        *,
        tell: Tell,
        refuse: Callable[[Refused], object],
    ) -> None:
        self._settings = settings
        self._listings = listings
        self._state = state
        self._stop = stop
        self._refuse = refuse
        self._pace = Pace(settings, sleep=stop.wait, tell=tell)
        self._settling = None if batches is None else Settling(state, batches, stop, tell)
        if self._settling is not None:
            self._settling.resume()
        elif state.pending() is not None:
            state.end(went_through=False)  # only Kafka knows
        self._headers = () if settings.source is None else (("source", settings.source.encode()),)
        self._key = None if settings.key is None else settings.key.encode()

    def run(self, advance: Callable[[int], object]) -> None:
        """Publish what is not published yet, until all is or it is stopped.

        Parameters
        ----------
        advance
            Is told how many images were published since the last call.

        Raises
        ------
        Misconfigured
            A listing cannot be read, or is another one than before.
        StoreUnavailable, KafkaUnavailable
            A server is away.
        Stopped
            While one was waited for.
        """
        begun = self._state.progress().listing
        for number, listing in enumerate(self._listings[:begun]):
            # Folders, buckets and shards that are done may be as they like.
            if isinstance(listing, PipedList):
                listing.read_through()
            if isinstance(listing, ManifestFile | PipedList):
                _check_same(listing, listing.fingerprint(), self._state.finished(number))
        for number, listing in enumerate(self._listings[begun:], begun):
            fingerprint = listing.fingerprint()
            self._fill(number, listing, fingerprint, advance)
            if self._stop.is_set():
                return
            self._state.finish(fingerprint or listing.fingerprint())

    def _fill(self, number: int, listing: Listing, fingerprint: str, advance: Callable[[int], object]) -> None:
        known = self._state.progress()
        if known.position is not None:
            _check_same(listing, fingerprint, known.fingerprint)
        known = replace(known, listing=number, fingerprint=fingerprint)
        for chunk in self._chunks(listing.steps(known.position)):
            entries = [step for step in chunk if isinstance(step, Entry)]
            refused = [step for step in chunk if isinstance(step, Refused)]
            self._wait(entries)
            if self._stop.is_set():
                return
            known = replace(
                known,
                position=chunk[-1].position,
                published=known.published + len(entries),
                refused=known.refused + len(refused),
            )
            self._deliver(known, entries, refused)
            for step in refused:
                self._refuse(step)
            advance(len(entries))

    def _chunks(self, steps: Iterable[Step]) -> Iterator[list[Entry | Refused]]:
        largest = CHUNK_STEPS
        if self._settings.rate:
            largest = max(1, min(largest, int(self._settings.rate / _BATCHES_A_SECOND)))
        elif self._pace.singly:
            largest = 1
        chunk: list[Entry | Refused] = []
        for step in steps:
            if self._stop.is_set():
                return
            if not isinstance(step, Pause):
                chunk.append(step)
            if len(chunk) == largest or (chunk and isinstance(step, Pause)):
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def _wait(self, entries: Sequence[Entry]) -> None:
        if self._pace.singly and entries:
            first = entries[0]
            named = first.image_id or first.uri
            self._pace.wait_for(len(entries), named, lambda: known_ms(first.captured_at_ms, now_ms()))

    def _deliver(self, progress: Progress, entries: Sequence[Entry], refused: Sequence[Refused]) -> None:
        if entries and self._settling is not None:
            number = self._state.begin(progress, refused)
            self._settling.settle([self._message(entry) for entry in entries], number)
        else:
            self._state.remember(progress, refused)

    def _message(self, entry: Entry) -> OutgoingMessage:
        headers = [ENVELOPE_HEADER, *self._headers]
        if entry.image_id is not None:
            headers.append(("image_id", entry.image_id.encode()))
        if entry.captured_at_ms:
            # Milliseconds are digits alone: a time before 1970 goes in the other form.
            captured_at_ms = entry.captured_at_ms
            captured_at = str(captured_at_ms) if captured_at_ms > 0 else moment(captured_at_ms)
            headers.append(("captured_at", captured_at.encode()))
        return OutgoingMessage(self._settings.topic, self._key, encode_envelope(entry.uri), tuple(headers))


def _check_same(listing: Listing, fingerprint: str, before: str) -> None:
    if fingerprint != before:
        raise Misconfigured(
            f"{listing.name} is not what it was when its first images were published; restore it, or publish "
            "all of it once more with --again"
        )
