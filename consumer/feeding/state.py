"""What a feed remembers: of a followed folder which files were published, and the batch that is on its way.

Before a batch is sent it is noted here with its number; afterwards it becomes part of what is known. Who finds a batch
noted asks Kafka whether it went through.
"""

import hashlib
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from neardup.errors import Misconfigured
from neardup.sources.names import text_of

_VERSION = 1
_KEPT_S = 7 * 24 * 60 * 60
"""How long a file that is gone is remembered, in case that it comes back."""
_WHOLE_BYTES = 64 * 1024 * 1024
_END_BYTES = 1024 * 1024
_COLUMNS = "path, size, mtime_ns, inode, digest, done, whole, version"
_META = "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);"
_TABLES = """
CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, inode INTEGER, digest BLOB, done INTEGER,
    whole INTEGER, version INTEGER, published_at REAL);
CREATE INDEX files_by_digest ON files (digest);
CREATE TABLE pending (path BLOB, size INTEGER, mtime_ns INTEGER, inode INTEGER, digest BLOB, done INTEGER,
    whole INTEGER, version INTEGER);
"""
Signature = tuple[int, int, int]
"""Size, time of the last change in nanoseconds, and inode."""


@dataclass(frozen=True, slots=True)
class FileState:
    """What is known of a file.

    Attributes
    ----------
    path
        Below the followed folder.
    signature
        As it was when it was read.
    digest
        Of its content; see `digest_of`.
    done
        How many of its images are published.
    whole
        Whether these are all.
    version
        1, and one more each time that other content stood under its name.
    """

    path: str
    signature: Signature
    digest: bytes
    done: int = 0
    whole: bool = False
    version: int = 1


def digest_of(path: str) -> bytes:
    """Return what tells a file's content from any other: SHA-256, of a large file by its size and both its ends.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= _WHOLE_BYTES:
            return hashlib.file_digest(file, "sha256").digest()
        digest = hashlib.sha256(b"%d" % size + file.read(_END_BYTES))
        file.seek(-_END_BYTES, os.SEEK_END)
        digest.update(file.read())
        return digest.digest()


def usual_path(program: str, *of: bytes) -> Path:
    """Return where this user's state of a program is, for what it is the state of.

    Raises
    ------
    Misconfigured
        The user has no home folder.
    """
    name = hashlib.sha256(b"\0".join(of)).hexdigest()[:16]
    try:
        home = Path.home()
    except RuntimeError as exc:
        raise Misconfigured("--state: name a file; this user has no home folder for it") from exc
    return home / ".local" / "state" / "neardup" / f"{program}-{name}.db"


class StateFile:
    """What a feed remembers, in an SQLite file that is locked while it is open.

    Parameters
    ----------
    path
        The file; it is made if it is not there.
    tables
        What it is made with, as SQL.
    of
        What it is the state of: words and what they stand for, in this order.
    feed
        Which command's it is, in words.

    Raises
    ------
    Misconfigured
        It is no such file, the state of something else, or in use.
    """

    def __init__(self, path: Path, tables: str, of: Mapping[str, str], feed: str) -> None:
        self.path = path
        self._feed = feed
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=0.5, isolation_level=None)
            try:
                self._open(tables, of)
            except BaseException:
                self._file.close()
                raise

    def _open(self, tables: str, of: Mapping[str, str]) -> None:
        self._file.execute("PRAGMA locking_mode = EXCLUSIVE")
        with self._change():
            if not self._file.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in filter(str.strip, (_META + tables).split(";")):
                    self._file.execute(statement)
                given = {"version": str(_VERSION), **of, "name": secrets.token_hex(8)}
                self._file.executemany("INSERT INTO meta VALUES (?, ?)", [(*each,) for each in given.items()])
        meta = dict(self._file.execute("SELECT name, value FROM meta"))
        if not of.keys() <= meta.keys():
            raise sqlite3.DatabaseError("it is another command's")
        if meta.get("version") != str(_VERSION):
            raise Misconfigured(f"--state: {str(self.path)!r} is of another version of neardup; name another file")
        for what, wanted in of.items():
            if meta[what] != wanted:
                told = f"--state: {str(self.path)!r} remembers {what} {meta[what]!r}, and this is {wanted!r}"
                raise Misconfigured(f"{told}; name another file")
        self._name = meta["name"]

    @property
    def name(self) -> str:
        """What this feed is called in Kafka, as transactional id and group: as long as its state lasts."""
        return f"neardup-feed-{self._name}"

    def _next_number(self) -> int:
        """Return a number for the next batch, above all before."""
        number = self._number() + 1
        self._file.execute("REPLACE INTO meta VALUES ('batch', ?)", (str(number),))
        return number

    def _number(self) -> int:
        found = self._file.execute("SELECT value FROM meta WHERE name = 'batch'").fetchone()
        return int(found[0]) if found else 0

    def pending(self) -> int | None:
        """Return the number of the batch that was noted and not ended; None for none."""
        with self._explained():
            if not self._file.execute("SELECT 1 FROM pending").fetchone():
                return None
            return self._number()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @contextmanager
    def _change(self) -> Iterator[None]:
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            if "locked" in str(exc):
                raise Misconfigured(f"--state: {str(self.path)!r} is in use by another feed") from exc
            raise Misconfigured(
                f"--state: {str(self.path)!r} is no state of {self._feed}, or cannot be used: {exc}; "
                "name another file, or remove it to publish everything again"
            ) from exc


class State(StateFile):
    """Which files of a followed folder were published.

    Parameters
    ----------
    path
        The state's file; see `StateFile`.
    folder, topic
        What is followed, as a real path, and where it is published: a state is of no other.
    now_s
        Seconds since the epoch.

    Raises
    ------
    Misconfigured
        As `StateFile`.
    """

    def __init__(self, path: Path, folder: str, topic: str, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(path, _TABLES, {"folder": text_of(folder), "topic": topic}, "neardup feed --follow")
        self._now_s = now_s

    def files_count(self) -> int:
        """Return how many files are known."""
        with self._explained():
            return int(self._file.execute("SELECT count(*) FROM files").fetchone()[0])

    def known(self, path: str) -> FileState | None:
        """Return what is known of a file."""
        return next(self._found("path = ?", os.fsencode(path)), None)

    def alike(self, digest: bytes) -> Iterator[FileState]:
        """Iterate over the files that were published with this content."""
        yield from self._found("digest = ? AND whole", digest)

    def _found(self, where: str, *values: object) -> Iterator[FileState]:
        with self._explained():
            rows = self._file.execute(f"SELECT {_COLUMNS} FROM files WHERE {where}", values).fetchall()  # noqa: S608 - ours
        for path, size, mtime_ns, inode, digest, done, whole, version in rows:
            yield FileState(os.fsdecode(path), (size, mtime_ns, inode), digest, done, bool(whole), version)

    def remember(self, files: Iterable[FileState], instead_of: str | None = None) -> None:
        """Remember files as they are now; one may take the place of another that it was renamed from."""
        with self._explained(), self._change():
            if instead_of is not None:
                self._file.execute("DELETE FROM files WHERE path = ?", (os.fsencode(instead_of),))
            self._file.executemany("REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._rows(files))

    def _rows(self, files: Iterable[FileState]) -> Iterator[tuple[object, ...]]:
        for each in files:
            yield (*_values(each), self._now_s())

    def begin(self, files: Iterable[FileState]) -> int:
        """Note what will be known once the next batch went through, and return the batch's number."""
        with self._explained(), self._change():
            number = self._next_number()
            self._file.execute("DELETE FROM pending")
            self._file.executemany("INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?, ?)", map(_values, files))
        return number

    def end(self, *, went_through: bool) -> None:
        """Make what was noted of the latest batch part of what is known, or forget it."""
        with self._explained(), self._change():
            if went_through:
                self._file.execute(f"REPLACE INTO files SELECT {_COLUMNS}, ? FROM pending", (self._now_s(),))  # noqa: S608 - ours
            self._file.execute("DELETE FROM pending")

    def forget_gone(self, folder: str) -> int:
        """Forget files that are gone and were published more than a week ago; return how many.

        A folder that is gone as a whole, as of a network drive that is away, says nothing of its files.
        """
        with self._explained():
            old = self._file.execute("SELECT path FROM files WHERE published_at < ?", (self._now_s() - _KEPT_S,))
            gone = [path for (path,) in old.fetchall() if _is_gone(Path(folder) / os.fsdecode(path))]
            with self._change():
                self._file.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in gone])
        return len(gone)


def _values(file: FileState) -> tuple[object, ...]:
    return (os.fsencode(file.path), *file.signature, file.digest, file.done, file.whole, file.version)


def _is_gone(path: Path) -> bool:
    try:
        return not path.exists() and path.parent.is_dir() and any(path.parent.iterdir())
    except OSError:
        return False


def advanced(file: FileState, done: int) -> FileState:
    """Return what is known of a file once so many of its images are published."""
    return replace(file, done=max(file.done, done))
