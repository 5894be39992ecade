"""What the demo shows: two filmed scenes, or the user's own pictures, divided into a seed set and a stream."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from neardup.sources.walking import walk


class NoPictures(Exception):
    """There is nothing to show."""


@dataclass(frozen=True, slots=True)
class Material:
    """Two folders of files, and how many clusters they are known to have (None: let bootstrap choose)."""

    seeds: Path
    stream: Path
    stream_files: int
    clusters: int | None
    title: str


def filmed_scenes(folder: Path) -> Material:
    """Film the two scenes that scikit-learn ships: a clip of 73 frames as seeds, a second visit as the stream."""
    from demo.scenes import clip, stream  # noqa: PLC0415 - filming takes a second

    seeds, messages = folder / "seeds", folder / "stream"
    _write(seeds, clip())
    count = _write(messages, stream())
    return Material(seeds, messages, count, 2, "two scenes, filmed by a panning, zooming camera")


def _write(folder: Path, files: Iterable[tuple[str, bytes]]) -> int:
    folder.mkdir()
    count = 0
    for name, data in files:
        (folder / name).write_bytes(data)
        count += 1
    return count


def own_pictures(images: Path, folder: Path) -> Material:
    """Take every second file of a folder as a seed, and the others as the stream; the files stay where they are.

    Raises
    ------
    NoPictures
        The folder does not exist or holds no file.
    """
    if not images.is_dir():
        raise NoPictures(f"--images: no such folder: {images}")
    # Each file once, as the feed publishes it: the demo waits for a verdict on each.
    found: dict[str, str] = {}
    for path, relative in walk(str(images.resolve()), (), Counter()):
        if isinstance(path, str):
            found.setdefault(path, relative)
    files = list(found.items())
    if not files:
        raise NoPictures(f"--images: no files found in {images}")
    seeds, stream = folder / "seeds", folder / "stream"
    _link(files[::2], seeds)
    # A single picture is seed and stream: it then duplicates itself, which is a first look, too.
    streamed = files[1::2] or files
    _link(streamed, stream)
    return Material(seeds, stream, len(streamed), None, f"{len(files)} files of {images}")


def _link(files: Iterable[tuple[str, str]], folder: Path) -> None:
    folder.mkdir()
    for path, relative in files:
        link = folder / relative
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
