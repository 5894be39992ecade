"""Messages in and out: image messages and their envelopes, and what is sent. The verdict itself is `neardup.wire`'s."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from neardup.errors import BadEnvelope, BadImageId, BadInput, EmptyImage
from neardup.wire import Headers, Judged, encode_unique_headers, encode_verdict

MAX_IMAGE_ID_BYTES = 1024
MAX_ENVELOPE_BYTES = 64 * 1024
MAX_DETAIL_CHARACTERS = 500
LAST_CAPTURED_AT_MS = 253_402_300_799_999
"""The end of the year 9999, the last of ISO 8601: the number must fit a member's record."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
ENVELOPE_HEADER = ("content-type", b"application/json")
_ENVELOPE_FIELDS = {"image_id", "uri"}


class BadCapturedAt(BadInput):
    """The captured_at header is neither ISO 8601 with a zone nor milliseconds since the epoch."""

    reason = "bad-captured-at"


@dataclass(frozen=True, slots=True)
class ImageMessage:
    """A message of the image topic as it was delivered.

    Attributes
    ----------
    timestamp_ms
        Kafka's timestamp.
    identity
        Identifies the message across deliveries when its place in a topic cannot: a file's path.
    read
        Returns the image where no URI is to be read for it: a file's, in folder mode. Raises `BadInput`.
    assignment
        How often its partition had been taken from this consumer when the message came: what came before that is the
        partition's next owner's.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    identity: str | None = None
    read: Callable[[], bytes] | None = None
    assignment: int = 0

    @classmethod
    def of_record(cls, record: Any, assignment: int = 0) -> Self:  # noqa: ANN401 - kafka-python has no types
        """Return the message of a record that was read from Kafka."""
        return cls(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp,
            key=record.key,
            value=record.value,
            headers=tuple(record.headers),
            assignment=assignment,
        )

    @property
    def coordinates(self) -> str:
        """The message's place, ``topic-partition-offset``: the same on every delivery.

        Unique unless the topic is deleted and created again, or two Kafka clusters share one index.
        """
        return self.identity or f"{self.topic}-{self.partition}-{self.offset}"

    def header(self, name: str) -> bytes | None:
        """Return the last header of that name, as Kafka's own clients do; None without one."""
        return next((value for key, value in reversed(self.headers) if key == name), None)


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to send.

    Attributes
    ----------
    partition
        Where it goes, counted on from the first partition after the last; None leaves that to its key.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """What an image message asks for: `data`, the `uri` to read it from, or what reads it."""

    image_id: str
    captured_at_ms: int
    data: bytes | None
    uri: str | None
    read: Callable[[], bytes] | None = None


def parse_message(message: ImageMessage) -> ImageRequest:
    """Read a message of the image topic.

    Raises
    ------
    EmptyImage, BadEnvelope, BadImageId, BadCapturedAt
        What is wrong with it.
    """
    if not message.value and message.read is None:
        raise EmptyImage("the message has no value")
    captured_at_ms = _captured_at_ms(message)
    image_id = _image_id_of_header(message)
    if message.value is None or not _is_envelope(message):
        return ImageRequest(image_id or message.coordinates, captured_at_ms, message.value, None, message.read)
    envelope = _envelope(message.value)
    named = checked_id(envelope["image_id"]) if "image_id" in envelope else image_id
    return ImageRequest(named or message.coordinates, captured_at_ms, None, envelope["uri"], message.read)


def _image_id_of_header(message: ImageMessage) -> str | None:
    header = message.header("image_id")
    if header is None:
        return None
    try:
        return checked_id(header.decode())
    except UnicodeDecodeError as exc:
        raise BadImageId(f"the image_id header is not UTF-8: {header[:32]!r}") from exc


def checked_id(image_id: str) -> str:
    """Return an image id that can be told and stored.

    Raises
    ------
    BadImageId
        This one cannot.
    """
    size = len(image_id.encode(errors="surrogatepass"))
    if not 1 <= size <= MAX_IMAGE_ID_BYTES:
        raise BadImageId(f"the image id has {size} bytes; 1 to {MAX_IMAGE_ID_BYTES} are allowed")
    if CONTROL.search(image_id) or any("\ud800" <= character <= "\udfff" for character in image_id):
        raise BadImageId(f"the image id has control characters or lone surrogates: {image_id[:64]!r}")
    return image_id


def _captured_at_ms(message: ImageMessage) -> int:
    header = message.header("captured_at")
    if header is None:
        return message.timestamp_ms
    return captured_at_of(header.decode(errors="replace"))


def captured_at_of(text: str) -> int:
    """Return the milliseconds since the epoch that a ``captured_at`` means.

    Raises
    ------
    BadCapturedAt
        It is in neither form.
    """
    try:
        return _captured_at_number(text) if text.isdecimal() else _milliseconds(datetime.fromisoformat(text))
    except (ValueError, OverflowError) as exc:
        raise BadCapturedAt(
            f"captured_at is {text[:64]!r}: use milliseconds since the epoch, or ISO 8601 with a time zone"
        ) from exc


def _captured_at_number(text: str) -> int:
    captured_at_ms = int(text)
    if captured_at_ms > LAST_CAPTURED_AT_MS:
        raise ValueError("later than the year 9999")
    return captured_at_ms


def _milliseconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return int(moment.timestamp() * 1000)


def _is_envelope(message: ImageMessage) -> bool:
    content_type = (message.header("content-type") or b"").decode(errors="replace")
    return content_type.partition(";")[0].strip().lower() == "application/json"


def _envelope(value: bytes) -> dict[str, str]:
    if len(value) > MAX_ENVELOPE_BYTES:
        raise BadEnvelope(f"the envelope has {len(value)} bytes; at most {MAX_ENVELOPE_BYTES} are allowed")
    try:
        envelope = json.loads(value)
    except (ValueError, RecursionError) as exc:
        raise BadEnvelope(f"the value is declared as JSON but is not: {exc}") from exc
    if not isinstance(envelope, dict) or "uri" not in envelope or not envelope.keys() <= _ENVELOPE_FIELDS:
        raise BadEnvelope('an envelope is an object with "uri" and optionally "image_id", and nothing else')
    if not all(isinstance(text, str) for text in envelope.values()) or not envelope["uri"]:
        raise BadEnvelope("the envelope's uri and image_id must be strings, and the uri must not be empty")
    return envelope


def encode_envelope(uri: str) -> bytes:
    """Return the value of a message that names its image; `ENVELOPE_HEADER` goes with it."""
    return json.dumps({"uri": uri}).encode()


def verdict_message(topic: str, judged: Judged) -> OutgoingMessage:
    """Return the verdict on a message; it keeps the message's key."""
    value, headers = encode_verdict(judged)
    return OutgoingMessage(topic, judged.message.key, value, headers)


def unique_message(topic: str, message: ImageMessage, judged: Judged) -> OutgoingMessage:
    """Return a unique image's message as it came, with what a labelling tool needs of its verdict as headers."""
    return OutgoingMessage(topic, message.key, message.value, (*message.headers, *encode_unique_headers(judged)))


def dead_letter(topic: str, message: ImageMessage, error: BadInput) -> OutgoingMessage:
    """Return the dead letter of a message: the whole message, and what is wrong with it."""
    detail = CONTROL.sub(" ", str(error))[:MAX_DETAIL_CHARACTERS]
    headers = (
        *message.headers,
        ("error.reason", error.reason.encode()),
        ("error.detail", detail.encode(errors="replace")),
        ("error.source", message.coordinates.encode()),
    )
    return OutgoingMessage(topic, message.key, message.value, headers)


def last_offsets(messages: Sequence[ImageMessage]) -> dict[tuple[str, int], int]:
    """Return for each (topic, partition) the offset to commit: one past its last message."""
    offsets: dict[tuple[str, int], int] = {}
    for message in messages:
        place = (message.topic, message.partition)
        offsets[place] = max(offsets.get(place, 0), message.offset + 1)
    return offsets
