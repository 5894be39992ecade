"""Claim checks: reading an image from where its envelope says, if the operator allows it."""

import stat
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from neardup.errors import Misconfigured, TooManyBytes, UriNotAllowed, UriUnreadable

_LOCAL_HOSTS = {"", "localhost"}


class UriReader:
    """Reads ``file:`` URIs below the allowed folders, and nothing else. Nothing is allowed by default.

    Parameters
    ----------
    allowed
        Prefixes such as ``file:///data/``; each names a folder.
    max_bytes
        Largest file that is read.

    Raises
    ------
    Misconfigured
        A prefix is not a ``file:`` URI of an absolute folder.
    """

    def __init__(self, allowed: Sequence[str], max_bytes: int) -> None:
        self._roots = [_root(prefix) for prefix in allowed]
        self._max_bytes = max_bytes

    def read(self, uri: str) -> bytes:
        """Return the bytes behind an allowed URI; symbolic links are followed before it is judged.

        Raises
        ------
        UriNotAllowed, UriUnreadable, TooManyBytes
            Why not.
        """
        path = self._allowed_path(uri)
        try:
            with path.open("rb") as file:
                data = file.read(self._max_bytes + 1)
        except OSError as exc:
            raise UriUnreadable(f"{uri[:200]!r}: {exc.strerror or exc}") from exc
        if len(data) > self._max_bytes:
            raise TooManyBytes(f"{uri[:200]!r} has more than {self._max_bytes} bytes")
        return data

    def _allowed_path(self, uri: str) -> Path:
        try:
            path = _file_path(uri).resolve()
        except (ValueError, OSError, RuntimeError) as exc:  # RuntimeError: a loop of links, before Python 3.13
            raise UriNotAllowed(f"{uri[:200]!r} is not a file: URI that could be allowed: {exc}") from exc
        if not any(path.is_relative_to(root) for root in self._roots):
            raise UriNotAllowed(f"{uri[:200]!r} is outside what --allow-uri names")
        if _is_special(path):
            raise UriUnreadable(f"{uri[:200]!r} is not a regular file")
        return path


def _is_special(path: Path) -> bool:
    # Opening a pipe would wait for ever.
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False  # the attempt to read it says why: missing, forbidden, a name too long


def _root(prefix: str) -> Path:
    try:
        return _file_path(prefix).resolve()
    except ValueError as exc:
        raise Misconfigured(f"--allow-uri {prefix!r}: {exc}; say file:///absolute/folder/") from exc


def _file_path(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.scheme != "file":
        raise ValueError("only file: URIs can be read")
    path = unquote(parts.path)
    if parts.netloc not in _LOCAL_HOSTS or not path.startswith("/") or "\0" in path:
        raise ValueError("it must name an absolute path on this machine")
    return Path(path)
