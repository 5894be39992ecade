"""``neardup feed PATH...``: publishes images, folders or video clips, as a camera or a scraper would.

Exit codes: 0 all published (or stopped), 1 Kafka is unavailable, 2 wrong settings or nothing to publish.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from consumer.settings import FeedSettings
from neardup.cli.commands import command
from neardup.cli.running import run_command
from neardup.errors import BadInput, Misconfigured

if TYPE_CHECKING:
    from consumer.messages import OutgoingMessage
    from consumer.transport.base import Sink
    from neardup.sources.files import ImageSet
    from neardup.sources.images import SourceImage

CHUNK_MESSAGES = 64
CHUNK_BYTES = 8 * 1024 * 1024
"""Messages acknowledged together when no rate is asked for."""


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Publish; return the exit code."""
    return run_command(command("feed"), arguments, environ, "python -m consumer.feed")


def feed(settings: FeedSettings) -> int:
    """Publish until done or interrupted; return the exit code."""
    for reported_here in ("kafka", "neardup.sources"):
        logging.getLogger(reported_here).addHandler(logging.NullHandler())
    try:
        told = _feed(settings)
    except KeyboardInterrupt:
        sys.stderr.write("feed: stopped\n")
        return 0
    sys.stderr.write(f"feed: {told}\n")
    return 0


def _feed(settings: FeedSettings) -> str:
    """Publish everything; return what was done, in words."""
    from consumer.transport.kafka import KafkaSink  # noqa: PLC0415 - --help must not wait for kafka
    from neardup.sources.clip_report import told_in_sum  # noqa: PLC0415 - as above

    images = _images(settings)
    sink = KafkaSink(settings, [settings.topic])
    try:
        sink.connect()
        published = publish(_messages(images, settings), sink, settings.rate)
    finally:
        sink.close()
    clips = told_in_sum(images.clip_reports)
    return f"{published} images published to {settings.topic}{clips and f'; {clips}'}"


def publish(
    messages: Iterator["OutgoingMessage"],
    sink: "Sink",
    rate: float,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Send `rate` messages a second, or as fast as they are acknowledged when it is 0; return how many."""
    started, published = monotonic(), 0
    for chunk in _chunks(messages, 1 if rate else CHUNK_MESSAGES):
        if rate:
            sleep(max(0.0, started + published / rate - monotonic()))
        sink.publish(chunk)
        published += len(chunk)
    return published


def _chunks(messages: Iterator["OutgoingMessage"], largest: int) -> Iterator[list["OutgoingMessage"]]:
    chunk: list[OutgoingMessage] = []
    size_bytes = 0
    for message in messages:
        chunk.append(message)
        size_bytes += len(message.value or b"")
        if len(chunk) >= largest or size_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, size_bytes = [], 0
    if chunk:
        yield chunk


def _images(settings: FeedSettings) -> "ImageSet":
    from neardup.sources.files import find_images  # noqa: PLC0415 - as above

    if not settings.paths:
        raise Misconfigured("PATH: name an image, a folder or a video clip")
    images = find_images(settings.paths, settings.fps)
    if images.total == 0:
        raise Misconfigured(f"PATH: no files found in {', '.join(settings.paths)}")
    return images


def _messages(images: "ImageSet", settings: FeedSettings) -> Iterator["OutgoingMessage"]:
    while True:
        for image in images:
            yield from _message(image, settings)
        if not settings.loop:
            return


def _message(image: "SourceImage", settings: FeedSettings) -> Iterator["OutgoingMessage"]:
    from consumer.messages import OutgoingMessage  # noqa: PLC0415 - as above
    from neardup.sources.images import BrokenImage  # noqa: PLC0415 - as above

    try:
        value = image.encoded(settings.max_message_bytes)
    except (OSError, BadInput) as error:
        # Of a damaged clip only a part was skipped, as the error says.
        skipped = "" if isinstance(image, BrokenImage) else "skipped "
        sys.stderr.write(f"feed: {skipped}{image.image_id}: {error}\n")
        return
    headers = [("image_id", image.image_id.encode())]
    if settings.source is not None:
        headers.append(("source", settings.source.encode()))
    key = None if settings.key is None else settings.key.encode()
    yield OutgoingMessage(settings.topic, key, value, tuple(headers))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
