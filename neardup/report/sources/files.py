"""Images of files, read once more: those that are still there, and what they were when they were judged."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from neardup.errors import BadInput
from neardup.report.entry import Entry, Missing, Place, Read
from neardup.sources.clip_report import ClipReport
from neardup.sources.images import BrokenImage, FileImage, as_bad_input
from neardup.sources.names import name_of

_FRAME = "#t="
_MS_NS = 1_000_000
_GONE, _CHANGED = "its file is gone", "its file was changed since it was judged"
_NOWHERE = "it is not known where its file is"


@dataclass(frozen=True, slots=True)
class Files:
    """Reads images from their files.

    Attributes
    ----------
    max_bytes
        Larger files are not read.
    fps
        Frames a second that were taken from clips.
    folder
        Where images lie by their names, if that is not where they were judged.
    """

    max_bytes: int
    fps: float = 1.0
    folder: Path | None = None

    def images(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Read]]:
        """Iterate over entries with what reads the image of each: files as they come, then the frames of each clip."""
        root = self.folder or root_of(entries)
        frames: dict[Path, list[Entry]] = {}
        for entry in entries:
            path = self._path(entry, root)
            if path is None:
                yield entry, partial(Missing, _NOWHERE)
            elif _FRAME in entry.name and not _is_image(entry, path):
                frames.setdefault(path, []).append(entry)
            else:
                yield entry, partial(self._read, path, entry.place)
        for path, of_clip in frames.items():
            yield from self._frames(path, of_clip)

    def _path(self, entry: Entry, root: Path | None) -> Path | None:
        if entry.place.path is not None and (self.folder is None or entry.is_outside):
            return Path(entry.place.path)
        if root is None or entry.is_outside:
            return None
        told, (clip, _, _) = entry.place.path, entry.name.rpartition(_FRAME)
        return below(root, clip if clip and not (told and _is_image(entry, Path(told))) else entry.name)

    def _read(self, path: Path, place: Place) -> bytes | Exception:
        try:
            before = path.stat()
            if self._is_changed(before, place):
                return Missing(_CHANGED)
            data = FileImage("", str(path)).encoded(self.max_bytes)
        except (FileNotFoundError, NotADirectoryError):
            return Missing(_GONE)
        except (BadInput, OSError, ValueError) as exc:
            return exc
        return data

    def _frames(self, path: Path, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Read]]:
        wanted = {entry.name.rpartition(_FRAME)[2]: entry for entry in entries}
        why: Exception = Missing("its clip has no such frame, or was taken apart by another --fps")
        try:
            if find_spec("av") is None:
                why = Missing("it is a frame of a clip, which needs PyAV: pip install neardup[video]")
            elif self._is_changed(path.stat(), entries[0].place):
                why = Missing(_CHANGED)
            else:
                from neardup.sources.clips import clip_frames  # noqa: PLC0415 - PyAV is an extra

                for frame in clip_frames(str(path), self.fps, ClipReport(path.name)):
                    if isinstance(frame, BrokenImage):
                        continue
                    entry = wanted.pop(frame.image_id.rpartition(_FRAME)[2], None)
                    if entry is not None:
                        data = frame.encoded(self.max_bytes)
                        yield entry, partial(_given, data)
        except (FileNotFoundError, NotADirectoryError):
            why = Missing(_GONE)
        except (BadInput, OSError) as exc:
            why = as_bad_input(exc)
        except ValueError as exc:  # a verdict may name a file as no file can be called
            why = exc
        for entry in wanted.values():
            yield entry, partial(_given, why)

    def _is_changed(self, status: os.stat_result, place: Place) -> bool:
        """Return whether a file may be another than it was.

        Where nobody noted its size and time, the time when its inode was last changed tells: what is put in its place
        has a later one, however old its content is. So has a copy: of images that lie elsewhere only the first counts.
        """
        if place.size is not None and place.mtime_ns is not None:
            return (status.st_size, status.st_mtime_ns) != (place.size, place.mtime_ns)
        changed_ns = status.st_mtime_ns if self.folder else max(status.st_mtime_ns, status.st_ctime_ns)
        return bool(place.found_ms) and changed_ns // _MS_NS > place.found_ms


def below(folder: Path, name: str) -> Path | None:
    """Return the file of an image by its name; None for one that would lie outside of the folder."""
    path = Path(os.path.normpath(folder / name_of(name)))
    return path if path.is_relative_to(os.path.normpath(folder)) else None


def _given(data: bytes | Exception) -> bytes | Exception:
    return data


def _is_image(entry: Entry, path: Path) -> bool:
    """Return whether an image is a file of its own, though it is called like a frame."""
    return entry.place.path is not None and path.name == Path(name_of(entry.name)).name


def root_of(entries: Sequence[Entry]) -> Path | None:
    """Return the folder that the names of images are paths below, by one that tells its whole path."""
    for entry in entries:
        path, name = entry.place.path, name_of(entry.name)
        if path is not None and not entry.is_outside and path.endswith(f"/{name}"):
            return Path(path.removesuffix(name))
    return None
