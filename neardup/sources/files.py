"""Images in folders, files and video clips: which there are, in which order, and what they are called."""

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain, count
from pathlib import Path

from neardup.errors import Misconfigured
from neardup.sources.clip_report import ClipReport
from neardup.sources.images import BrokenImage, FileImage, SourceImage

_FILES = ".3g2 .3gp .asf .avi .f4v .flv .m2t .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv"
_RAW = ".264 .265 .h264 .h265 .hevc .ivf .m1v .m2v .mjpeg .mjpg"
VIDEO_SUFFIXES = frozenset(f"{_FILES} {_RAW}".split())
"""Files that are opened as video clips; the content of any other file decides whether it is an image."""
_ALSO_TEXTS = frozenset({".mts", ".ts"})
"""TypeScript and translations have these names, too."""
_TEXT_BYTES = 4096

_LOG = logging.getLogger(__name__)

# An image id travels in headers, logs and captions, where a line break would end something.
_CONTROL_CHARACTERS = dict.fromkeys([*range(32), *range(127, 160)], "\ufffd")


@dataclass(frozen=True, slots=True)
class Clip:
    """A video clip; its frames become images when the set is iterated over."""

    image_id: str
    path: str


class ImageSet:
    """Images in a fixed order; may be iterated over more than once.

    Parameters
    ----------
    sources
        Files and clips; images that are held nowhere else.
    fps
        Frames a second taken from a clip.
    """

    def __init__(self, sources: Iterable[SourceImage | Clip], fps: float) -> None:
        self._sources = tuple(sources)
        self._fps = fps
        self._clip_reports: dict[str, ClipReport] = {}

    @property
    def total(self) -> int | None:
        """Number of images; None when there are clips, whose frames are not counted beforehand."""
        return None if self.has_clips else len(self._sources)

    @property
    def has_clips(self) -> bool:
        """Whether frames of video clips are among the images."""
        return any(isinstance(source, Clip) for source in self._sources)

    @property
    def clip_reports(self) -> list[ClipReport]:
        """What became of each clip that has been iterated over to its end."""
        return list(self._clip_reports.values())

    def __iter__(self) -> Iterator[SourceImage]:
        """Iterate over the images; a line in the log tells what became of each clip, once."""
        for source in self._sources:
            if isinstance(source, Clip):
                yield from self._frames(source)
            else:
                yield source

    def _frames(self, clip: Clip) -> Iterator[SourceImage]:
        from neardup.sources.clips import clip_frames  # noqa: PLC0415 - PyAV is an extra

        report = ClipReport(clip.image_id)
        yield from clip_frames(clip.path, self._fps, report)
        if clip.image_id not in self._clip_reports:
            _LOG.log(logging.INFO if report.is_whole else logging.WARNING, "%s: %s", clip.image_id, report)
        self._clip_reports[clip.image_id] = report


def find_images(paths: Iterable[str], fps: float = 1.0) -> ImageSet:
    """Find the images and clips that the paths stand for.

    A folder stands for all files in it and below, by name; hidden ones and links to folders are passed over. A file
    stands for itself. Each file is taken once, however often it is named. An image id is the path below the folder
    that was named; where two folders have the same one, the later gets its folder's name in front.

    Parameters
    ----------
    paths
        Folders, image files and video clips.
    fps
        Frames a second taken from a clip.

    Raises
    ------
    Misconfigured
        A path does not exist (a line for each), or there are clips and nothing to read them with.
    """
    paths = list(paths)
    missing = [path for path in paths if not Path(path).exists()]
    if missing:
        raise Misconfigured("\n".join(f"no such file or folder: {path}" for path in missing))
    names = _Names()
    images = ImageSet([source for path in paths for source in _sources(Path(path).resolve(), names)], fps)
    if images.has_clips and find_spec("av") is None:
        raise Misconfigured("reading video clips needs PyAV: pip install neardup[video]")
    return images


class _Names:
    """Gives each file its image id, once."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._given: set[str] = set()

    def new_path(self, path: str) -> bool:
        """Return whether the path was not seen before."""
        known = path in self._paths
        self._paths.add(path)
        return not known

    def give(self, root_name: str, relative: str) -> str:
        """Return the file's image id: its path below the root, with the root's name or a number where that is taken."""
        rooted = f"{root_name}/{relative}"
        candidates = chain([relative, rooted], (f"{rooted}~{number}" for number in count(2)))
        image_id = next(name for name in map(_clean, candidates) if name not in self._given)
        self._given.add(image_id)
        return image_id


def _clean(name: str) -> str:
    """Return a file name as UTF-8 text in one line, whatever bytes the file system holds."""
    return os.fsencode(name).decode("utf-8", "replace").translate(_CONTROL_CHARACTERS)


def _sources(root: Path, names: _Names) -> Iterator[SourceImage | Clip]:
    if not root.is_dir():
        yield from _source(str(root), root.name, root.parent.name, names)
        return
    for path, relative in _walk(str(root), ""):
        if isinstance(path, OSError):
            yield BrokenImage(names.give(root.name, relative), path)
        else:
            yield from _source(path, relative, root.name, names)


def _source(path: str, relative: str, root_name: str, names: _Names) -> Iterator[SourceImage | Clip]:
    if not names.new_path(path):
        return
    image_id = names.give(root_name, relative)
    if _is_clip(Path(path)):
        yield Clip(image_id, path)
    else:
        yield FileImage(image_id, path)


def _is_clip(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in VIDEO_SUFFIXES and not (suffix in _ALSO_TEXTS and _is_text(path))


def _is_text(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"\0" not in file.read(_TEXT_BYTES)
    except OSError:
        return False


def _walk(folder: str, relative: str) -> Iterator[tuple[str | OSError, str]]:
    """Iterate over (path, path below the root) of the files in a folder and below, by name.

    Where a folder cannot be read, the error stands in the place of the path.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as exc:
        yield exc, relative or "."
        return
    for entry in entries:
        name = f"{relative}/{entry.name}" if relative else entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, name)
        elif _may_be_read(entry):
            yield os.path.realpath(entry.path) if entry.is_symlink() else entry.path, name


def _may_be_read(entry: os.DirEntry[str]) -> bool:
    # Opening a pipe or a device may block for ever. A link to nowhere is tried, and so counted.
    return entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())
