"""Folder mode: the same handler and loop on files, without Kafka; with ``--index memory`` without Redis, too.

Exit codes: 0 all is judged or a dead letter, and what was to be tidied is, 1 a server was still away when the shutdown
timeout ran out, 2 wrong settings, an index that does not fit, or files that cannot be written, 3 an unexpected error, 4
some files were left alone, 130 interrupted: the same command goes on with the rest, 143 a second SIGTERM.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from consumer.ending import FOLDER, stopped_by_signals
from consumer.folder.messages import FILE_HEADER, Found, messages_of
from consumer.folder.output import TOPICS, Output
from consumer.folder.reference import ReferenceIndex
from consumer.folder.resume import Journal, decided_by
from consumer.folder.settings import MEMORY, FolderSettings
from consumer.folder.tidying import apply_plan, tidy
from consumer.health import Health
from consumer.messages import OutgoingMessage
from consumer.metrics import Metrics
from consumer.service import open_redis_index, run, suited_to_threads
from consumer.settings import ClaimCheckSettings
from consumer.transport.at_least_once import AtLeastOnceDelivery
from consumer.transport.memory import MemorySink, MemorySource
from neardup.cli.images import found_images
from neardup.cli.progress import Advance, shown_progress
from neardup.descriptors import DEFAULT, load_descriptor
from neardup.errors import Misconfigured
from neardup.index.base import Index, IndexMeta
from neardup.index.memory import MemoryIndex
from neardup.relation.symmetry import switches_of
from neardup.settings.decoding import decode_limits
from neardup.sources.clip_report import told_in_sum
from neardup.tidy.groups import Picture
from neardup.tidy.places import Places

_log = logging.getLogger(__name__)


def judge_folder(settings: FolderSettings) -> int:
    """Judge every image of a folder, write one verdict per line to ``--output``, and the groups beside it.

    What cannot be read or judged goes to a second file beside it, ``NAME.dead.jsonl``, with the reason. All are
    written as ``.partial`` and replace earlier ones only when all is done. With ``--apply`` nothing is judged: the plan
    of an earlier run is acted on, unless ``--yes`` asks for both.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    Misconfigured
        There is nothing to read, the output cannot be written, or the index does not fit.
    ShutdownTimeout
        Told to stop while Redis was away.
    KeyboardInterrupt
        Told to stop before all was judged.
    """
    _refuse_overlap(settings)
    places = Places.beside(Path(settings.output))
    if settings.apply is None or settings.yes:
        tidy(settings, places, _judged(settings, places))
    return 0 if settings.apply is None else apply_plan(settings, places)


def _refuse_overlap(settings: FolderSettings) -> None:
    if settings.against is None:
        return
    one, other = (Path(os.path.realpath(path)) for path in (settings.input, settings.against))
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise Misconfigured(f"--against {settings.against}: it and {settings.input} must lie beside one another")


def _judged(settings: FolderSettings, places: Places) -> list[Picture]:
    """Judge all images; return what groups need to know of them."""
    found = _found(settings, places)
    metrics, health, stop = Metrics(), Health(), threading.Event()
    with ExitStack() as stack:
        if settings.log_level != "DEBUG":
            # The output file holds the verdicts; a copy of each on the terminal would bury the warnings.
            journal_of_log = logging.getLogger("consumer.logs")
            stack.callback(journal_of_log.setLevel, journal_of_log.level)
            journal_of_log.setLevel(logging.WARNING)
        stack.enter_context(suited_to_threads())
        stack.enter_context(stopped_by_signals(stop, FOLDER))
        opened = _opened(settings, places, stop, health, metrics)
        if opened is None:
            raise KeyboardInterrupt
        index, journal = opened
        stack.enter_context(journal)
        output = stack.enter_context(Output(places, journal, FILE_HEADER))
        source = MemorySource(messages_of(found, settings.max_image_bytes, journal.is_known))
        progress = stack.enter_context(shown_progress("judge", _total(found), write=_log.info))
        progress(len(journal.entries))
        run(
            settings,
            index,
            source,
            AtLeastOnceDelivery(source, MemorySink(partial(_write, output, progress))),
            topics=TOPICS,
            pass_headers=(FILE_HEADER,),
            claim_checks=ClaimCheckSettings(),
            metrics=metrics,
            health=health,
            stop=stop,
        )
        if not source.exhausted:
            sys.stdout.write(f"{output.summary()} so far; the same command goes on with the rest\n")
            raise KeyboardInterrupt
    clips = told_in_sum([report for each in found for report in each.images.clip_reports])
    against = f"; compared with {output.reference} more" if settings.against else ""
    sys.stdout.write(f"{output.summary()}{against}{clips and f'; {clips}'} -> {settings.output}\n")
    return output.pictures


def _found(settings: FolderSettings, places: Places) -> list[Found]:
    """Return the images of the reference, if there is one, and those that are judged."""
    own = [*places.own, *([] if settings.to is None else [Path(settings.to)])]
    against = [] if settings.against is None else [_found_in(settings.against, settings, own, is_reference=True)]
    return [*against, _found_in(settings.input, settings, own, is_reference=False)]


def _found_in(path: str, settings: FolderSettings, own: Iterable[Path], *, is_reference: bool) -> Found:
    images = found_images(
        [path],
        settings.fps,
        own=own,
        largest_first=settings.largest_first,
        formats=decode_limits(settings).formats,
        write=_log.info,
    )
    root = Path(os.path.realpath(path))
    return Found(images, root, root if root.is_dir() else root.parent, is_reference)


def _total(found: Iterable[Found]) -> int | None:
    totals = [each.images.total for each in found]
    return None if None in totals else sum(total or 0 for total in totals)


def _write(output: Output, progress: Advance, message: OutgoingMessage) -> None:
    output.write(message)
    progress(1)


def _opened(
    settings: FolderSettings, places: Places, stop: threading.Event, health: Health, metrics: Metrics
) -> tuple[Index, Journal] | None:
    """Return the index and the journal that goes with it; None when told to stop while Redis was away."""
    if settings.index != MEMORY:
        redis_index = open_redis_index(settings, stop, health, metrics)
        return None if redis_index is None else (redis_index, _journal(settings, places, redis_index.meta))
    meta = _meta(settings)
    journal = _journal(settings, places, meta)
    index = MemoryIndex(meta, members=journal.members(meta.dimension))
    return (ReferenceIndex(index) if settings.against else index), journal


def _journal(settings: FolderSettings, places: Places, meta: IndexMeta) -> Journal:
    return Journal(places.journal, {**decided_by(settings), "index": json.loads(meta.to_json())})


def _meta(settings: FolderSettings) -> IndexMeta:
    descriptor = load_descriptor(settings.descriptor or DEFAULT, settings.weights)
    radius = descriptor.radius_for(settings.agreement) if settings.radius is None else settings.radius
    return IndexMeta(
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
