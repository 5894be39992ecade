"""The images that verdicts are on: from the image topic as long as it has them, or from the files of a folder run."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote_to_bytes, urlsplit

from consumer.messages import ImageMessage, parse_message
from consumer.verdicts.told import RecordPlace, ToldVerdict
from neardup.errors import BadInput
from neardup.settings.kafka import KafkaConnection

if TYPE_CHECKING:
    from neardup.kafka.records import Records

_MS_NS = 1_000_000
_MESSAGE_KEY = re.compile(r"([A-Za-z0-9._-]{1,249})-([0-9]{1,9})-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class FetchedImage:
    """The image of a verdict: exactly one of these is not None.

    Attributes
    ----------
    data
        The encoded image.
    uri
        Where it is, of a claim check, which is not read.
    gone
        Why it cannot be had, in words.
    """

    data: bytes | None = None
    uri: str | None = None
    gone: str | None = None


class Images:
    """Fetches the images of verdicts; quickest in the order of their messages. Close it, or use it as a context.

    Parameters
    ----------
    kafka
        How to reach Kafka, which is first done when an image is asked for that lies there.
    client_id
        What Kafka is to call us.
    """

    def __init__(self, kafka: KafkaConnection, *, client_id: str) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._opened: Records | None = None

    def fetch(self, told: ToldVerdict) -> FetchedImage:
        """Return the image of a verdict, or why there is none.

        Raises
        ------
        KafkaUnavailable, Misconfigured
            Kafka cannot be reached, or does not let us read the image topic.
        """
        if told.of_file:
            return _of_file(told)
        if told.uri is not None:
            return FetchedImage(uri=told.uri)
        record = self.record(told.source)
        return FetchedImage(gone=f"{told.source} is no longer in its topic") if record is None else _of_record(record)

    def fetch_member(self, told: ToldVerdict) -> FetchedImage:
        """Return the image of the member that a verdict names, or why there is none.

        Its verdict has only its place: a topic that was made anew may have another image there, known by its id.
        Raises as `fetch`.
        """
        place = message_place(told.member_key or "")
        if told.of_file or place is None:
            return FetchedImage(gone=f"{told.duplicate_of} came by no message: a seed, or a file")
        record = self._records().find(*place)
        if record is None or _id_of(record) != told.duplicate_of:
            return FetchedImage(gone=f"{told.member_key} is no longer in its topic")
        return _of_record(record)

    def record(self, source: RecordPlace) -> Any | None:  # noqa: ANN401 - kafka-python has no types
        """Return the message itself, as kafka-python gives it, with key and headers; None if it is gone.

        A topic that was made anew may have another message there, which is known by its time. Raises as `fetch`.
        """
        record = self._records().find(source.topic, source.partition, source.offset)
        return record if record is not None and record.timestamp == source.timestamp_ms else None

    def _records(self) -> "Records":
        from neardup.kafka.records import Records  # noqa: PLC0415 - folder mode does without Kafka

        if self._opened is None:
            config = {**self._kafka.client_config(), "client_id": self._client_id}
            self._opened = Records(config, self._kafka.max_message_bytes)
        return self._opened

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._opened is not None:
            self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def file_of(told: ToldVerdict) -> Path | None:
    """Return the file that folder mode judged; None of a frame of a clip, and of verdicts on messages."""
    if not told.of_file or told.uri is None or not told.uri.startswith("file:"):
        return None
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(told.uri).path)))


def _of_file(told: ToldVerdict) -> FetchedImage:
    path = file_of(told)
    if path is None:
        return FetchedImage(gone="a frame of a video clip, which is not decoded again")
    try:
        # Without waiting: a pipe may have taken the file's place.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return FetchedImage(gone="no longer a file")
            # The time of the message is when the file was found.
            if status.st_mtime_ns // _MS_NS > told.source.timestamp_ms:
                return FetchedImage(gone="the file has changed since it was judged")
            return FetchedImage(data=file.read())
    except (OSError, ValueError) as exc:
        return FetchedImage(gone=f"the file cannot be read: {getattr(exc, 'strerror', None) or 'no such name'}")


def message_place(key: str) -> tuple[str, int, int] | None:
    """Return topic, partition and offset that a member's key names; None if it can be no message's."""
    found = _MESSAGE_KEY.fullmatch(key)
    return None if found is None else (found[1], int(found[2]), int(found[3]))


def _id_of(record: Any) -> str | None:  # noqa: ANN401 - kafka-python has no types
    try:
        return parse_message(ImageMessage.of_record(record)).image_id
    except BadInput:
        return None


def _of_record(record: Any) -> FetchedImage:  # noqa: ANN401 - as above
    try:
        request = parse_message(ImageMessage.of_record(record))
    except BadInput as exc:
        return FetchedImage(gone=f"the message is no image: {exc}")
    return FetchedImage(uri=request.uri) if request.uri is not None else FetchedImage(data=request.data)
