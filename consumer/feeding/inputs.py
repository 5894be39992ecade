"""What is fed and has an end: paths, and standard input as an archive or a list of paths."""

import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from consumer.feeding.settings import STANDARD_INPUT, FeedSettings
from neardup.cli.images import found_images
from neardup.decoding.limits import DecodeLimits
from neardup.errors import Misconfigured
from neardup.sources.archives import BLOCK_BYTES, Archive, begins_archive
from neardup.sources.files import ImageSet, ListedImages

_READ_BYTES = 64 * 1024
_LONGEST_PATH_BYTES = 64 * 1024
"""More between two line ends is no list of paths."""


class BinaryIO(Protocol):
    """A file that can be asked for what is there, without waiting for more."""

    def read1(self, size: int, /) -> bytes:
        """Return at least a byte and at most so many; none at the end."""


def readable(descriptor: int, asked_by: str) -> int:
    """Return the descriptor of standard input, once it is known that it can be read.

    Raises
    ------
    Misconfigured
        It was closed, is open for writing only, or is a folder; `asked_by` is the argument that asks for it.
    """
    try:
        os.read(descriptor, 0)
    except OSError as exc:
        raise Misconfigured(f"{asked_by}: standard input cannot be read: {exc.strerror}") from exc
    return descriptor


def found(settings: FeedSettings, standard_input: Callable[[], BinaryIO], say: Callable[[str], object]) -> ImageSet:
    """Return the images that the settings name.

    Parameters
    ----------
    standard_input
        Opens it.
    say
        Tells the user something, in one line.

    Raises
    ------
    Misconfigured
        There are none, a path does not exist, or standard input is neither an archive nor a list.
    """
    member_bytes = max(settings.max_message_bytes, DecodeLimits().max_bytes)
    if settings.paths == (STANDARD_INPUT,):
        images = _piped(settings, standard_input(), member_bytes)
    elif settings.paths:
        images = found_images(settings.paths, settings.fps, archive_bytes=member_bytes, write=say)
        if images.total == 0:
            raise Misconfigured(f"PATH: no files found in {', '.join(settings.paths)}")
    else:
        raise Misconfigured(
            "PATH: name an image, a folder, a video clip, a tar archive or a camera's URL, or - for standard input"
        )
    images.timed = settings.pace is not None
    return images


def _piped(settings: FeedSettings, standard_input: BinaryIO, member_bytes: int) -> ImageSet:
    head = b"" if settings.null else _head(standard_input)
    if not (head or settings.null):
        raise Misconfigured("PATH: standard input is empty")
    rest = io.BufferedReader(_Rejoined(head, standard_input))
    if not settings.null and begins_archive(head):
        passed_over: Counter[str] = Counter()
        return ImageSet([Archive("", lambda: rest, member_bytes, passed_over)], settings.fps, passed_over)
    if not settings.null and b"\0" in head:
        raise Misconfigured(
            "PATH: standard input is neither a tar archive nor a list of paths with a line each; "
            "--null is for a list that ends each path with a NUL"
        )
    paths = map(os.fsdecode, _paths(rest, b"\0" if settings.null else b"\n"))
    return ListedImages(paths, settings.fps, member_bytes)


def _head(file: BinaryIO) -> bytes:
    """Return the first block, or what there is of it; of a list no more than is needed to know it for one."""
    head = b""
    while len(head) < BLOCK_BYTES and not (b"\n" in head and b"\0" not in head and not begins_archive(head)):
        more = file.read1(BLOCK_BYTES - len(head))
        if not more:
            break
        head += more
    return head


class _Rejoined(io.RawIOBase):
    """A file whose head has been read, from its beginning again."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        super().__init__()
        self._head = head
        self._file = file

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - a buffer, whose type has a name from Python 3.12 on
        """Read what is there, and wait only if nothing is."""
        data = self._head[: len(buffer)] or self._file.read1(len(buffer))
        self._head = self._head[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def _paths(file: BinaryIO, end: bytes) -> Iterator[bytes]:
    """Iterate over the paths of a list; empty lines are passed over.

    Raises
    ------
    Misconfigured
        It is no list.
    """
    kept = b""
    while more := file.read1(_READ_BYTES):
        *lines, kept = (kept + more).split(end)
        yield from filter(None, (line.rstrip(b"\r") if end == b"\n" else line for line in lines))
        if len(kept) > _LONGEST_PATH_BYTES:
            raise Misconfigured("PATH: standard input is no list of paths: there is no end of one for 64 KiB")
    if kept:
        yield kept
