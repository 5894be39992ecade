"""What a file is at a moment, and whether it still is."""

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from neardup.sources.names import name_of, text_of


class Changed(Exception):
    """A file is not what it was: it is left alone. The message says what is different."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file with its content.

    Attributes
    ----------
    path
        Absolute.
    size, mtime_ns
        Bytes, and nanoseconds since the epoch.
    sha256
        Of its content, hexadecimal.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {**asdict(self), "path": text_of(self.path)}

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read `document`; ValueError, KeyError or TypeError if it is none."""
        size, mtime_ns, sha256 = document["size"], document["mtime_ns"], document["sha256"]
        path = name_of(document["path"])
        if not (isinstance(size, int) and isinstance(mtime_ns, int) and isinstance(sha256, str)):
            raise TypeError("a size, a time or a hash is of the wrong type")
        return cls(path, size, mtime_ns, sha256)


class Reader:
    """Reads files to compare them with what they were; what did not change meanwhile is read once.

    Parameters
    ----------
    progress
        Told of each file that was read.
    """

    def __init__(self, progress: Callable[[int], object] = lambda _: None) -> None:
        self._progress = progress
        self._hashes: dict[tuple[int, ...], str] = {}

    def known(self, path: str, size: int, mtime_ns: int) -> KnownFile:
        """Return a file with its content, if it is what was seen before.

        Raises
        ------
        Changed
            It is not, or it is no file any more, or cannot be read.
        """
        try:
            return KnownFile(path, size, mtime_ns, self._sha256(path, size, mtime_ns))
        except OSError as exc:
            raise Changed(f"{path}: {exc.strerror or exc}") from exc

    def check(self, file: KnownFile) -> os.stat_result:
        """Check that a file is what it was; return its status.

        Raises
        ------
        Changed
            It is not.
        """
        if self.known(file.path, file.size, file.mtime_ns).sha256 != file.sha256:
            raise Changed(f"{file.path}: its content changed")
        return status_of(file.path)

    def _sha256(self, path: str, size: int, mtime_ns: int) -> str:
        before = _same(path, os.lstat(path), size, mtime_ns)
        place = (before.st_dev, before.st_ino, size, mtime_ns, before.st_ctime_ns)
        if place not in self._hashes:
            sha256 = _sha256_of(path)
            after = _same(path, os.lstat(path), size, mtime_ns)
            if (after.st_ino, after.st_ctime_ns) != (before.st_ino, before.st_ctime_ns):
                raise Changed(f"{path}: it changed while it was read")
            self._hashes[place] = sha256
            self._progress(1)
        return self._hashes[place]


def _same(path: str, status: os.stat_result, size: int, mtime_ns: int) -> os.stat_result:
    if not stat.S_ISREG(status.st_mode):
        raise Changed(f"{path}: it is no regular file any more")
    if os.path.realpath(Path(path).parent) != str(Path(path).parent):
        raise Changed(f"{path}: its folder is a link now")
    if status.st_size != size:
        raise Changed(f"{path}: it has {status.st_size} bytes, and had {size}")
    if status.st_mtime_ns != mtime_ns:
        raise Changed(f"{path}: it was written to since")
    return status


def status_of(path: str) -> os.stat_result:
    """Return the status of a file, not of what it links to.

    Raises
    ------
    Changed
        It is gone.
    """
    try:
        return os.lstat(path)
    except OSError as exc:
        raise Changed(f"{path}: {exc.strerror or exc}") from exc


def _sha256_of(path: str) -> str:
    # Opening a pipe that took the file's place would block.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
