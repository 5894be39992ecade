"""Images in folders, files and video clips: which there are, in which order, and what they are called."""

import errno
import logging
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from neardup.capture_time import now_ms
from neardup.decoding.formats import FORMATS
from neardup.errors import Misconfigured, UnreadableFile
from neardup.sources.archives import Archive, archive_file, is_archive
from neardup.sources.clip_report import ClipReport
from neardup.sources.images import BrokenImage, EncodedImage, FileImage, SourceImage
from neardup.sources.names import Names
from neardup.sources.taken import clip_began_ms
from neardup.sources.walking import walk

_FILES = ".3g2 .3gp .asf .avi .f4v .flv .m2t .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv"
_RAW = ".264 .265 .h264 .h265 .hevc .ivf .m1v .m2v .mjpeg .mjpg"
VIDEO_SUFFIXES = frozenset(f"{_FILES} {_RAW}".split())
"""Files that are opened as video clips; the content of any other file decides whether it is an image."""
_ALSO_TEXTS = frozenset({".mts", ".ts"})
"""TypeScript and translations have these names, too."""
_TEXT_BYTES = 4096
_NEEDS_PYAV = "reading video clips needs PyAV: pip install neardup[video]"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Clip:
    """A video clip; its frames become images when the set is iterated over."""

    image_id: str
    path: str


Source = SourceImage | Clip | Archive
"""One image, or what becomes images when it is read."""


class ImageSet:
    """Images in a fixed order; may be iterated over more than once.

    Parameters
    ----------
    sources
        Files, clips and archives; images that are held nowhere else.
    fps
        Frames a second taken from a clip.
    passed_over
        How many things in folders were passed over, by what they are.

    Attributes
    ----------
    timed
        Whether frames of clips tell when they were filmed.
    """

    timed = False

    def __init__(self, sources: Iterable[Source], fps: float, passed_over: Mapping[str, int] | None = None) -> None:
        self._sources = tuple(sources)
        self._fps = fps
        self.passed_over = {} if passed_over is None else passed_over
        self._clip_reports: dict[str, ClipReport] = {}

    @property
    def sources(self) -> tuple[Source, ...]:
        """Files, clips, archives, and images that are held nowhere else, in order; nothing is read."""
        return self._sources

    @property
    def total(self) -> int | None:
        """Number of images; None when there are clips or archives, whose images are not counted beforehand."""
        return None if any(isinstance(source, Clip | Archive) for source in self._sources) else len(self._sources)

    @property
    def has_clips(self) -> bool:
        """Whether frames of video clips are among the images."""
        return any(isinstance(source, Clip) for source in self._sources)

    @property
    def clip_reports(self) -> list[ClipReport]:
        """What became of each clip that has been iterated over to its end."""
        return list(self._clip_reports.values())

    def largest_first(
        self, formats: tuple[str, ...] = FORMATS, progress: Callable[[int], object] = lambda _: None
    ) -> "ImageSet":
        """Return the same images in another order: pictures with more pixels first, then clips.

        Pictures of one size stay in their order, and those whose header cannot be read come last of all pictures. Clips
        stay in their order, too: a photo is the better copy of what a frame of a film shows.

        Parameters
        ----------
        formats
            Whose headers are read.
        progress
            Told how many were looked at since the last call.
        """

        def rank(source: Source) -> tuple[bool, int]:
            progress(1)
            return isinstance(source, Clip), -source.count_pixels(formats) if isinstance(source, EncodedImage) else 0

        return ImageSet(sorted(self._sources, key=rank), self._fps, self.passed_over)

    def __iter__(self) -> Iterator[SourceImage]:
        """Iterate over the images; a line in the log tells what became of each clip, once."""
        for source in self._sources:
            yield from self._images(source)

    def _images(self, source: Source) -> Iterator[SourceImage]:
        if isinstance(source, Clip):
            yield from self._frames(source)
        elif isinstance(source, Archive):
            yield from source
        else:
            yield source

    def _frames(self, clip: Clip) -> Iterator[SourceImage]:
        from neardup.sources.clips import clip_frames  # noqa: PLC0415 - PyAV is an extra

        report = ClipReport(clip.image_id)
        began_ms = clip_began_ms(clip.path, now_ms()) if self.timed else 0
        yield from clip_frames(clip.path, self._fps, report, began_ms)
        if clip.image_id not in self._clip_reports:
            _LOG.log(logging.INFO if report.is_whole else logging.WARNING, "%s: %s", clip.image_id, report)
        self._clip_reports[clip.image_id] = report


class ListedImages(ImageSet):
    """The images that a list names, which is read only as far as needed, and once.

    What is missing is in the set, too, as an image that says so. An image id is the path as the list has it.

    Parameters
    ----------
    paths
        Of files, folders, clips and archives.
    fps, archive_bytes
        As `find_images` takes them.
    """

    def __init__(self, paths: Iterable[str], fps: float, archive_bytes: int) -> None:
        super().__init__((), fps, Counter())
        self._search = _Search(frozenset(), archive_bytes, self.passed_over)  # type: ignore[arg-type]
        self._paths = paths

    @property
    def total(self) -> None:
        """None: nobody has counted them."""
        return

    def __iter__(self) -> Iterator[SourceImage]:
        """Iterate over the images."""
        for path in self._paths:
            for source in self._search.listed(path):
                yield from self._images(source)


def find_images(
    paths: Iterable[str],
    fps: float = 1.0,
    *,
    own: Iterable[str | os.PathLike[str]] = (),
    archive_bytes: int | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> ImageSet:
    """Find the images and clips that the paths stand for.

    A folder stands for all files in it and below, by name; passed over are hidden files, the litter that storage
    servers and ZIP files leave, links to folders, pipes and devices. A file stands for itself, whatever its name. Each
    file is taken once, however often it is named. An image id is the path below the folder that was named; where two
    folders have the same one, the later gets its folder's name in front. What cannot be read is in the set, too, as an
    image that says why.

    Parameters
    ----------
    paths
        Folders, image files and video clips.
    fps
        Frames a second taken from a clip.
    own
        Files and folders that the command itself writes: passed over within folders.
    archive_bytes
        Tar archives that are named are read, and no more than this of a member; None takes them for any other file.
    progress
        Told how many were found since the last call.

    Raises
    ------
    Misconfigured
        A path does not exist (a line for each), is no archive though its name says so, or there are clips and nothing
        to read them with.
    """
    paths = list(paths)
    missing = [path for path in paths if _is_missing(path)]
    if missing:
        raise Misconfigured("\n".join(f"no such file or folder: {path}" for path in missing))
    search = _Search(frozenset(os.path.realpath(path) for path in own), archive_bytes)
    found = []
    for path in paths:
        for source in search.sources(path):
            found.append(source)
            progress(1)
    images = ImageSet(found, fps, search.passed_over)
    if images.has_clips and find_spec("av") is None:
        raise Misconfigured(_NEEDS_PYAV)
    for archive in found:
        if isinstance(archive, Archive):
            archive.check()
    return images


def file_images(path: str, image_id: str, fps: float) -> ImageSet:
    """Return the images of one file, called `image_id`; where it cannot be read, one that says so."""
    source = Clip(image_id, path) if _is_clip(Path(path)) else FileImage(image_id, path)
    return ImageSet([_readable(source)], fps)


def _readable(source: Source) -> Source:
    if isinstance(source, Clip) and find_spec("av") is None:
        return BrokenImage(source.image_id, UnreadableFile(_NEEDS_PYAV))
    return source


def _is_missing(path: str) -> bool:
    try:
        Path(path).stat()
    except ValueError:  # a name that no file can have
        return True
    except OSError as exc:
        return exc.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
    return False


def _is_folder(path: Path) -> bool:
    """Return whether this is a folder and no file; OSError if it is neither, or cannot be looked at."""
    mode = path.stat().st_mode
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise OSError(errno.EINVAL, "neither a file nor a folder", str(path))
    return stat.S_ISDIR(mode)


class _Search:
    """Finds images, clips and archives, each once."""

    def __init__(
        self, own: frozenset[str], archive_bytes: int | None = None, passed_over: Counter[str] | None = None
    ) -> None:
        self.passed_over: Counter[str] = Counter() if passed_over is None else passed_over
        self._own = own
        self._archive_bytes = archive_bytes
        self._names = Names()

    def sources(self, named: str) -> Iterator[Source]:
        """Iterate over what a path stands for."""
        root = Path(os.path.realpath(named))
        try:
            is_folder = _is_folder(root)
        except OSError as exc:
            yield BrokenImage(self._names.give(root.parent.name, root.name), exc)
            return
        if not is_folder:
            yield from self._named_file(str(root), root.name, root.parent.name)
            return
        for path, relative in walk(str(root), self._own, self.passed_over):
            if isinstance(path, OSError):
                yield BrokenImage(self._names.give(root.name, relative), path)
            else:
                yield from self._source(path, relative, root.name)

    def listed(self, path: str) -> Iterator[Source]:
        """Iterate over what a line of a list stands for; errors are images that say so."""
        name = path.removeprefix("./")
        try:
            real = os.path.realpath(path)
            if _is_folder(Path(real)):
                yield from map(_readable, self.sources(path))
                return
            found = list(self._named_file(real, name, name))
        except Misconfigured as exc:  # an archive that is not read
            yield BrokenImage(self._names.number(name), UnreadableFile(str(exc)))
            return
        except (OSError, ValueError) as exc:  # a name that no file can have is a ValueError
            error = exc if isinstance(exc, OSError) else OSError(errno.EINVAL, str(exc), path)
            yield BrokenImage(self._names.number(name), error)
            return
        yield from map(_readable, found)

    def _named_file(self, path: str, relative: str, root_name: str) -> Iterator[Source]:
        if self._archive_bytes is None or not is_archive(path):
            yield from self._source(path, relative, root_name)
        elif self._names.new_path(path):
            image_id = self._names.give(root_name, relative)
            yield archive_file(image_id, path, self._archive_bytes, self.passed_over)

    def _source(self, path: str, relative: str, root_name: str) -> Iterator[SourceImage | Clip]:
        if not self._names.new_path(path):
            return
        image_id = self._names.give(root_name, relative)
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
