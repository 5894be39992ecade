"""Folder mode: the same handler and loop on files, without Kafka; with ``--index memory`` without Redis, too."""

import json
import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from consumer.ending import stopped_by_signals
from consumer.handler import OutputTopics
from consumer.health import Health
from consumer.messages import ENVELOPE_HEADER, ImageMessage, OutgoingMessage, encode_envelope
from consumer.metrics import Metrics
from consumer.service import one_thread_a_product, open_redis_index, run
from consumer.settings import MEMORY, ClaimCheckSettings, FolderSettings
from consumer.transport.at_least_once import AtLeastOnceDelivery
from consumer.transport.memory import MemorySink, MemorySource
from neardup.cli.images import found_images
from neardup.cli.progress import Advance, shown_progress
from neardup.descriptors import DEFAULT, load_descriptor
from neardup.errors import BadInput, Misconfigured
from neardup.index.base import Index, IndexMeta
from neardup.index.memory import MemoryIndex
from neardup.relation.symmetry import switches_of
from neardup.settings.decoding import decode_limits
from neardup.sources.clip_report import told_in_sum
from neardup.sources.images import BrokenImage, BytesImage, FileImage, SourceImage, as_bad_input
from neardup.sources.names import text_of
from neardup.types import Verdict

_log = logging.getLogger(__name__)

_TOPICS = OutputTopics("verdicts", "dead letters")
"""Which of the two files a line goes to."""


def judge_folder(settings: FolderSettings) -> None:
    """Judge every image of a folder and write one verdict per line to ``--output``.

    What cannot be read or judged goes to a second file beside it, ``NAME.dead.jsonl``, with the reason. Both are
    written as ``.partial`` and replace earlier ones only when all is done.

    Raises
    ------
    Misconfigured
        There is nothing to read, the output cannot be written, or the index does not fit.
    ShutdownTimeout
        Told to stop while Redis was away.
    """
    outputs = _outputs(Path(settings.output))
    images = found_images(
        [settings.input],
        settings.fps,
        own=[*outputs.values(), *map(_partial, outputs.values())],
        largest_first=settings.largest_first,
        formats=decode_limits(settings).formats,
        write=_log.info,
    )
    metrics, health, stop = Metrics(), Health(), threading.Event()
    with ExitStack() as stack:
        if settings.log_level != "DEBUG":
            # The output file holds the verdicts; a copy of each on the terminal would bury the warnings.
            journal = logging.getLogger("consumer.logs")
            stack.callback(journal.setLevel, journal.level)
            journal.setLevel(logging.WARNING)
        stack.enter_context(one_thread_a_product())
        stack.enter_context(stopped_by_signals(stop))
        index = _index(settings, stop, health, metrics)
        if index is None:
            return
        lines = stack.enter_context(_Lines(outputs))
        source = MemorySource(_messages(images, settings))
        progress = stack.enter_context(shown_progress("judge", images.total, write=_log.info))
        delivery = AtLeastOnceDelivery(source, MemorySink(partial(_write, lines, progress)))
        run(
            settings,
            index,
            source,
            delivery,
            topics=_TOPICS,
            claim_checks=ClaimCheckSettings(),
            metrics=metrics,
            health=health,
            stop=stop,
        )
    clips = told_in_sum(images.clip_reports)
    sys.stdout.write(f"{summary(metrics)}{clips and f'; {clips}'} -> {settings.output}\n")


def _index(settings: FolderSettings, stop: threading.Event, health: Health, metrics: Metrics) -> Index | None:
    if settings.index != MEMORY:
        return open_redis_index(settings, stop, health, metrics)
    descriptor = load_descriptor(settings.descriptor or DEFAULT, settings.weights)
    radius = descriptor.radius_for(settings.agreement) if settings.radius is None else settings.radius
    return MemoryIndex(
        IndexMeta(
            name=MEMORY,
            generation=0,
            descriptor=descriptor.spec,
            fingerprint=descriptor.fingerprint,
            dimension=descriptor.dimension,
            radius=radius,
            local_change=settings.local_change,
            agreement=settings.agreement,
            **switches_of(settings),
        )
    )


def _messages(images: Iterable[SourceImage], settings: FolderSettings) -> Iterator[ImageMessage]:
    """Yield the messages that a camera would publish, files as claim checks; the decoding threads read them."""
    root = Path(settings.input).resolve()
    for offset, image in enumerate(images):
        image_id = image.image_id.encode()
        headers: tuple[tuple[str, bytes], ...] = (("image_id", image_id),)
        envelope = None
        if isinstance(image, FileImage):
            envelope, headers = encode_envelope(Path(image.path).as_uri()), (*headers, ENVELOPE_HEADER)
        yield ImageMessage(
            "files",
            0,
            offset,
            int(time.time() * 1000),
            image_id,
            envelope,
            headers,
            _identity(image, root),
            partial(_read, _held(image, settings.max_image_bytes), settings.max_image_bytes),
        )


def _held(image: SourceImage, max_bytes: int) -> SourceImage:
    """Return what is held until an image is its batch's turn: a frame's JPEG, as its pixels take far more memory."""
    if isinstance(image, FileImage | BrokenImage):
        return image
    try:
        return BytesImage(image.image_id, image.encoded(max_bytes))
    except (BadInput, OSError) as exc:
        return BrokenImage(image.image_id, exc)


def _read(image: SourceImage, max_bytes: int) -> bytes:
    try:
        return image.encoded(max_bytes)
    except (BadInput, OSError) as exc:
        raise as_bad_input(exc) from exc


def _identity(image: SourceImage, root: Path) -> str:
    """Return what identifies this version of this file, so that it is judged only once."""
    if not isinstance(image, FileImage):
        return f"file:{text_of(str(root))}/{image.image_id}"
    path = Path(image.path)
    name = f"file:{text_of(image.path)}"
    try:
        status = path.stat()
    except OSError:
        return name
    return f"{name}:{status.st_size}:{status.st_mtime_ns}"


def _write(lines: "_Lines", progress: Advance, message: OutgoingMessage) -> None:
    lines.write(message)
    progress(1)


class _Lines:
    """The two output files, for verdicts and dead letters; renamed when complete.

    Messages to other topics are not written: the verdicts hold the same.

    Parameters
    ----------
    paths
        As `_outputs` returns them.
    """

    def __init__(self, paths: Mapping[bool, Path]) -> None:
        self._paths = paths
        self._files: dict[bool, TextIO] = {}

    def __enter__(self) -> Self:
        try:
            for dead, path in self._paths.items():
                self._files[dead] = _partial(path).open("w", encoding="utf-8")
        except OSError as exc:
            raise Misconfigured(f"--output: cannot write {exc.filename}: {exc.strerror}") from exc
        return self

    def write(self, message: OutgoingMessage) -> None:
        """Write a line for a verdict or a dead letter."""
        if message.topic == _TOPICS.dead_letters:
            headers = {name: (text or b"").decode(errors="replace") for name, text in message.headers}
            line = json.dumps(
                {
                    "image_id": headers.get("image_id", ""),
                    "reason": headers["error.reason"],
                    "detail": headers["error.detail"],
                },
                ensure_ascii=False,
            )
            self._files[True].write(f"{line}\n")
        elif message.topic == _TOPICS.verdicts:
            self._files[False].write(f"{(message.value or b'').decode()}\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for dead, file in self._files.items():
            empty = file.tell() == 0
            file.close()
            if kind is not None:
                continue  # keep what was judged so far under the partial name
            if dead and empty:
                _partial(self._paths[dead]).unlink()
                self._paths[dead].unlink(missing_ok=True)
            else:
                _partial(self._paths[dead]).replace(self._paths[dead])


def _outputs(output: Path) -> dict[bool, Path]:
    """Return the file of the verdicts, and under True that of the dead letters."""
    return {False: output, True: output.with_name(f"{output.stem}.dead.jsonl")}


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def summary(metrics: Metrics) -> str:
    """Return the counts in one line."""
    unique, duplicates = (
        int(metrics.registry.get_sample_value("neardup_images_total", {"verdict": verdict.value}) or 0)
        for verdict in (Verdict.UNIQUE, Verdict.DUPLICATE)
    )
    bad = sum(
        int(sample.value)
        for metric in metrics.bad_input.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )
    return f"{unique + duplicates} images: {unique} unique, {duplicates} duplicates; {bad} dead letters"
