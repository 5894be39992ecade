"""A tar shard as a listing: each image in it by the bytes where it lies, so that nothing but headers is read here."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from consumer.backfill.entries import Entry, Position, Refused, Step, file_uri, short_id, uri_of
from consumer.backfill.naming import Wanted
from consumer.backfill.objects import explained
from consumer.claim_checks.spans import Span
from consumer.feeding.watching import signature_of
from neardup.errors import Misconfigured, UnreadableFile
from neardup.sources.archives import spans
from neardup.sources.names import text_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_BLOCK_BYTES = 8 * 1024 * 1024
"""Of an object, asked for at a time: some tens of pictures."""


class _Read:
    """An archive that cannot be read just now, which is not the same as one that is damaged."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self._name = name
        self._file = file

    def read(self, size: int) -> bytes:
        with explained(self._name):
            return self._file.read(size)

    def seek(self, place: int) -> int:
        with explained(self._name):
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
        Opens it for reading, with its size in bytes and what changes when it becomes another one.
    wanted
        Which members count.
    """

    def __init__(
        self,
        name: str,
        uri: str,
        opened: Callable[[], "tuple[AbstractContextManager[IO[bytes]], int, str]"],
        wanted: Wanted,
    ) -> None:
        self.name = name
        self._uri = uri
        self._opened = opened
        self._wanted = wanted

    def fingerprint(self) -> str:
        """Return its size, and the time or the tag of its last change."""
        with explained(self.name):
            file, _, fingerprint = self._opened()
            with file:
                return fingerprint

    def steps(self, after: Position | None) -> Iterator[Step]:
        """Iterate over the images behind a place in the archive."""
        begin, short = after or 0, text_of(self._uri.rpartition("/")[2])
        with explained(self.name):
            file, size_bytes, _ = self._opened()
        with file as opened:
            if begin >= size_bytes > 0:  # it is cut off, and that was told
                return
            try:
                for span in spans(_Read(self.name, opened), begin, size_bytes, self._wanted.passed_over):
                    begin = span.behind
                    if self._wanted.takes(span.name):
                        yield self._step(span.name, Span(span.first, span.first + span.size_bytes - 1), begin, short)
            except UnreadableFile as error:
                yield Refused(size_bytes, self.name, str(error))

    def _step(self, name: str, span: Span, behind: int, short: str) -> Step:
        named = text_of(name)
        if not span.size_bytes:
            return Refused(behind, self.name, f"{named!a} is empty")
        return Entry(behind, self._uri + span.fragment, short_id(f"{short}/{named}"))


def local_shard(path: str, wanted: Wanted) -> Shard:
    """Return the shard in a file."""
    uri = file_uri(os.path.abspath(path))  # noqa: PTH100 - a name, as it is

    def opened() -> tuple[IO[bytes], int, str]:
        found = signature_of(path)
        try:
            if found is None:
                raise FileNotFoundError(path)
            return Path(path).open("rb"), found[0], f"{found[0]} {found[1]}"
        except OSError as exc:
            raise Misconfigured(f"{text_of(path)}: it cannot be read: {exc.strerror or 'no such file'}") from exc

    return Shard(text_of(path), uri, opened, wanted)


def stored_shard(uri: str, wanted: Wanted, store_of: Callable[[str], Any]) -> Shard:
    """Return the shard in an object of a store.

    Parameters
    ----------
    store_of
        Returns the file system of a scheme: one for all shards, since to make it takes longer than to read a header.

    Raises
    ------
    ValueError
        The URI cannot be read.
    """
    scheme, _, path = uri_of(uri, "").partition("://")

    def opened() -> tuple[Any, int, str]:
        files = store_of(scheme)
        info = files.info(path)
        tag = info.get("ETag") or info.get("etag") or info.get("md5Hash") or ""
        # One object is read forward, so what was read ahead serves the next header.
        return (
            files.open(path, "rb", cache_type="readahead", block_size=_BLOCK_BYTES),
            int(info["size"]),
            f"{info['size']} {tag}",
        )

    return Shard(uri, uri, opened, wanted)
