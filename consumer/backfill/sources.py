"""From what the command line names to listings."""

import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from consumer.backfill.entries import Listing, is_outage, unreadable, uri_of
from consumer.backfill.folder import Folder
from consumer.backfill.lists import ListFile, PipedList
from consumer.backfill.manifests import Columns
from consumer.backfill.naming import Wanted
from consumer.backfill.objects import KEYS, Prefix
from consumer.backfill.piped import PipedLines
from consumer.backfill.settings import BackfillSettings
from consumer.backfill.shards import local_shard, stored_shard
from consumer.backfill.tables import CsvFile, ParquetFile
from consumer.claim_checks.errors import shown
from consumer.claim_checks.local import file_path
from consumer.claim_checks.reader import check_extra
from consumer.claim_checks.schemes import SCHEMES
from consumer.claim_checks.stores import FILE_SYSTEMS, opened_store
from consumer.feeding.inputs import readable
from consumer.feeding.settings import STANDARD_INPUT
from neardup.errors import Misconfigured
from neardup.sources.archives import SUFFIXES
from neardup.sources.names import text_of

_MANIFESTS: dict[str, Callable[[str, Columns], Listing]] = {
    ".csv": CsvFile,
    ".tsv": CsvFile,
    ".parquet": ParquetFile,
    ".pq": ParquetFile,
}
"""By the end of a file's name; any other file is a list with a line for each image."""
_TAR = ".tar"
_MOST_SHARDS = 1_000_000
_RANGE = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")


def listings(
    settings: BackfillSettings,
    wanted: Wanted,
    *,
    stop: threading.Event,
    tell: Callable[[str], object],
    own: frozenset[str] = frozenset(),
) -> list[Listing]:
    """Return the listings that the settings name, in their order.

    Parameters
    ----------
    wanted
        Which names in folders, prefixes and shards count.
    stop, tell
        End the waiting for a store or a line, and tell of that for a store.
    own
        Real paths of what is written meanwhile.

    Raises
    ------
    Misconfigured
        There are none, or one that is none.
    StoreUnavailable
        The device or the mount of one does not answer.
    """
    columns = Columns(settings.column, settings.id_column, settings.time_column)
    store_of = cache(lambda scheme: opened_store(FILE_SYSTEMS[scheme]))
    written, found = _written(own), list[Listing]()
    for named in settings.listings:
        for text in _expanded(named):
            if text == STANDARD_INPUT:
                lines = PipedLines(readable(0, "LISTING"), stop)
                _check_not_written("standard input", os.fstat(0), written)
                found.append(PipedList(lines, columns))
            elif re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) and not text.startswith("file://"):
                found.append(_stored(text, wanted, store_of, stop, tell))
            else:
                path, status = _looked_at(text)
                _check_not_written(text_of(text), status, written)
                found.append(_local(path, status, columns, wanted, own))
    if not found:
        raise Misconfigured(
            "LISTING: name a folder, an s3:// or gs:// prefix, a manifest or a tar shard, or - for a list"
        )
    return found


def canonical(named: str) -> str:
    """Return what a listing is known by from one start to the next, wherever the command is given."""
    return named if named == STANDARD_INPUT or "://" in named else os.path.abspath(named)  # noqa: PTH100 - as it is


def _expanded(named: str) -> Iterator[str]:
    """Iterate over what braces in a name stand for, as shells expand them: ``{000..099}``, ``{a,b}``."""
    if "://" not in named and os.path.exists(named):  # noqa: PTH110 - a name that may be too long for a path
        yield named
        return
    expanded = list(islice(_unbraced(named), _MOST_SHARDS + 1))
    if len(expanded) > _MOST_SHARDS:
        raise Misconfigured(f"LISTING: {text_of(named)} stands for more than {_MOST_SHARDS:,} names")
    yield from expanded


def _unbraced(named: str) -> Iterator[str]:
    found = _RANGE.search(named)
    if found is None:
        yield named
        return
    for middle in _alternatives(found):
        yield from _unbraced(named[: found.start()] + middle + named[found.end() :])


def _alternatives(found: "re.Match[str]") -> Iterator[str]:
    first, last, names = found.groups()
    if names is not None:
        yield from names.split(",")
        return
    is_padded = any(len(end) > 1 and end.startswith("0") for end in (first, last))
    width = max(len(first), len(last)) if is_padded else 0
    step = 1 if int(first) <= int(last) else -1
    yield from (f"{number:0{width}d}" for number in range(int(first), int(last) + step, step))


def _stored(
    text: str,
    wanted: Wanted,
    store_of: Callable[[str], Any],
    stop: threading.Event,
    tell: Callable[[str], object],
) -> Listing:
    name = text.partition(":")[0]
    if name not in KEYS:
        raise Misconfigured(
            f"LISTING: {shown(text)} cannot be listed: it should begin with s3:// or gs://, or be a path"
        )
    scheme, is_shard = SCHEMES[name], text.lower().endswith(_TAR)
    try:
        target = scheme.parse(uri_of(text, "") if is_shard else text)
    except ValueError as exc:
        raise Misconfigured(f"LISTING: {shown(text)}: {exc}") from exc
    check_extra(scheme, f"LISTING: {name}://...")
    _check_not_compressed(text)
    if is_shard:
        return stored_shard(text, wanted, store_of)
    if text.lower().endswith((*_MANIFESTS, ".jsonl", ".ndjson", ".txt", ".gz")):
        raise Misconfigured(
            f"LISTING: {shown(text)}: manifests are read from this machine: copy it here, or pipe it into -"
        )
    return Prefix(name, target.host, target.path.lstrip("/"), wanted, stop=stop, tell=tell)


def _written(own: frozenset[str]) -> frozenset[tuple[int, int]]:
    """Return device and inode of what is written meanwhile, as far as it is there."""
    there = [os.stat(path) for path in own if os.path.exists(path)]  # noqa: PTH110, PTH116 - a name, as it is
    return frozenset((each.st_dev, each.st_ino) for each in there)


def _check_not_written(name: str, found: os.stat_result, written: frozenset[tuple[int, int]]) -> None:
    if (found.st_dev, found.st_ino) in written:
        raise Misconfigured(f"LISTING: {name} is a file that --rejects or --state would write; name another file there")


def _looked_at(text: str) -> tuple[str, os.stat_result]:
    """Return the path that a name stands for, and what is there."""
    try:
        path = str(file_path(text)) if text.startswith("file://") else text
        return path, os.stat(path)  # noqa: PTH116 - a name, as it is
    except (OSError, ValueError) as exc:
        if is_outage(exc):
            raise unreadable(text_of(text), exc) from exc
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise Misconfigured(f"LISTING: {text_of(text)}: {why}") from exc


def _local(path: str, found: os.stat_result, columns: Columns, wanted: Wanted, own: frozenset[str]) -> Listing:
    if stat.S_ISDIR(found.st_mode):
        return Folder(os.path.realpath(path), wanted, own)
    if not stat.S_ISREG(found.st_mode):
        raise Misconfigured(f"LISTING: {text_of(path)} is no regular file; a pipe can be read as -")
    _check_not_compressed(path)
    if path.lower().endswith(_TAR):
        return local_shard(path, wanted)
    kind = Path(path.lower().removesuffix(".gz")).suffix
    return _MANIFESTS.get(kind, ListFile)(path, columns)


def _check_not_compressed(text: str) -> None:
    if text.lower().endswith(SUFFIXES[1:]):
        raise Misconfigured(
            f"LISTING: {text_of(text)}: what is in a compressed archive cannot be read by its place; decompress it, "
            "or publish its images themselves by neardup feed"
        )
