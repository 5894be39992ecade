"""What manifests in files share: a fingerprint of their content, compressed or not, and lines with their numbers."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from consumer.backfill.entries import Signature, changed, signature, unreadable
from neardup.errors import Misconfigured
from neardup.sources.names import text_of

LONGEST_LINE_BYTES = 1024 * 1024
URI_NAMES = (
    *("uri", "url", "image_uri", "image_url", "path", "image_path", "file_path", "filepath"),
    *("file", "filename", "file_name"),
)
ID_NAMES = ("image_id", "id")
TIME_NAMES = ("captured_at",)


class Lines(Protocol):
    """A file that gives its lines."""

    def readline(self, size: int, /) -> bytes:
        """Return at most so many bytes of a line, with its end; none at the end of the file."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns or fields are meant; None for those that are usual."""

    uri: str | None = None
    image_id: str | None = None
    captured_at: str | None = None

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """The names that may stand for each, the first that is there counts."""
        asked = ((self.uri, URI_NAMES), (self.image_id, ID_NAMES), (self.captured_at, TIME_NAMES))
        return tuple(usual if name is None else (name,) for name, usual in asked)

    def found(self, there: list[str], where: str) -> list[str | None]:
        """Return the column of each among those that are there.

        Raises
        ------
        Misconfigured
            There is none for the URIs, or one that was named is not there.
        """
        listed = text_of(", ".join(there[:20]))[:300]
        found = [next((name for name in names if name in there), None) for names in self.names]
        for flag, asked, name in zip(
            ("", "--id-", "--time-"), (None, self.image_id, self.captured_at), found, strict=True
        ):
            if asked is not None and name is None:
                raise Misconfigured(f"{flag}column: {where} has no column {asked!r}; its columns are {listed}")
        if found[0] is None:
            asked = "no column for URIs" if self.uri is None else f"no column {self.uri!r}"
            raise Misconfigured(f"--column: {where} has {asked}; its columns are {listed}")
        return found


class ManifestFile:
    """A manifest in a file, which has to stay as it is.

    Parameters
    ----------
    path
        The file; relative paths in it are taken from its folder.
    columns
        Which are meant; of JSON lines, which fields.

    Attributes
    ----------
    folder
        Its folder.
    """

    def __init__(self, path: str, columns: Columns) -> None:
        self._columns = columns
        self.name = text_of(path)
        self.path = path
        self.folder = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120 - a name, as it is
        self._signature: Signature | None = None

    def fingerprint(self) -> str:
        """Return the SHA-256 of the whole file: of a large one this takes a second for each gigabyte or so."""
        try:
            with Path(self.path).open("rb") as file:
                self._signature = signature(os.fstat(file.fileno()))
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as exc:
            raise unreadable(self.name, exc) from exc

    def check_same(self) -> None:
        """Refuse a file that has changed since its fingerprint was taken.

        Raises
        ------
        Misconfigured
            It has.
        StoreUnavailable
            The device or the mount does not answer.
        """
        if self._signature is None:
            return
        try:
            there = signature(os.stat(self.path))  # noqa: PTH116 - a name, as it is
        except OSError as exc:
            raise unreadable(self.name, exc) from exc
        if there != self._signature:
            raise changed(self.name)

    def numbered_lines(self) -> Iterator[tuple[int, bytes | None]]:
        """Iterate over the lines as `numbered` does; a name that ends in .gz, in any case, is decompressed.

        Raises
        ------
        Misconfigured
            It cannot be read to its end.
        StoreUnavailable
            The device or the mount does not answer.
        """
        number = 0
        try:
            with self._opened() as file:
                for number, line in numbered(file):
                    yield number, line
        except (OSError, EOFError, zlib.error) as exc:
            error = unreadable(self.name, exc)
            raise type(error)(f"{error}, after line {number}") from exc

    def _opened(self) -> IO[bytes] | gzip.GzipFile:
        if self.path.lower().endswith(".gz"):
            return gzip.open(self.path, "rb")
        return Path(self.path).open("rb")


def numbered(file: Lines) -> Iterator[tuple[int, bytes | None]]:
    """Iterate over lines with their numbers, from 1 and without their ends; None for one that is too long."""
    number = 0
    while line := file.readline(LONGEST_LINE_BYTES):
        number += 1
        too_long = len(line) == LONGEST_LINE_BYTES and not line.endswith(b"\n")
        while too_long and (more := file.readline(LONGEST_LINE_BYTES)) and not more.endswith(b"\n"):
            pass
        yield number, None if too_long else line.rstrip(b"\r\n")
