"""Files of JSON documents, one on each line: complete or not there, or appended to so that a crash costs no line."""

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TextIO

from neardup.errors import Misconfigured
from neardup.tidy.places import partial

Document = dict[str, Any]
_LONGEST_LINE_BYTES = 1 << 20


def cannot_write(error: OSError, path: Path) -> Misconfigured:
    """Return the error for the operator; the caller raises it."""
    return Misconfigured(f"cannot write {path}: {error.strerror or error}")


@contextmanager
def replacing(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """Write a text file under its ``.partial`` name, and replace the earlier one when the block ends well.

    Raises
    ------
    Misconfigured
        It cannot be written: the disk is full, the folder closed. The earlier file is as it was.
    """
    with replaced(path) as part, part.open("w", encoding="utf-8", newline=newline) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give the ``.partial`` name to write a file under, which replaces the earlier one when the block ends well.

    Raises
    ------
    Misconfigured
        As `replacing`.
    """
    try:
        yield partial(path)
        partial(path).replace(path)
    except BaseException as exc:
        with suppress(OSError):
            partial(path).unlink()
        if isinstance(exc, OSError):
            raise cannot_write(exc, path) from exc
        raise


def text_of(document: Document) -> str:
    """Return a document as text in one line."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def line_of(document: Document) -> str:
    """Return a document as one line, with its end."""
    return f"{text_of(document)}\n"


def read_lines(path: Path, on_broken: Callable[[str], object] | None = None) -> Iterator[tuple[int, Document]]:
    """Iterate over the documents of a file, each with the number of its line; an unfinished last line is none.

    Parameters
    ----------
    path
        Of the file.
    on_broken
        Told of each line that is no document, which is then passed over; None raises.

    Raises
    ------
    Misconfigured
        The file cannot be read, or a line is no document.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Misconfigured(f"cannot read {path}: not a regular file")
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    continue
                try:
                    document = _document(line, f"{path}, line {number}")
                except Misconfigured as exc:
                    if on_broken is None:
                        raise
                    on_broken(str(exc))
                else:
                    yield number, document
    except OSError as exc:
        raise Misconfigured(f"cannot read {path}: {exc.strerror or exc}") from exc


def _document(line: bytes, place: str) -> Document:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise Misconfigured(f"{place}: not JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise Misconfigured(f"{place}: not a JSON object")
    return document


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


class Appended:
    """Appends lines, each of which is on the disk before `write` returns.

    Parameters
    ----------
    path
        Made if it is not there. An unfinished last line is what a crash left, and goes.

    Raises
    ------
    Misconfigured
        It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # Not text: what is written must be known to have arrived, and what has not must not come later.
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            self._end = self._cut_to_whole_lines()
            _sync_folder(path.parent)  # of a new file the name has to be there, too
        except OSError as exc:
            raise cannot_write(exc, path) from exc

    def _cut_to_whole_lines(self) -> int:
        size = os.fstat(self._file).st_size
        tail = os.pread(self._file, _LONGEST_LINE_BYTES, max(0, size - _LONGEST_LINE_BYTES))
        unfinished = len(tail) - (tail.rfind(b"\n") + 1)
        if unfinished == _LONGEST_LINE_BYTES:
            raise OSError(errno.EINVAL, "it is no file of ours")
        if unfinished:
            os.ftruncate(self._file, size - unfinished)
        return size - unfinished

    @property
    def is_new(self) -> bool:
        """Whether nothing was written to it yet."""
        return self._end == 0

    def write(self, document: Document) -> None:
        """Append a line.

        Raises
        ------
        Misconfigured
            It could not be written whole; nothing of it stays.
        """
        line = line_of(document).encode()
        try:
            self._write_whole(line)
        except OSError as exc:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise cannot_write(exc, self._path) from exc
        self._end += len(line)

    def _write_whole(self, line: bytes) -> None:
        if os.write(self._file, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
