"""A span of the verdict topic as the source of a report."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from consumer.messages import ImageMessage, parse_message
from consumer.report.settings import ReportSettings
from consumer.verdicts.reading import Noticed, letters_of_topic, verdicts_of_topic
from consumer.verdicts.told import NotTold, ToldLetter, ToldVerdict
from neardup.errors import BadInput
from neardup.kafka.records import Records
from neardup.kafka.topics import missing_topics
from neardup.report.entry import About, Bad, Entry, Judged, Kind, Missing, Read
from neardup.report.sources.broken import Broken
from neardup.report.sources.files import below
from neardup.report.sources.verdicts import judged_of
from neardup.sources.images import FileImage
from neardup.wire import member_record_of

CLIENT_ID = "neardup-report"
_NOT_KEPT = "the image topic no longer has it"
_NO_SEED = "it came in no message, and is no file in --image-folder"


class TopicSource:
    """The verdicts of a span of the topic; their images are read from the image topic, as long as it has them.

    Parameters
    ----------
    settings
        Which span, and how to reach Kafka.
    """

    def __init__(self, settings: ReportSettings) -> None:
        self._settings = settings
        self._begun = datetime.now(UTC)  # an age means the same span each time it is read
        self._folder = None if settings.image_folder is None else Path(settings.image_folder)
        self._noticed = Noticed()
        self._has_letters = not missing_topics(settings.client_config(), [settings.dead_letters_topic])

    @property
    def about(self) -> About:
        """See `Source`."""
        settings = self._settings
        told = [f"{word} {each}" for word, each in (("from", settings.since), ("to", settings.until)) if each]
        span, servers = " ".join(told) or None, settings.bootstrap_servers
        return About(Kind.TOPIC, settings.verdicts_topic, span, place=servers)

    def read(self) -> Iterator[Judged | Bad]:
        """See `Source`."""
        noticed = Noticed()
        self._noticed = noticed
        yield from _judged(self._verdicts(noticed), noticed)
        if self._has_letters:
            yield from map(_bad, self._letters(noticed))

    def _verdicts(self, noticed: Noticed) -> Iterator[ToldVerdict]:
        return verdicts_of_topic(self._settings, noticed, client_id=CLIENT_ID, now=lambda: self._begun)

    def _letters(self, noticed: Noticed) -> Iterator[ToldLetter]:
        topic, flag = self._settings.dead_letters_topic, "--dead-letters-topic"
        return letters_of_topic(self._settings, topic, noticed, flag=flag, client_id=CLIENT_ID, now=lambda: self._begun)

    def notes(self) -> Sequence[str]:
        """See `Source`."""
        noticed = self._noticed
        broken = Broken(noticed.broken.count, noticed.broken.examples).told()
        letters = [] if self._has_letters else [f"There is no topic {self._settings.dead_letters_topic!r} of bad input"]
        return [*noticed.gone, *broken, *letters]

    def kept(self) -> frozenset[str]:
        """See `Source`; in a stream the unique image is kept."""
        return frozenset()

    def images(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Read]]:
        """See `Source`."""
        places = sorted(entries, key=lambda each: (each.place.topic, each.place.partition, each.place.offset))
        settings = self._settings
        with Records({**settings.client_config(), "client_id": CLIENT_ID}, settings.max_message_bytes) as records:
            for entry in places:
                if self._folder is not None and not entry.place.topic:
                    yield entry, partial(_seed, below(self._folder, entry.name), settings.max_image_bytes)
                else:
                    yield entry, partial(_given, _fetched(entry, records))


def _given(data: bytes | Exception) -> bytes | Exception:
    return data


def _seed(path: Path | None, max_bytes: int) -> bytes | Exception:
    """Read the file of a seed, of which nobody noted what it was."""
    try:
        # Whoever publishes names images: none may lead out of the folder.
        return Missing(_NO_SEED) if path is None else FileImage("", str(path)).encoded(max_bytes)
    except FileNotFoundError:
        return Missing(_NO_SEED)
    except (BadInput, OSError, ValueError) as exc:
        return exc


def _fetched(entry: Entry, records: Records) -> bytes | Exception:
    place = entry.place
    if place.uri is not None:
        return Missing("it came as a claim check, which is not fetched")
    if not place.topic:
        return Missing("it came in no message: a seed of the index, whose folder --image-folder names")
    record = records.find(place.topic, place.partition, place.offset)
    # A topic that was made anew may have another message there; of a member from before only the name is known.
    if record is None or (record.timestamp != place.found_ms and not entry.is_outside):
        return Missing(_NOT_KEPT)
    try:
        parsed = parse_message(ImageMessage.of_record(record))
    except BadInput as exc:
        return Missing(_NOT_KEPT) if entry.is_outside else exc
    if entry.is_outside and parsed.image_id != entry.name:
        return Missing(_NOT_KEPT)
    data = parsed.data
    return Missing("it came as a claim check, which is not fetched") if data is None else data


def _judged(verdicts: Iterator[ToldVerdict], noticed: Noticed) -> Iterator[Judged]:
    for told in verdicts:
        try:
            yield judged_of(told.document, member_record_of(told.headers))
        except ValueError as exc:
            noticed.broken.add(told.place, NotTold(str(exc)))


def _bad(letter: ToldLetter) -> Bad:
    return Bad(letter.image_id, letter.reason, letter.detail)
