"""The images that a command is to read: found, told of and ordered."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from neardup.cli.progress import shown_progress
from neardup.decoding.formats import FORMATS
from neardup.sources.files import ImageSet, find_images


def found_images(
    paths: Iterable[str],
    fps: float,
    *,
    own: Iterable[Path] = (),
    largest_first: bool = False,
    formats: tuple[str, ...] = FORMATS,
    archive_bytes: int | None = None,
    write: Callable[[str], object] | None = None,
) -> ImageSet:
    """Find images as `neardup.sources.files.find_images` does, and tell how far that is and what was passed over.

    Parameters
    ----------
    paths, fps, own, archive_bytes
        As there.
    largest_first
        Whether the pictures with the most pixels come first.
    formats
        What will be decoded.
    write
        Writes a line to the log; None writes it to standard error.

    Raises
    ------
    Misconfigured
        As there.
    """
    with shown_progress("find", unit="files", write=write) as progress:
        images = find_images(paths, fps, own=own, archive_bytes=archive_bytes, progress=progress)
    if images.passed_over:
        counts = ", ".join(f"{name} ({count})" for name, count in sorted(images.passed_over.items()))
        (write or _to_stderr)(f"passed over: {counts}")
    if not largest_first:
        return images
    with shown_progress("measure", images.total, write=write) as progress:
        return images.largest_first(formats, progress)


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
