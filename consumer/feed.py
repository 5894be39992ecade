"""``neardup feed PATH...``: publishes images, folders or video clips, as a camera or a scraper would.

Exit codes: 0 all published (or stopped), 1 Kafka is unavailable, 2 wrong settings or nothing to publish, 3 all but
some images that were left out.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from consumer.settings import RECOMPRESS, URI, FeedSettings
from neardup.cli.commands import command
from neardup.cli.running import run_command
from neardup.errors import BadInput, Misconfigured, TooManyBytes

if TYPE_CHECKING:
    from consumer.messages import OutgoingMessage
    from consumer.transport.kafka import KafkaSink
    from neardup.sources.files import ImageSet
    from neardup.sources.images import SourceImage

    Outgoing = tuple[SourceImage, OutgoingMessage]

CHUNK_MESSAGES = 64
CHUNK_BYTES = 8 * 1024 * 1024
"""Messages acknowledged together when no rate is asked for."""
EXIT_LEFT_OUT = 3
_LENGTHS_BYTES = 8
"""How much the lengths in a record grow with the value: two numbers of at most five bytes instead of one."""


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Publish; return the exit code."""
    return run_command(command("feed"), arguments, environ, "python -m consumer.feed")


def feed(settings: FeedSettings) -> int:
    """Publish until done or interrupted; return the exit code."""
    for reported_here in ("kafka", "neardup.sources"):
        logging.getLogger(reported_here).addHandler(logging.NullHandler())
    try:
        feeder, clips = _fed(settings)
    except KeyboardInterrupt:
        _say("stopped")
        return 0
    left_out = f", {feeder.left_out} left out: see above" if feeder.left_out else ""
    _say(f"{feeder.published} images published to {settings.topic}{left_out}{clips and f'; {clips}'}")
    return EXIT_LEFT_OUT if feeder.left_out else 0


def _fed(settings: FeedSettings) -> "tuple[Feeder, str]":
    """Publish everything; return who did, and what became of clips, in words."""
    from consumer.transport.kafka import KafkaSink  # noqa: PLC0415 - --help must not wait for kafka
    from neardup.sources.clip_report import told_in_sum  # noqa: PLC0415 - as above

    images = _images(settings)
    sink = KafkaSink(settings, [settings.topic])
    try:
        sink.connect()
        feeder = Feeder(settings, sink)
        feeder.publish(_once_or_for_ever(images, settings))
    finally:
        sink.close()
    return feeder, told_in_sum(images.clip_reports)


def _images(settings: FeedSettings) -> "ImageSet":
    from neardup.sources.files import find_images  # noqa: PLC0415 - as above

    if not settings.paths:
        raise Misconfigured("PATH: name an image, a folder or a video clip")
    images = find_images(settings.paths, settings.fps)
    if images.total == 0:
        raise Misconfigured(f"PATH: no files found in {', '.join(settings.paths)}")
    return images


def _once_or_for_ever(images: "ImageSet", settings: FeedSettings) -> Iterator["SourceImage"]:
    yield from images
    while settings.loop:
        yield from images


def _say(text: str) -> None:
    sys.stderr.write(f"feed: {text}\n")


class Feeder:
    """Publishes images, and counts what it published and what it left out.

    Parameters
    ----------
    settings
        Of the feed.
    sink
        Connected.
    monotonic, sleep
        Clock and sleep, in seconds.
    """

    def __init__(
        self,
        settings: FeedSettings,
        sink: "KafkaSink",
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.published = 0
        self.left_out = 0
        self._settings = settings
        self._sink = sink
        self._limit_bytes = sink.largest_bytes(settings.topic)
        self._monotonic = monotonic
        self._sleep = sleep

    def publish(self, images: Iterable["SourceImage"]) -> None:
        """Send `rate` images a second, or as fast as they are acknowledged when it is 0."""
        started, rate = self._monotonic(), self._settings.rate
        # Where only a refusal tells that a message is too large, it has to be clear which one was refused.
        singly = rate or self._limit_bytes is None
        for chunk in _chunks(self._outgoing(images), 1 if singly else CHUNK_MESSAGES):
            if rate:
                self._sleep(max(0.0, started + self.published / rate - self._monotonic()))
            self._publish(chunk)

    def _publish(self, chunk: Sequence["Outgoing"]) -> None:
        from neardup.kafka.errors import MessageTooLarge  # noqa: PLC0415 - as above

        messages = [message for _, message in chunk]
        try:
            self._sink.publish(messages)
        except MessageTooLarge as error:
            if self._limit_bytes is not None:  # it was lowered meanwhile
                raise
            messages = [message for image, _ in chunk for message in self._or_left_out(image, self._instead, error)]
            self._sink.publish(messages)
        self.published += len(messages)

    def _outgoing(self, images: Iterable["SourceImage"]) -> Iterator["Outgoing"]:
        for image in images:
            for message in self._or_left_out(image, self._message):
                yield image, message

    def _or_left_out(
        self, image: "SourceImage", made: Callable[..., "OutgoingMessage"], *why: Exception
    ) -> "list[OutgoingMessage]":
        from neardup.sources.images import BrokenImage  # noqa: PLC0415 - as above

        try:
            return [made(image, *why)]
        except (OSError, BadInput) as error:
            self.left_out += 1
            # Of a damaged clip only a part was left out, as the error says.
            left_out = "" if isinstance(image, BrokenImage) else "left out "
            _say(f"{left_out}{image.image_id}: {error}")
            return []

    def _message(self, image: "SourceImage") -> "OutgoingMessage":
        try:
            message = self._with_value(image, image.encoded(self._settings.max_message_bytes))
        except TooManyBytes as error:
            return self._instead(image, error)
        size_bytes = self._sink.bytes_of(message)
        if self._limit_bytes is not None and size_bytes > self._limit_bytes:
            return self._instead(image, self._too_large(size_bytes))
        return message

    def _too_large(self, size_bytes: int) -> TooManyBytes:
        return TooManyBytes(
            f"a message of {size_bytes:,} bytes, and topic {self._settings.topic!r} takes {self._limit_bytes:,} "
            "(max.message.bytes)"
        )

    def _with_value(self, image: "SourceImage", value: bytes, *more: tuple[str, bytes]) -> "OutgoingMessage":
        from consumer.messages import OutgoingMessage  # noqa: PLC0415 - as above

        settings = self._settings
        headers = [("image_id", image.image_id.encode()), *more]
        if settings.source is not None:
            headers.append(("source", settings.source.encode()))
        key = None if settings.key is None else settings.key.encode()
        return OutgoingMessage(settings.topic, key, value, tuple(headers))

    def _instead(self, image: "SourceImage", why: Exception) -> "OutgoingMessage":
        """Return what ``--oversize`` publishes for an image that is too large as it is.

        Raises
        ------
        BadInput, OSError
            Nothing.
        """
        if self._settings.oversize == RECOMPRESS:
            return self._recompressed(image, why)
        if self._settings.oversize == URI:
            return self._claim_check(image, why)
        raise TooManyBytes(f"{why}; --oversize recompress or uri would publish it")

    def _recompressed(self, image: "SourceImage", why: Exception) -> "OutgoingMessage":
        from neardup.decoding.limits import DecodeLimits  # noqa: PLC0415 - as above
        from neardup.sources.smaller import smaller_jpeg  # noqa: PLC0415 - as above

        if self._limit_bytes is None:
            raise TooManyBytes(f"{why}; how small it must be is not known without the right DescribeConfigs")
        room_bytes = self._limit_bytes - self._sink.bytes_of(self._with_value(image, b"")) - _LENGTHS_BYTES
        made = smaller_jpeg(image.pixels(None, DecodeLimits()), room_bytes)
        _say(
            f"recompressed {image.image_id}: {why}; published as a JPEG of {len(made.data):,} bytes, "
            f"{made.width}x{made.height} pixels, quality {made.quality}"
        )
        return self._with_value(image, made.data)

    def _claim_check(self, image: "SourceImage", why: Exception) -> "OutgoingMessage":
        from consumer.messages import ENVELOPE_HEADER, encode_envelope  # noqa: PLC0415 - as above
        from neardup.sources.images import FileImage  # noqa: PLC0415 - as above

        if not isinstance(image, FileImage):
            raise TooManyBytes(f"{why}; a frame of a clip has no URI of its own")
        uri = Path(image.path).as_uri()
        _say(f"published by its URI {image.image_id}: {why}; consumers read {uri}, if --allow-uri lets them")
        return self._with_value(image, encode_envelope(uri), ENVELOPE_HEADER)


def _chunks(outgoing: Iterator["Outgoing"], largest: int) -> Iterator[list["Outgoing"]]:
    chunk: list[Outgoing] = []
    size_bytes = 0
    for each in outgoing:
        chunk.append(each)
        size_bytes += len(each[1].value or b"")
        if len(chunk) >= largest or size_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, size_bytes = [], 0
    if chunk:
        yield chunk


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
