"""``neardup feed PATH...``: publishes images, folders or video clips, as a camera or a scraper would.

With ``--follow`` it goes on with what comes into a folder, and from cameras it takes pictures until it is stopped.

Exit codes: 0 all published (or stopped), 1 Kafka is unavailable, 2 wrong settings or nothing to publish, 3 all but
some images that were left out.
"""

import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from consumer.feeding.settings import FeedSettings
from neardup.cli.commands import command
from neardup.cli.progress import shown_progress
from neardup.cli.running import run_command
from neardup.wording import counted

if TYPE_CHECKING:
    from consumer.feeding.feeder import Feeder
    from neardup.sources.files import ImageSet
    from neardup.sources.images import SourceImage

EXIT_LEFT_OUT = 3


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Publish; return the exit code."""
    return run_command(command("feed"), arguments, environ, "python -m consumer.feed")


def feed(settings: FeedSettings) -> int:
    """Publish until done or interrupted; return the exit code."""
    from consumer.feeding.outgoing import say  # noqa: PLC0415 - --help must not wait for numpy and kafka

    for reported_here in ("kafka", "neardup.sources"):
        logging.getLogger(reported_here).addHandler(logging.NullHandler())
    if settings.follow or settings.cameras or settings.urls:
        return _until_stopped(settings)
    try:
        feeder, clips = _fed(settings)
    except KeyboardInterrupt:
        say("stopped")
        return 0
    left_out = f", {feeder.left_out} left out: see above" if feeder.left_out else ""
    say(f"{counted(feeder.published, 'image')} published to {settings.topic}{left_out}{clips and f'; {clips}'}")
    return EXIT_LEFT_OUT if feeder.left_out else 0


def _until_stopped(settings: FeedSettings) -> int:
    from consumer.feeding.outgoing import say  # noqa: PLC0415 - as above

    if settings.follow:
        from consumer.feeding.follow import follow as work  # noqa: PLC0415 - as above
    else:
        from consumer.feeding.cameras import watch as work  # noqa: PLC0415 - as above
    feeder = work(settings)
    left_out = f", {feeder.left_out} left out: see above" if feeder.left_out else ""
    say(f"stopped: {counted(feeder.published, 'image')} published to {settings.topic}{left_out}")
    return 0


def _fed(settings: FeedSettings) -> "tuple[Feeder, str]":
    """Publish everything; return who did, and what became of clips, in words."""
    from consumer.feeding.feeder import Feeder  # noqa: PLC0415 - as above
    from consumer.feeding.inputs import found  # noqa: PLC0415 - as above
    from consumer.feeding.outgoing import say  # noqa: PLC0415 - as above
    from consumer.transport.kafka import KafkaSink  # noqa: PLC0415 - as above
    from neardup.sources.clip_report import told_in_sum  # noqa: PLC0415 - as above

    images = found(settings, _standard_input, say)
    told = dict(images.passed_over)
    sink = KafkaSink(settings, [settings.topic])
    try:
        sink.connect()
        feeder = Feeder(settings, sink, lambda outgoing: sink.publish([each.message for each in outgoing]))
        with shown_progress("feed", None if settings.loop else images.total) as progress:
            feeder.publish(_once_or_for_ever(images, settings), progress)
    finally:
        sink.close()
    if images.passed_over != told:  # in archives, as they were read
        counts = ", ".join(f"{name} ({count})" for name, count in sorted(images.passed_over.items()))
        say(f"passed over: {counts}")
    return feeder, told_in_sum(images.clip_reports)


def _standard_input() -> io.BufferedReader:
    from consumer.feeding.inputs import readable  # noqa: PLC0415 - as above

    return io.BufferedReader(io.FileIO(readable(0, "PATH"), closefd=False))


def _once_or_for_ever(images: "ImageSet", settings: FeedSettings) -> Iterator["SourceImage"]:
    yield from images
    while settings.loop:
        yield from images


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
