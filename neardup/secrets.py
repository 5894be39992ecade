"""Secrets that stand in files, which may be given new ones while we run."""

from pathlib import Path
from typing import Self

from neardup.errors import Misconfigured

_LARGEST_BYTES = 64 * 1024
"""More is not a password but a wrong file, perhaps an endless one."""


class FileSecret(str):
    """A secret as its file had it when it was read.

    Attributes
    ----------
    path
        Of the file.
    """

    __slots__ = ("path",)
    path: str

    def __new__(cls, secret: str, path: str) -> Self:
        """Keep where it is from."""
        own = super().__new__(cls, secret)
        own.path = path
        return own

    def __str__(self) -> str:
        """Stay what it is where a setting is made a text."""
        return self

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        """Let it be pickled."""
        return str.__str__(self), self.path

    def now(self) -> str:
        """Return what its file has now; where it cannot be read, as while it is replaced, what it had before."""
        try:
            return read_secret(self.path)
        except Misconfigured:
            return self


def read_secret(path: str) -> FileSecret:
    """Return the only line of a file.

    Raises
    ------
    Misconfigured
        The file has no such line; what it has is not told.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
        text = content.decode("utf-8").rstrip("\r\n")
    except OSError as exc:
        raise Misconfigured(f"{path!r} cannot be read: {exc.strerror or type(exc).__name__}") from exc
    except ValueError:  # not UTF-8, or a path with a null in it; the text of the first would show the content
        raise Misconfigured(f"{path!r} is not a UTF-8 text file") from None
    if not text:
        raise Misconfigured(f"{path!r} is empty")
    if len(content) > _LARGEST_BYTES or len(text.splitlines()) > 1:
        raise Misconfigured(f"{path!r} should hold one line, the value and nothing else")
    return FileSecret(text, path)
