"""Keep what was downloaded outside the checkout, whole or not at all."""

import fcntl
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def cache_root(environ: Mapping[str, str]) -> Path:
    """Return the folder of our downloads, by the XDG base directory rules."""
    # The rules say that a relative path there is to be ignored.
    named = Path(environ.get("XDG_CACHE_HOME", ""))
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    return (named if named.is_absolute() else home / ".cache") / "neardup"


def cached(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Return `folder`, filled by the first caller that needs it.

    A folder of that name is always complete: it is filled beside its place and renamed at the end.

    Parameters
    ----------
    folder
        Where the content belongs.
    fill
        Puts the content into the empty folder it is given. What it raises goes to the caller, and nothing
        is kept.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with only_one(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            _fill_beside(folder, fill)
    return folder


def _fill_beside(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside its place and move it there; the caller holds the lock."""
    partial = folder.with_name(f"{folder.name}.partial")
    # Left by a process that was killed while it filled: its lock went with it, and we hold the lock now.
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        fill(partial)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def only_one(lock_path: Path) -> Iterator[None]:
    """Hold a lock that the kernel drops when its holder dies, however it dies."""
    with lock_path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
