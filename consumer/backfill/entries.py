"""What a listing comes to: images by their URIs, and what is refused, each with where to go on behind it."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote_from_bytes

from consumer.claim_checks.allowed import LONGEST_URI
from consumer.claim_checks.errors import shown
from consumer.claim_checks.local import file_path
from consumer.claim_checks.schemes import scheme_of
from consumer.claim_checks.spans import divided
from consumer.messages import (
    CONTROL,
    MAX_ENVELOPE_BYTES,
    MAX_IMAGE_ID_BYTES,
    captured_at_of,
    checked_id,
    encode_envelope,
)
from neardup.capture_time import UNKNOWN_MS
from neardup.errors import BadInput, Misconfigured, StoreUnavailable
from neardup.sources.names import text_of

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_LONGEST_PATH_BYTES = 4095
"""The system opens no longer one: its PATH_MAX counts a zero at the end."""
_LONGEST_NAME = 255
"""Of a file or a folder, in characters: most file systems count bytes, those of Windows count characters."""
_MOST_BYTES_A_CHARACTER = 12
"""In an envelope, whose JSON is ASCII."""
_LASTING = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
        # What is damaged, or locked by a key.
        *(errno.EBADMSG, errno.EILSEQ, errno.EINVAL, errno.EOVERFLOW),
        *(getattr(errno, name) for name in ("EUCLEAN", "ENOKEY") if hasattr(errno, name)),
    }
)
"""What stays so until somebody changes it; any other error is the device's or the mount's, and may be over later."""

Position = Any
"""Where a listing goes on behind an entry: what JSON can hold, and only the listing itself understands."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An image to publish.

    Attributes
    ----------
    uri
        Where it is; one that some prefix of ``--allow-uri`` could allow.
    image_id
        What it is called; None if its URI is too long for that, and nothing else is known.
    captured_at_ms
        Milliseconds since the epoch; 0 when unknown.
    """

    position: Position
    uri: str
    image_id: str | None
    captured_at_ms: int = UNKNOWN_MS


@dataclass(frozen=True, slots=True)
class Refused:
    """A line, a file or an object that nothing is published for: where it stands, and why."""

    position: Position
    place: str
    why: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing more is there for now: what has come need not wait for it. There is nothing to go on behind."""

    position: Position = None


Step = Entry | Refused | Pause


class Listing(Protocol):
    """A list of images that can be read on from any of its entries."""

    @property
    def name(self) -> str:
        """What it is called, in lines."""

    def fingerprint(self) -> str:
        """Return what changes when it becomes another one; empty for one that may change while it is read.

        Raises
        ------
        Misconfigured
            It cannot be read.
        """

    def steps(self, after: Position | None) -> Iterator[Step]:
        """Iterate over what stands behind a position; None for all.

        Raises
        ------
        Misconfigured
            It cannot be read, or has become another one.
        StoreUnavailable
            The store does not answer.
        """


Signature = tuple[int, int, int, int]


def signature(found: os.stat_result) -> Signature:
    """Return what tells a file from any other and from itself as it was: device, inode, size, time of last change."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def is_outage(error: Exception) -> bool:
    """Return whether a device or a mount does not answer: what it holds may be read later, as it was."""
    return isinstance(error, OSError) and error.errno is not None and error.errno not in _LASTING


def unreadable(name: str, error: Exception) -> Misconfigured | StoreUnavailable:
    """Return what it means that a file of this machine cannot be read; the caller raises it."""
    why = (error.strerror if isinstance(error, OSError) else None) or next(iter(str(error).splitlines()), "")
    if isinstance(error, FileNotFoundError):
        why = "no such file"
    if is_outage(error):
        return StoreUnavailable(f"{name}: it cannot be read now: {why}")
    return Misconfigured(f"{name}: it cannot be read: {why or type(error).__name__}")


def changed(name: str) -> Misconfigured:
    """Return the error for what became another one while it was read; the caller raises it."""
    return Misconfigured(f"{name}: it changed while it was read; run the same command once it is whole")


def file_uri(path: str) -> str:
    """Return the URI of an absolute path, whatever bytes its name has."""
    return f"file://{quote_from_bytes(os.fsencode(path))}"


def uri_of(text: str, folder: str) -> str:
    """Return the URI that a line names: one itself, or a path, which is taken from a folder if it is relative.

    Raises
    ------
    ValueError
        No consumer would ever read it: why.
    """
    if not text:
        raise ValueError("there is no URI")
    if not _SCHEME.match(text):
        return _uri_of_path(text, folder)
    if CONTROL.search(text) or not _is_text(text):
        raise ValueError("it has control characters, or is no UTF-8")
    if len(text) > LONGEST_URI:
        raise ValueError(f"it has more than {LONGEST_URI} characters")
    if len(text) * _MOST_BYTES_A_CHARACTER > MAX_ENVELOPE_BYTES < len(encode_envelope(text)):
        raise ValueError(f"its message would have more than {MAX_ENVELOPE_BYTES:,} bytes")
    address, _ = divided(text)
    if "#" in address:
        raise ValueError("it has a fragment")
    scheme_of(address).check(address)
    if address.startswith("file:"):
        _check_length(address, lambda: os.fspath(file_path(address)))
    return text


def _uri_of_path(text: str, folder: str) -> str:
    if CONTROL.search(text):
        raise ValueError("it has control characters; a file of such a name is named by a URI, percent-encoded")
    path = os.path.normpath(os.path.join(folder, text))  # noqa: PTH118 - a name, as it is
    _check_length(path, lambda: path)
    return file_uri(path)


def _check_length(text: str, path_of: Callable[[], str]) -> None:
    """Refuse a path that is too long to be opened; that of a short text is not looked at."""
    if len(text) <= _LONGEST_NAME:
        return
    path = path_of()
    if len(os.fsencode(path)) > _LONGEST_PATH_BYTES:
        raise ValueError(f"its path has more than {_LONGEST_PATH_BYTES:,} bytes")
    if max(map(len, path.split("/"))) > _LONGEST_NAME:
        raise ValueError(f"a name in its path has more than {_LONGEST_NAME} characters")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def id_of(text: str) -> str | None:
    """Return what an image is called by its path, or by its URI without the query, which may be a credential."""
    if not _SCHEME.match(text):
        return short_id(text_of(text.removeprefix("./")))
    address, span = divided(text)
    return short_id(address.partition("?")[0] + ("" if span is None else span.fragment))


def short_id(name: str) -> str | None:
    """Return a name as an image id; None if it is too long for one."""
    return name if len(name.encode()) <= MAX_IMAGE_ID_BYTES else None


@dataclass(frozen=True, slots=True)
class Told:
    """What a line of a manifest says of an image, as text; None for nothing."""

    uri: str | None
    image_id: str | None = None
    captured_at: str | None = None


def step_of(told: Told, folder: str, position: Position, place: str) -> Step:
    """Return what comes of a line: an image, or why it is refused."""
    text = (told.uri or "").strip()
    try:
        uri = uri_of(text, folder)
        image_id = checked_id(told.image_id) if told.image_id else id_of(text)
        captured_at_ms = captured_at_of(told.captured_at) if told.captured_at else UNKNOWN_MS
    except (ValueError, BadInput) as error:
        named = f"{shown(text)}: " if text else ""
        return Refused(position, place, f"{named}{error}")
    return Entry(position, uri, image_id, captured_at_ms)
