"""The scheme ``file``: files below allowed folders."""

import os
import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from consumer.claim_checks.allowed import OUTSIDE
from consumer.claim_checks.errors import shown
from consumer.claim_checks.scheme import Access, Found, Scheme
from consumer.claim_checks.spans import Span, whole
from neardup.errors import TooManyBytes, UriNotAllowed, UriUnreadable

_LOCAL_HOSTS = {"", "localhost"}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening a pipe could block for ever; opening a terminal could make it ours.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class LocalFiles:
    """Reads regular files below some folders.

    Not through fsspec, whose local files always follow links.

    Parameters
    ----------
    roots
        The folders, with links resolved.
    max_bytes
        Largest file, in bytes.
    """

    def __init__(self, roots: Sequence[Path], max_bytes: int) -> None:
        self._roots = roots
        self._max_bytes = max_bytes

    def find(self, uri: str) -> Found:
        """Return the file of an allowed URI; symbolic links are followed before the check, never after it.

        Raises
        ------
        UriNotAllowed
            It is outside the folders, or not a file: URI.
        """
        return Found("file:", partial(self._read, uri, *self._allowed(uri)))

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _read(self, uri: str, root: Path, parts: tuple[str, ...], span: Span | None) -> bytes:
        try:
            with os.fdopen(_open_below(root, parts), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise UriUnreadable(f"{shown(uri)} is not a regular file")
                if span is not None:
                    file.seek(span.first)
                data = file.read(self._max_bytes + 1 if span is None else span.size_bytes)
        except OSError as exc:
            raise UriUnreadable(f"{shown(uri)}: {exc.strerror or type(exc).__name__}") from exc
        if len(data) > self._max_bytes:
            raise TooManyBytes(f"{shown(uri)} has more than {self._max_bytes} bytes")
        return whole(data, span, shown(uri))

    def _allowed(self, uri: str) -> tuple[Path, tuple[str, ...]]:
        try:
            path = file_path(uri).resolve()
        except (ValueError, OSError, RuntimeError) as exc:  # RuntimeError: a loop of links, before Python 3.13
            raise UriNotAllowed(f"{shown(uri)} is not a valid file: URI") from exc
        for root in self._roots:
            if path.is_relative_to(root):
                return root, path.relative_to(root).parts
        raise UriNotAllowed(f"{shown(uri)} is not allowed: {OUTSIDE}")


def _open_below(root: Path, parts: Sequence[str]) -> int:
    """Open a file, folder by folder: a link placed there after the path was resolved is not followed."""
    folder = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        name = parts[-1] if parts else "."
        # Opening a device may have side effects.
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(0, "not a regular file")
        return os.open(name, _FILE, dir_fd=folder)
    finally:
        os.close(folder)


def file_path(uri: str) -> Path:
    """Return the path of a ``file:`` URI; ValueError says what is wrong with it."""
    parts = urlsplit(uri)
    if parts.scheme != "file":
        raise ValueError("only file: URIs can be read")
    path = os.fsdecode(unquote_to_bytes(parts.path))  # a file name may hold any bytes
    if parts.netloc not in _LOCAL_HOSTS or not path.startswith("/") or "\0" in path:
        raise ValueError("it must name an absolute path on this machine")
    return Path(path)


def _parse_prefix(prefix: str) -> Path:
    return file_path(prefix).resolve()


def _open(roots: Sequence[Path], access: Access) -> LocalFiles:
    return LocalFiles(roots, access.max_bytes)


FILE = Scheme("file", "file:///folder/", _parse_prefix, file_path, _open)
