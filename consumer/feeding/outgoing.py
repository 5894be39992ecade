"""From an image to the message that is published for it, or to a line that says why there is none."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from consumer.feeding.settings import RECOMPRESS, URI, FeedSettings
from consumer.messages import ENVELOPE_HEADER, OutgoingMessage, encode_envelope
from neardup.decoding.limits import DecodeLimits
from neardup.errors import BadInput, TooManyBytes
from neardup.sources.images import BrokenImage, FileImage, SourceImage
from neardup.sources.mask import MaskOutside, Region, blanked
from neardup.sources.smaller import as_jpeg, smaller_jpeg
from neardup.types import Pixels

_LENGTHS_BYTES = 8
"""How much the lengths in a record grow with the value: two numbers of at most five bytes instead of one."""


def say(text: str) -> None:
    """Tell the user of the feed, in one line."""
    sys.stderr.write(f"feed: {text}\n")


class Limits(Protocol):
    """Knows how large messages may be, and are."""

    def largest_bytes(self, topic: str) -> int | None:
        """Return the largest message that a topic takes; None if brokers do not tell."""

    def bytes_of(self, message: OutgoingMessage) -> int:
        """Return the size of a message as brokers count it."""


@dataclass(frozen=True, slots=True)
class CameraImage:
    """A picture that a camera sent just now.

    Attributes
    ----------
    camera
        What the camera is called.
    frame
        uint8 (height, width, 3) RGB, with the camera's mask blanked.
    """

    image_id: str
    camera: str
    frame: Pixels
    captured_at_ms: int

    def encoded(self, max_bytes: int) -> bytes:
        """Return the picture as JPEG."""
        del max_bytes
        return as_jpeg(self.frame)

    def pixels(self, reduce_to_px: int | None, limits: DecodeLimits) -> Pixels:
        """Return the picture; its size was checked as it was decoded."""
        del reduce_to_px, limits
        return self.frame


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An image, and the message for it."""

    image: SourceImage
    message: OutgoingMessage


class MessageMaker:
    """Makes messages of images, and counts and names what it has to leave out.

    Parameters
    ----------
    settings
        Of the feed.
    limits
        Of where it is published.

    Attributes
    ----------
    left_out
        How many images there is no message for.
    limit_bytes
        The largest message that the topic takes; None if brokers do not tell.
    """

    def __init__(self, settings: FeedSettings, limits: Limits) -> None:
        self.left_out = 0
        self.limit_bytes = limits.largest_bytes(settings.topic)
        self._settings = settings
        self._limits = limits

    def outgoing(self, images: Iterable[SourceImage]) -> Iterator[Outgoing]:
        """Iterate over images with their messages; what is left out is named."""
        for image in images:
            for message in self._or_left_out(image, partial(self._message, image)):
                yield Outgoing(image, message)

    def instead(self, outgoing: Outgoing, why: Exception) -> Sequence[OutgoingMessage]:
        """Return what ``--oversize`` publishes for an image whose message the topic refused; none if nothing."""
        return self._or_left_out(outgoing.image, partial(self._instead, outgoing.image, why))

    def _or_left_out(self, image: SourceImage, made: Callable[[], OutgoingMessage]) -> list[OutgoingMessage]:
        try:
            return [made()]
        except (OSError, BadInput, MaskOutside) as error:
            self.left_out += 1
            # Of a damaged clip or archive only a part was left out, as the error says.
            left_out = "" if isinstance(image, BrokenImage) else "left out "
            say(f"{left_out}{image.image_id}: {error}")
            return []

    def _message(self, image: SourceImage) -> OutgoingMessage:
        try:
            message = self._with_value(image, self._encoded(image))
        except TooManyBytes as error:
            return self._instead(image, error)
        size_bytes = self._limits.bytes_of(message)
        if self.limit_bytes is not None and size_bytes > self.limit_bytes:
            return self._instead(image, self._too_large(size_bytes))
        return message

    def _encoded(self, image: SourceImage) -> bytes:
        mask = self._mask_of(image)
        if not mask:
            return image.encoded(self._settings.max_message_bytes)
        return as_jpeg(blanked(image.pixels(None, DecodeLimits()), mask))

    def _mask_of(self, image: SourceImage) -> Sequence[Region]:
        return () if isinstance(image, CameraImage) else self._settings.mask

    def _too_large(self, size_bytes: int) -> TooManyBytes:
        return TooManyBytes(
            f"a message of {size_bytes:,} bytes, and topic {self._settings.topic!r} takes {self.limit_bytes:,} "
            "(max.message.bytes)"
        )

    def _with_value(self, image: SourceImage, value: bytes, *more: tuple[str, bytes]) -> OutgoingMessage:
        settings = self._settings
        headers = [("image_id", image.image_id.encode()), *more]
        camera = image.camera if isinstance(image, CameraImage) else None
        if camera is not None:
            headers.append(("captured_at", str(image.captured_at_ms).encode()))
        source = camera if settings.source is None else settings.source
        if source is not None:
            headers.append(("source", source.encode()))
        key = camera if settings.key is None else settings.key
        return OutgoingMessage(settings.topic, None if key is None else key.encode(), value, tuple(headers))

    def _instead(self, image: SourceImage, why: Exception) -> OutgoingMessage:
        """Return what ``--oversize`` publishes for an image that is too large as it is.

        Raises
        ------
        BadInput, OSError, MaskOutside
            Nothing.
        """
        if self._settings.oversize == RECOMPRESS:
            return self._recompressed(image, why)
        if self._settings.oversize == URI:
            return self._claim_check(image, why)
        raise TooManyBytes(f"{why}; --oversize recompress or uri would publish it")

    def _recompressed(self, image: SourceImage, why: Exception) -> OutgoingMessage:
        if self.limit_bytes is None:
            raise TooManyBytes(f"{why}; how small it must be is not known without the right DescribeConfigs")
        room_bytes = self.limit_bytes - self._limits.bytes_of(self._with_value(image, b"")) - _LENGTHS_BYTES
        made = smaller_jpeg(blanked(image.pixels(None, DecodeLimits()), self._mask_of(image)), room_bytes)
        say(
            f"recompressed {image.image_id}: {why}; published as a JPEG of {len(made.data):,} bytes, "
            f"{made.width}x{made.height} pixels, quality {made.quality}"
        )
        return self._with_value(image, made.data)

    def _claim_check(self, image: SourceImage, why: Exception) -> OutgoingMessage:
        if not isinstance(image, FileImage):
            raise TooManyBytes(f"{why}; a frame of a clip and what is in an archive have no URI of their own")
        if self._mask_of(image):
            raise TooManyBytes(f"{why}; the file has no mask, so its URI cannot be published")
        uri = Path(image.path).as_uri()
        say(f"published by its URI {image.image_id}: {why}; consumers read {uri}, if --allow-uri lets them")
        return self._with_value(image, encode_envelope(uri), ENVELOPE_HEADER)
