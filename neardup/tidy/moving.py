"""Moving and linking files so that nothing is overwritten, and a crash loses nothing."""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from uuid import uuid4

from neardup.tidy.files import Changed, KnownFile, Reader


def free_name(wanted: Path) -> Path:
    """Return a path where nothing is yet: the one that is wanted, or with a number."""
    names = (wanted if number == 1 else wanted.with_stem(f"{wanted.stem}~{number}") for number in count(1))
    return next(path for path in names if not os.path.lexists(path))


def move(file: KnownFile, to: Path, reader: Reader) -> None:
    """Move a file to a path where nothing is.

    Raises
    ------
    OSError
        It could not be moved, and is where it was; FileExistsError where something came there meanwhile.
    Changed
        It changed while it was copied to another disk, and is where it was.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    with _reserved(to, Path(file.path)):
        try:
            Path(file.path).replace(to)
        except OSError as exc:
            if exc.errno != errno.EXDEV:
                raise
            _move_between_disks(file, to, reader)


@contextmanager
def _reserved(to: Path, source: Path) -> Iterator[None]:
    """Put an empty file at a path, so that nothing else can come there; if the block fails, it goes.

    Not if the source went before the block failed: what is there is all that is left of it.
    """
    reserved: int | None = None
    try:
        reserved = os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        yield
    except BaseException as error:
        with suppress(OSError):
            if reserved is None:
                if not isinstance(error, OSError):  # but an interrupt, at the moment at which it was there
                    clear_reserved(to)
            elif os.path.lexists(source) and os.path.samestat(os.fstat(reserved), to.lstat()):
                to.unlink()
        raise
    finally:
        if reserved is not None:
            os.close(reserved)


def clear_reserved(path: Path) -> None:
    """Remove the empty file that a crash leaves where a file was to come; OSError if it cannot be."""
    status = path.lstat()
    if stat.S_ISREG(status.st_mode) and not status.st_size:
        path.unlink()


def _move_between_disks(file: KnownFile, to: Path, reader: Reader) -> None:
    _copy(file, to, reader)
    Path(file.path).unlink()


def _copy(file: KnownFile, to: Path, reader: Reader) -> None:
    """Copy a file with its times and rights; when it returns, the copy is on the disk and the file is unchanged."""
    shutil.copy2(file.path, to)
    with to.open("rb") as copied:
        os.fsync(copied.fileno())
    reader.check(file)
    if reader.known(str(to), file.size, to.lstat().st_mtime_ns).sha256 != file.sha256:
        raise Changed(f"{file.path}: its copy is not the same")


def link(file: KnownFile, kept: KnownFile) -> None:
    """Put another name of the kept file in the place of a file with the same bytes.

    Raises
    ------
    OSError
        It could not be done, as the two are on different disks, for example; the file is as it was.
    """
    with _beside(Path(file.path)) as new:
        os.link(kept.path, new)
        new.replace(file.path)


def unlink(file: KnownFile, mode: int, mtime_ns: int, reader: Reader) -> None:
    """Make a file of its own of a name that is linked to another, with its rights and time of before.

    Raises
    ------
    OSError, Changed
        It could not be done; the link is as it was.
    """
    with _beside(Path(file.path)) as new:
        _copy(file, new, reader)
        new.chmod(mode)
        os.utime(new, ns=(new.lstat().st_atime_ns, mtime_ns))
        new.replace(file.path)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give a hidden name beside a file for the time of the block."""
    new = path.with_name(f".neardup-{uuid4().hex}")
    try:
        yield new
    finally:
        with suppress(OSError):
            new.unlink()
