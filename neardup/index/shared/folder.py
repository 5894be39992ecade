"""A folder in memory that ends with the process that made it."""

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

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


def _remove_left(root: Path) -> None:
    for path in root.glob(f"{_PREFIX}*/{_OWNER}"):
        with contextlib.suppress(OSError), path.open("rb") as owner:  # another user's, or in use
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path.parent, ignore_errors=True)
            _log.info("removed %s, which a process that was killed had left", path.parent)
