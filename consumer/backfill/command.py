"""``neardup backfill LISTING...``: publishes the images of archives as claim checks, each exactly once.

Exit codes: 0 all published, 1 Kafka, a store or a mount is unavailable, 2 wrong settings, nothing to publish or a
manifest or a shard that is another one than before, 3 all but some lines that were refused, 130 stopped before the end.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from consumer.backfill.settings import BackfillSettings
from consumer.feeding.settings import STANDARD_INPUT
from neardup.cli.progress import shown_progress
from neardup.cli.running import EXIT_INTERRUPTED
from neardup.errors import Misconfigured, StoreUnavailable
from neardup.wording import counted

if TYPE_CHECKING:
    from consumer.backfill.entries import Listing, Refused
    from consumer.backfill.progress import ProgressFile

EXIT_REFUSED = 3
_MOST_SHOWN = 20
_JOURNALS = ("", "-journal", "-wal", "-shm")


def say(text: str) -> None:
    """Tell the user of the backfill, in one line."""
    sys.stderr.write(f"backfill: {text}\n")


class Refusals:
    """Tells of refused lines: the first of them one by one, and at the end how many there were."""

    def __init__(self) -> None:
        self.count = 0

    def tell(self, refused: "Refused") -> None:
        """Tell of one more."""
        self.count += 1
        if self.count <= _MOST_SHOWN:
            say(f"refused {refused.place}: {refused.why}")
        elif self.count == _MOST_SHOWN + 1:
            say("more lines are refused; --rejects FILE lists them")


def backfill(settings: BackfillSettings) -> int:
    """Publish until done or stopped; return the exit code."""
    from consumer.backfill.naming import Wanted  # noqa: PLC0415 - --help must not wait for numpy and kafka
    from consumer.backfill.sources import listings  # noqa: PLC0415 - as above
    from consumer.ending import BACKFILL, stopped_by_signals  # noqa: PLC0415 - as above

    for reported_here in ("kafka", "neardup.sources", "s3fs", "aiobotocore", "gcsfs"):
        logging.getLogger(reported_here).addHandler(logging.NullHandler())
    if settings.rejects is not None and not Path(settings.rejects).absolute().parent.is_dir():
        raise Misconfigured(f"--rejects: there is no folder for {settings.rejects!r}")  # not after millions of lines
    wanted, stop = Wanted(settings.suffixes), threading.Event()
    path = _state_path(settings)
    own = frozenset(f"{os.path.realpath(path)}{suffix}" for suffix in _JOURNALS)
    found = listings(settings, wanted, stop=stop, tell=say, own=own)
    try:
        with stopped_by_signals(stop, BACKFILL):
            return _counted(settings, found, stop) if settings.dry_run else _published(settings, found, path, stop)
    finally:
        if wanted.passed_over:
            say(f"passed over: {wanted.told()}")


def _counted(settings: BackfillSettings, found: "Sequence[Listing]", stop: threading.Event) -> int:
    from consumer.backfill.entries import Entry, Refused  # noqa: PLC0415 - as above
    from consumer.backfill.progress import MOST_LISTED  # noqa: PLC0415 - as above
    from consumer.feeding.outages import Stopped  # noqa: PLC0415 - as above

    refusals, kept, count = Refusals(), list[tuple[str, str]](), 0
    with shown_progress("count") as advance, suppress(Stopped):
        for step in chain.from_iterable(listing.steps(None) for listing in found):
            if stop.is_set():
                break
            if isinstance(step, Entry):
                count += 1
                advance(1)
            elif isinstance(step, Refused):
                refusals.tell(step)
                kept += [(step.place, step.why)] if refusals.count <= MOST_LISTED else []
    if stop.is_set():
        return EXIT_INTERRUPTED
    _list(settings, kept)
    if not (count or refusals.count):
        raise _nothing(settings)
    say(f"{counted(count, 'image')} would be published to {settings.topic}{_refused_words(refusals.count)}")
    return EXIT_REFUSED if refusals.count else 0


def _published(settings: BackfillSettings, found: "Sequence[Listing]", path: Path, stop: threading.Event) -> int:
    from consumer.backfill.filling import Filler  # noqa: PLC0415 - as above
    from consumer.backfill.progress import ProgressFile  # noqa: PLC0415 - as above
    from consumer.feeding.outages import Stopped  # noqa: PLC0415 - as above
    from consumer.settings import EXACTLY_ONCE  # noqa: PLC0415 - as above
    from consumer.transport.numbered import NumberedBatches, UnnumberedBatches  # noqa: PLC0415 - as above

    with ExitStack() as opened:
        state = ProgressFile(path, _asked(settings), settings.topic)
        opened.callback(state.close)
        if settings.again:
            state.restart()
        exactly = settings.delivery == EXACTLY_ONCE
        batches = NumberedBatches(settings, state.name) if exactly else UnnumberedBatches(settings, [settings.topic])
        opened.callback(batches.close)
        batches.connect()
        refusals = Refusals()
        filler = Filler(settings, found, state, batches, stop, tell=say, refuse=refusals.tell)
        before = state.progress()
        if before.listing < len(found) and (before.published or before.refused):
            say(f"going on behind {counted(before.published, 'image')}, says {path}")
        try:
            with shown_progress("backfill") as advance:
                filler.run(advance)
        except Stopped:
            stop.set()
        except StoreUnavailable as exc:
            raise StoreUnavailable(f"{exc}; the same command goes on from here") from exc
        if before.listing == len(found):
            _list(settings, state.refusals())
            say(f"all {before.published} images were published before, says {path}; --again publishes them once more")
            _forget_piped(settings, state)
            return EXIT_REFUSED if before.refused else 0
        return _ended(settings, state, stop, len(found))


def _ended(settings: BackfillSettings, state: "ProgressFile", stop: threading.Event, listings: int) -> int:
    done = state.progress()
    _list(settings, state.refusals())
    told = f"{counted(done.published, 'image')} published to {settings.topic}{_refused_words(done.refused)}"
    if done.listing < listings and stop.is_set():
        say(f"stopped: {told}; the same command goes on from here")
        return EXIT_INTERRUPTED
    if not (done.published or done.refused):
        state.restart()
        raise _nothing(settings)
    say(told)
    _forget_piped(settings, state)
    return EXIT_REFUSED if done.refused else 0


def _forget_piped(settings: BackfillSettings, state: "ProgressFile") -> None:
    if STANDARD_INPUT in settings.listings:
        state.restart()  # what is piped next is another list


def _nothing(settings: BackfillSettings) -> Misconfigured:
    from neardup.sources.names import text_of  # noqa: PLC0415 - --help must not wait for it

    return Misconfigured(f"LISTING: no images found in {', '.join(map(text_of, settings.listings))}")


def _refused_words(count: int) -> str:
    return f", {counted(count, 'line')} refused" if count else ""


def _list(settings: BackfillSettings, refused: Iterable[tuple[str, str]]) -> None:
    if settings.rejects is not None:
        from neardup.tidy.lines import line_of, replacing  # noqa: PLC0415 - --help must not wait for it

        with replacing(Path(settings.rejects)) as file:
            file.writelines(line_of({"place": place, "why": why}) for place, why in refused)


def _state_path(settings: BackfillSettings) -> Path:
    from consumer.feeding.state import usual_path  # noqa: PLC0415 - as above

    if settings.state is not None:
        return Path(os.path.realpath(settings.state))
    return usual_path("backfill", _asked(settings).encode(errors="surrogateescape"), settings.topic.encode())


def _asked(settings: BackfillSettings) -> str:
    """Return what is published, and how it is read: where we are means something only for the same."""
    from consumer.backfill.sources import canonical  # noqa: PLC0415 - as above
    from neardup.sources.names import text_of  # noqa: PLC0415 - as above

    asked: list[str] = [text_of(canonical(named)) for named in settings.listings]
    columns = {"--column": settings.column, "--id-column": settings.id_column, "--time-column": settings.time_column}
    asked += [f"{flag} {name}" for flag, name in columns.items() if name is not None]
    if settings.suffixes is not None:
        asked.append(f"--suffixes {','.join(sorted(settings.suffixes)) or 'any'}")
    return " ".join(asked)
