"""Folders for views: one in memory, which ends with the process that made it, and one that lasts."""

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

import neardup
from neardup.errors import Misconfigured

_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder made in it is for us alone
_PREFIX = "neardup-workers-"
_OWNER = "owner"
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def folder_in_memory(root: Path | None = None) -> Iterator[Path]:
    """Make a folder that others of this user may use, remove it at the end, and now those that killed processes left.

    Parameters
    ----------
    root
        Where; None takes the system's memory, or its folder for temporary files where there is no such place.

    Raises
    ------
    OSError
        None can be made there.
    """
    root = root or (_MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir()))
    _remove_left(root)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
    try:
        with (folder / "new").open("wb") as owner:
            # Locked before it has its name: whoever finds it unlocked may remove it all.
            fcntl.flock(owner, fcntl.LOCK_EX)
            (folder / "new").rename(folder / _OWNER)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lasting_folder(root: Path, index: str, cache_bytes: int) -> Path:
    """Make the folder for views of an index that last, below one that belongs to this user; remove those of other code.

    Views are pickles, which can do anything and fit only the code that wrote them: nobody else may write to the
    folder, and its name says what must be the same.

    Parameters
    ----------
    root
        Made if it is not there.
    index, cache_bytes
        Which index, and the room for its records, which a view holds to.

    Raises
    ------
    Misconfigured
        It cannot be made, or others may write to it.
    """
    named = hashlib.sha256(index.encode()).hexdigest()[:16]
    folder = root / f"{named}-{_code()}-{cache_bytes}"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = root.stat()
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise Misconfigured(
                f"others may write to {root}, and so change what the index finds: give a folder of this user's own, "
                "with mode 700"
            )
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise Misconfigured(f"nothing can be kept in {root}: {exc.strerror or exc}") from exc
    for other in root.glob(f"{named}-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder


@cache
def _code() -> str:
    """Return a name of the code that views are made of."""
    package = Path(neardup.__file__).parent
    digest = hashlib.sha256(f"{sys.version_info[:2]} {np.__version__}".encode())
    for file in sorted(package.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _remove_left(root: Path) -> None:
    for path in root.glob(f"{_PREFIX}*/{_OWNER}"):
        with contextlib.suppress(OSError), path.open("rb") as owner:  # another user's, or in use
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path.parent, ignore_errors=True)
            _log.info("removed %s, which a process that was killed had left", path.parent)
