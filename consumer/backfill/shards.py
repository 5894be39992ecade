"""A tar shard as a listing: each image in it by the bytes where it lies, so that nothing but headers is read here."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from consumer.backfill.entries import (
    Entry,
    Position,
    Refused,
    Step,
    changed,
    file_uri,
    short_id,
    signature,
    unreadable,
)
from consumer.backfill.naming import Wanted
from consumer.backfill.objects import explained
from consumer.claim_checks.spans import Span
from neardup.errors import StoreUnavailable, UnreadableFile
from neardup.sources.archives import spans
from neardup.sources.names import text_of

_BLOCK_BYTES = 8 * 1024 * 1024
"""Of an object, asked for at a time: some tens of pictures."""

Explained = Callable[[str], AbstractContextManager[None]]
"""Says what an error means for what has this name."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An archive that is open for reading.

    Attributes
    ----------
    fingerprint
        Changes when it becomes another one.
    is_same
        Says whether what is now under its name is what was opened.
    look_bytes
        How much of it is read between two such questions; 0 for one before each image.
    """

    file: AbstractContextManager[IO[bytes]]
    size_bytes: int
    fingerprint: str
    is_same: Callable[[], bool]
    look_bytes: int = 0


class _Read:
    """An archive that cannot be read just now, which is not the same as one that is damaged."""

    def __init__(self, file: IO[bytes], explained: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._explained = explained

    def read(self, size: int) -> bytes:
        with self._explained():
            return self._file.read(size)

    def seek(self, place: int) -> int:
        with self._explained():
            return self._file.seek(place)

    def tell(self) -> int:
        return self._file.tell()


class Shard:
    """The images in an archive, as webdataset writes them: members whose names end like images'.

    Parameters
    ----------
    name
        What the archive is called, in lines.
    uri
        The archive's own.
    opened
        Opens it.
    wanted
        Which members count.
    explained
        Says what an error of `opened`, or of what it opened, means.
    """

    def __init__(self, name: str, uri: str, opened: Callable[[], Opened], wanted: Wanted, explained: Explained) -> None:
        self.name = name
        self._uri = uri
        self._opened = opened
        self._wanted = wanted
        self._explained = partial(explained, name)
        self._fingerprint: str | None = None

    def fingerprint(self) -> str:
        """Return its size, and the time or the tag of its last change."""
        with self._explained():
            opened = self._opened()
            with opened.file:
                self._fingerprint = opened.fingerprint
                return self._fingerprint

    def steps(self, after: Position | None) -> Iterator[Step]:
        """Iterate over the images behind a place in the archive, as long as it stays the one that was opened.

        Raises
        ------
        Misconfigured
            It cannot be read, or has become another one: the places are not those of the pictures there.
        StoreUnavailable
            The store, the device or the mount does not answer.
        """
        with self._explained():
            opened = self._opened()
        with opened.file as file:
            if self._fingerprint not in (None, opened.fingerprint):
                raise changed(self.name)
            if (after or 0) >= opened.size_bytes > 0:  # it is cut off, and that was told
                return
            try:
                yield from self._images(_Read(file, self._explained), after or 0, opened)
            except UnreadableFile as error:
                self._check_same(opened)
                yield Refused(opened.size_bytes, self.name, str(error))
            except StoreUnavailable:
                self._check_same(opened)  # what is replaced may be no longer readable where it is open
                raise

    def _images(self, file: _Read, begin: int, opened: Opened) -> Iterator[Step]:
        looked, short = begin, text_of(self._uri.rpartition("/")[2])
        for span in spans(file, begin, opened.size_bytes, self._wanted.passed_over):
            if span.behind - looked >= opened.look_bytes:
                self._check_same(opened)
                looked = span.behind
            if self._wanted.takes(span.name):
                part = Span(span.first, span.first + span.size_bytes - 1)
                yield self._step(span.name, part, span.behind, short)
        self._check_same(opened)

    def _check_same(self, opened: Opened) -> None:
        with self._explained():
            is_same = opened.is_same()
        if not is_same:
            raise changed(self.name)

    def _step(self, name: str, span: Span, behind: int, short: str) -> Step:
        named = text_of(name)
        if not span.size_bytes:
            return Refused(behind, self.name, f"{named[:200]!a} is empty")
        return Entry(behind, self._uri + span.fragment, short_id(f"{short}/{named}"))


@contextmanager
def _explained_here(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise unreadable(name, exc) from exc


def local_shard(path: str, wanted: Wanted) -> Shard:
    """Return the shard in a file."""

    def opened() -> Opened:
        file = Path(path).open("rb")  # noqa: SIM115 - whoever asks for it closes it
        found = os.fstat(file.fileno())
        before = signature(found)
        return Opened(
            file,
            found.st_size,
            f"{found.st_size} {found.st_mtime_ns}",
            lambda: signature(os.stat(path)) == before,  # noqa: PTH116 - a name, as it is
        )

    uri = file_uri(os.path.abspath(path))  # noqa: PTH100 - as above
    return Shard(text_of(path), uri, opened, wanted, _explained_here)


def stored_shard(uri: str, wanted: Wanted, store_of: Callable[[str], Any]) -> Shard:
    """Return the shard in an object of a store.

    Parameters
    ----------
    uri
        One that consumers can read.
    store_of
        Returns the file system of a scheme: one for all shards, since to make it takes longer than to read a header.
    """
    scheme, _, path = uri.partition("://")

    def fingerprint_of(info: dict[str, Any]) -> str:
        return f"{info['size']} {info.get('ETag') or info.get('etag') or info.get('md5Hash') or ''}"

    def opened() -> Opened:
        files = store_of(scheme)
        info = files.info(path)
        before = fingerprint_of(info)
        return Opened(
            # One object is read forward, so what was read ahead serves the next header.
            files.open(path, "rb", cache_type="readahead", block_size=_BLOCK_BYTES),
            int(info["size"]),
            before,
            lambda: fingerprint_of(files.info(path)) == before,
            _BLOCK_BYTES,  # each question is a request
        )

    return Shard(uri, uri, opened, wanted, explained)
