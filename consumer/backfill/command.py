"""``neardup backfill LISTING...``: publishes the images of archives as claim checks, each exactly once.

Exit codes: 0 all published, 1 Kafka, a store or a mount is unavailable, 2 wrong settings, nothing to publish or a
manifest or a shard that is another one than before, 3 all but some lines that were refused, 130 stopped before the end.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from consumer.backfill.settings import IMAGE_SUFFIXES, BackfillSettings
from consumer.feeding.settings import STANDARD_INPUT
from neardup.cli.progress import shown_progress
from neardup.cli.running import EXIT_INTERRUPTED
from neardup.errors import Misconfigured, StoreUnavailable
from neardup.wording import counted

if TYPE_CHECKING:
    from consumer.backfill.entries import Listing, Refused
    from consumer.backfill.progress import ProgressFile
    from consumer.feeding.remembering import Batches

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
    """Publish until done or stopped, or only say what would be published; return the exit code."""
    from consumer.backfill.naming import Wanted  # noqa: PLC0415 - --help must not wait for numpy and kafka
    from consumer.backfill.sources import listings  # noqa: PLC0415 - as above
    from consumer.ending import BACKFILL, stopped_by_signals  # noqa: PLC0415 - as above

    for reported_here in ("kafka", "neardup.sources", "s3fs", "aiobotocore", "gcsfs"):
        logging.getLogger(reported_here).addHandler(logging.NullHandler())
    wanted, stop = Wanted(settings.suffixes), threading.Event()
    path = _state_path(settings)
    own = frozenset(f"{os.path.realpath(path)}{suffix}" for suffix in _JOURNALS)
    if settings.rejects is not None:
        _check_rejects(settings.rejects, own)
        own |= {os.path.realpath(settings.rejects)}
    found = listings(settings, wanted, stop=stop, tell=say, own=own)
    try:
        with stopped_by_signals(stop, BACKFILL):
            return _filled(settings, found, path, stop)
    finally:
        if wanted.passed_over:
            say(f"passed over: {wanted.told()}")


def _check_rejects(named: str, own: frozenset[str]) -> None:
    """Refuse a file that cannot or should not be written: not after millions of lines."""
    path = Path(named)
    if not path.absolute().parent.is_dir():
        raise Misconfigured(f"--rejects: there is no folder for {named!r}")
    if path.exists() and not path.is_file():
        raise Misconfigured(f"--rejects: {named!r} is no regular file")
    if os.path.realpath(path) in own:
        raise Misconfigured(f"--rejects: {named!r} is where --state remembers; name another file")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise Misconfigured(f"--rejects: {named!r} is called as images are; name another file")


def _filled(settings: BackfillSettings, found: "Sequence[Listing]", path: Path, stop: threading.Event) -> int:
    from consumer.backfill.filling import Filler  # noqa: PLC0415 - as above
    from consumer.backfill.progress import DryProgress, ProgressFile  # noqa: PLC0415 - as above
    from consumer.feeding.outages import Stopped  # noqa: PLC0415 - as above

    dry = settings.dry_run
    with ExitStack() as opened:
        state = (DryProgress if dry else ProgressFile)(path, _asked(settings), settings.topic)
        opened.callback(state.close)
        if settings.again:
            state.restart()
        in_doubt = state.on_its_way()
        batches = None if dry else _connected(settings, state.name, opened)
        paced = replace(settings, rate=0.0, pace=None) if dry else settings
        filler = Filler(paced, found, state, batches, stop, tell=say, refuse=Refusals().tell)
        before = state.progress()
        if before.listing < len(found) and (before.published or before.refused):
            say(f"going on behind {counted(before.published, 'image')}, says {path}")
        try:
            with shown_progress("count" if dry else "backfill") as advance:
                filler.run(advance)
        except Stopped:
            stop.set()
        except StoreUnavailable as exc:
            if dry:
                raise
            raise StoreUnavailable(f"{exc}; {_goes_on(settings)}") from exc
        if before.listing == len(found):
            _list(settings, state.refusals())
            say(f"all {before.published} images were published before, says {path}; --again publishes them once more")
            _forget_piped(settings, state)
            return EXIT_REFUSED if before.refused else 0
        if dry:
            return EXIT_INTERRUPTED if stop.is_set() else _counted(settings, state, before.published, in_doubt)
        return _ended(settings, state, stop, len(found))


def _connected(settings: BackfillSettings, name: str, opened: ExitStack) -> "Batches":
    from consumer.settings import EXACTLY_ONCE  # noqa: PLC0415 - as above
    from consumer.transport.numbered import NumberedBatches, UnnumberedBatches  # noqa: PLC0415 - as above

    exactly = settings.delivery == EXACTLY_ONCE
    batches: Batches = NumberedBatches(settings, name) if exactly else UnnumberedBatches(settings, [settings.topic])
    opened.callback(batches.close)
    batches.connect()
    return batches


def _counted(settings: BackfillSettings, state: "ProgressFile", before: int, in_doubt: int) -> int:
    from consumer.settings import EXACTLY_ONCE  # noqa: PLC0415 - as above

    done = state.progress()
    _list(settings, state.refusals())
    if not (done.published or done.refused):
        raise _nothing(settings)
    count = done.published - before
    told = f"{counted(count, 'image')} would be published to {settings.topic}"
    if in_doubt and settings.delivery == EXACTLY_ONCE:
        told += f", {count - in_doubt} if Kafka has the batch that was on its way"
    say(f"{told}{_refused_words(done.refused)}")
    return EXIT_REFUSED if done.refused else 0


def _ended(settings: BackfillSettings, state: "ProgressFile", stop: threading.Event, listings: int) -> int:
    done = state.progress()
    _list(settings, state.refusals())
    told = f"{counted(done.published, 'image')} published to {settings.topic}{_refused_words(done.refused)}"
    if done.listing < listings and stop.is_set():
        say(f"stopped: {told}; {_goes_on(settings)}")
        return EXIT_INTERRUPTED
    if not (done.published or done.refused):
        state.restart()
        raise _nothing(settings)
    say(told)
    _forget_piped(settings, state)
    return EXIT_REFUSED if done.refused else 0


def _goes_on(settings: BackfillSettings) -> str:
    return f"the same command{' without --again' if settings.again else ''} goes on from here"


def _forget_piped(settings: BackfillSettings, state: "ProgressFile") -> None:
    if STANDARD_INPUT in settings.listings:
        state.restart()  # what is piped next is another list


def _nothing(settings: BackfillSettings) -> Misconfigured:
    from neardup.sources.names import text_of  # noqa: PLC0415 - --help must not wait for it

    return Misconfigured(f"LISTING: no images found in {', '.join(map(text_of, settings.listings))}")


def _refused_words(count: int) -> str:
    return f", {counted(count, 'line')} refused" if count else ""


def _list(settings: BackfillSettings, refused: Iterable[tuple[str, str]]) -> None:
    lines = [*refused]
    if settings.rejects is not None and lines:  # what is there stays until there is something to say
        from neardup.tidy.lines import line_of, replacing  # noqa: PLC0415 - --help must not wait for it

        with replacing(Path(settings.rejects)) as file:
            file.writelines(line_of({"place": place, "why": why}) for place, why in lines)


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
