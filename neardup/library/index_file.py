"""An index in one file, in its own format; numbers are little-endian.

    size  what
    8     b"NEARDUP" and a line break
    4     version, 1
    4     length of the metadata in bytes
    ...   metadata, JSON as `neardup.index.base.IndexMeta` writes it
    4     number of members
    ...   for each its length in bytes (4), and its record as `neardup.index.stored.codec` writes it
    32    SHA-256 of all before

Reading it runs no code from the file.
"""

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from neardup.errors import CorruptIndex, IndexMismatch
from neardup.index.base import IndexMeta
from neardup.index.stored.codec import decode_member, encode_member
from neardup.types import Member

FILE_VERSION = 1
_MAGIC = b"NEARDUP\n"
_NUMBER = struct.Struct("<I")
_DIGEST_BYTES = 32


def write_index(path: Path, meta: IndexMeta, members: Sequence[Member]) -> None:
    """Write an index; a file of that name is replaced when, and only when, all is written.

    Raises
    ------
    OSError
        The file cannot be written; what stood there stays.
    """
    digest = hashlib.sha256()
    with _replaced(path) as file:
        for part in _parts(meta, members):
            digest.update(part)
            file.write(part)
        file.write(digest.digest())


def _parts(meta: IndexMeta, members: Sequence[Member]) -> Iterator[bytes]:
    yield _MAGIC + _NUMBER.pack(FILE_VERSION)
    yield from _framed([meta.to_json()])
    yield _NUMBER.pack(len(members))
    yield from _framed(map(encode_member, members))


def _framed(texts: Iterable[bytes]) -> Iterator[bytes]:
    for text in texts:
        yield _NUMBER.pack(len(text)) + text


@contextmanager
def _replaced(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside `path` for writing, and rename it to `path` at the end."""
    path = path.resolve()  # a link stays one
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:  # an interrupt, too, leaves nothing behind
        with suppress(OSError):
            part.unlink()
        raise


def read_index(path: Path) -> tuple[IndexMeta, list[Member]]:
    """Read `write_index`.

    Raises
    ------
    CorruptIndex
        It is no index, or was damaged.
    IndexMismatch
        It was written by another version.
    OSError
        It cannot be read.
    """
    data = path.read_bytes()
    if not data.startswith(_MAGIC):
        raise CorruptIndex(f"{path} is not an index of neardup")
    body = data[:-_DIGEST_BYTES]
    with _located(path):
        (version,) = _NUMBER.unpack_from(data, len(_MAGIC))
        if version != FILE_VERSION:
            raise IndexMismatch(f"it has format {version}, but this version reads {FILE_VERSION}: build it again")
        if hashlib.sha256(body).digest() != data[-_DIGEST_BYTES:]:
            raise CorruptIndex("it is damaged, the checksum does not match: save it again, or use a copy")
        return _contents(body, len(_MAGIC) + _NUMBER.size)


@contextmanager
def _located(path: Path) -> Iterator[None]:
    try:
        yield
    except (CorruptIndex, IndexMismatch) as exc:
        raise type(exc)(f"{path}: {exc}") from exc
    except struct.error as exc:
        raise CorruptIndex(f"{path}: it ends too early: save it again, or use a copy") from exc


def _contents(body: bytes, start: int) -> tuple[IndexMeta, list[Member]]:
    text, start = _text_at(body, start)
    meta = IndexMeta.from_json(text)
    (count,) = _NUMBER.unpack_from(body, start)
    start += _NUMBER.size
    members = []
    for _ in range(count):
        record, start = _text_at(body, start)
        members.append(decode_member(record, meta.dimension))
    if start != len(body):
        raise CorruptIndex("it holds more data than declared")
    return meta, members


def _text_at(body: bytes, start: int) -> tuple[bytes, int]:
    (size,) = _NUMBER.unpack_from(body, start)
    end = start + _NUMBER.size + size
    if end > len(body):
        raise CorruptIndex("it ends too early")
    return body[start + _NUMBER.size : end], end
