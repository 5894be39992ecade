"""A verdict and a dead letter as they are read back: from a record of Kafka, or a line of a file."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from consumer.messages import CONTROL
from neardup.types import Verdict
from neardup.wire import FILES_TOPIC, VERDICT_SCHEMA, Headers

_NUMBER = (int, float)
_MOST_SHOWN = 120
_HALF_RANGE = 1 << 63


class NotTold(ValueError):
    """A record or a line that is no verdict, or no dead letter; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """Where a record lies in Kafka; `timestamp_ms` is its own, milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}-{self.offset}"


@dataclass(frozen=True, slots=True)
class LinePlace:
    """A line of a file; the first is 1."""

    path: Path
    number: int

    def __str__(self) -> str:
        return f"{self.path}, line {self.number}"


@dataclass(frozen=True, slots=True)
class ToldVerdict:
    """A verdict as it was published, with the fields that most readers want.

    Attributes
    ----------
    image_id, verdict, duplicate_of, distance, radius, cluster, uri
        As in the document.
    source
        Where the image's message lies; in folder mode its topic is `FILES_TOPIC`, and it lies nowhere.
    member_key
        Key of the member that the image duplicates: the place of its message, or of a seed its path. None of a unique
        image, and where it was not recorded.
    document
        All of it, as docs/wire-contracts.md describes it.
    place
        Where the verdict was read.
    headers
        Of its record; none in a file.
    """

    image_id: str
    verdict: Verdict
    duplicate_of: str | None
    distance: float | None
    radius: float
    cluster: int | None
    uri: str | None
    source: RecordPlace
    member_key: str | None
    document: Mapping[str, Any]
    place: RecordPlace | LinePlace
    headers: Headers = ()

    @property
    def of_file(self) -> bool:
        """Whether it is of a run in folder mode: one of the topic never is, whatever it calls its source.

        Else who may write to the verdict topic could have us read any file of this machine.
        """
        return isinstance(self.place, LinePlace) and self.source.topic == FILES_TOPIC

    @property
    def group(self) -> str:
        """What the images of one group have in common: the unique one's place or, in folder mode, its image id."""
        if self.verdict is Verdict.UNIQUE:
            return self.image_id if self.of_file else str(self.source)
        named = self.duplicate_of if self.of_file else self.member_key
        return named or self.duplicate_of or ""

    @classmethod
    def of_record(cls, record: Any) -> Self:  # noqa: ANN401 - kafka-python has no types
        """Read a record of the verdict topic; raises `NotTold`."""
        return cls._read(record.value or b"", place_of(record), tuple(record.headers))

    @classmethod
    def of_line(cls, line: bytes, place: LinePlace) -> Self:
        """Read a line of a file that folder mode wrote; raises `NotTold`."""
        return cls._read(line, place, ())

    @classmethod
    def _read(cls, text: bytes, place: RecordPlace | LinePlace, headers: Headers) -> Self:
        document = _document(text)
        if document.get("schema") != VERDICT_SCHEMA:
            raise NotTold(f"no verdict: its schema is {_shown(document.get('schema'))}, not {VERDICT_SCHEMA!r}")
        source, member = _field(document, "source", dict), _field(document, "member", dict, None)
        return cls(
            image_id=_field(document, "image_id", str),
            verdict=_verdict(document),
            duplicate_of=_field(document, "duplicate_of", str, None),
            distance=_field(document, "distance", *_NUMBER, None),
            radius=_field(document, "radius", *_NUMBER),
            cluster=_field(document, "cluster", int, None),
            uri=_field(document, "uri", str, None),
            source=RecordPlace(
                _field(source, "topic", str),
                _field(source, "partition", int),
                _field(source, "offset", int),
                _field(source, "timestamp", int),
            ),
            member_key=None if member is None else _field(member, "key", str),
            document=document,
            place=place,
            headers=headers,
        )


@dataclass(frozen=True, slots=True)
class ToldLetter:
    """A dead letter: an image that could not be judged.

    Attributes
    ----------
    image_id
        Its own; of a message without one, the place of the message.
    reason, detail
        As docs/wire-contracts.md explains them.
    place
        Where the letter was read.
    """

    image_id: str
    reason: str
    detail: str
    place: RecordPlace | LinePlace

    @classmethod
    def of_record(cls, record: Any) -> Self:  # noqa: ANN401 - kafka-python has no types
        """Read a record of the dead-letter topic; raises `NotTold`."""
        headers = {name: (text or b"").decode(errors="replace") for name, text in record.headers}
        if "error.reason" not in headers:
            raise NotTold("no dead letter: it has no header error.reason")
        source = headers.get("error.source", "")
        return cls(
            headers.get("image_id") or source,
            headers["error.reason"],
            headers.get("error.detail", ""),
            place_of(record),
        )

    @classmethod
    def of_line(cls, line: bytes, place: LinePlace) -> Self:
        """Read a line of folder mode's second file; raises `NotTold`."""
        document = _document(line)
        image_id, reason, detail = (_field(document, name, str) for name in ("image_id", "reason", "detail"))
        return cls(image_id, reason, detail, place)


@dataclass(slots=True)
class Broken:
    """What could not be read, and how much of it.

    Attributes
    ----------
    count
        Of all.
    examples
        The first of them: where each is, and why it cannot be read.
    """

    count: int = 0
    examples: list[str] = field(default_factory=list)
    most_examples: int = 10

    def add(self, place: RecordPlace | LinePlace, error: NotTold) -> None:
        """Take one more."""
        self.count += 1
        if len(self.examples) < self.most_examples:
            self.examples.append(f"{place}: {error}")


def place_of(record: Any) -> RecordPlace:  # noqa: ANN401 - kafka-python has no types
    """Return where a record lies."""
    return RecordPlace(record.topic, record.partition, record.offset, record.timestamp)


def _document(text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError) as exc:
        raise NotTold(f"not JSON: {_one_line(str(exc))}") from exc
    if not isinstance(document, dict):
        raise NotTold("not a JSON object")
    return document


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _verdict(document: Mapping[str, Any]) -> Verdict:
    try:
        return Verdict(str(document.get("verdict")))
    except ValueError as exc:
        raise NotTold(f"its verdict is {_shown(document.get('verdict'))}") from exc


def _field(document: Mapping[str, Any], name: str, *kinds: type | None) -> Any:  # noqa: ANN401 - of one of these kinds
    """Return a field; raise `NotTold` if it is none of these kinds, of which None stands for null and for absence."""
    value = document.get(name)
    if value is None and None in kinds:
        return None
    wanted = tuple(kind for kind in kinds if kind is not None)
    if isinstance(value, bool) or not isinstance(value, wanted) or not _is_storable(value):
        raise NotTold(f"its {name} is {_shown(value)}")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise NotTold(f"its {name} is no text: {_shown(value)}")
    return value


def _is_storable(value: Any) -> bool:  # noqa: ANN401 - as above
    """Return whether a number is one that files and tools can hold: finite, and of 64 bits if it is whole."""
    if isinstance(value, int):
        return -_HALF_RANGE <= value < _HALF_RANGE
    return not isinstance(value, float) or math.isfinite(value)


def _shown(value: Any) -> str:  # noqa: ANN401 - whatever it is
    return "missing" if value is None else _one_line(ascii(value))


def _one_line(text: str) -> str:
    return CONTROL.sub(" ", text)[:_MOST_SHOWN]


def names_of(examples: Iterable[str], count: int) -> Sequence[str]:
    """Return lines that name examples and say how many more there are."""
    shown = list(examples)
    more = count - len(shown)
    return [*shown, f"and {more} more"] if more else shown
