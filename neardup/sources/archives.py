"""The images of a tar archive, in its order: read as a stream, and never unpacked to disk."""

import math
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol, Self, cast

from neardup.capture_time import UNKNOWN_MS
from neardup.errors import Misconfigured, UnreadableFile
from neardup.sources.images import BrokenImage, BytesImage, SourceImage
from neardup.sources.names import Names
from neardup.sources.walking import SPECIAL, unwanted

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_NOT_READ = (".tar.zst", ".tzst", ".tar.lz4", ".tar.lzma", ".tar.Z")
BLOCK_BYTES = 512
_LARGEST_HEADER_BYTES = 1024 * 1024
"""Of what stands before a member to describe it (long names, texts, the map of a sparse file): tarfile takes all of it
into memory, and a small archive may unpack to any amount."""
_END = "EOFHeaderError"
"""What tarfile raises at the two empty blocks that end an archive; its types have no public names."""
_BROKEN = (tarfile.TarError, EOFError, OSError, ValueError, RecursionError)
"""What tarfile and the decompressors raise: a wrong number in a header is a ValueError, and headers that name headers
that name headers end in a RecursionError."""


class _Bounded:
    """An archive while a header is read from it, of which no more is read than may be in memory."""

    def __init__(self, file: Any) -> None:  # noqa: ANN401 - tarfile's own stream has no type
        self._file = file
        self._left_bytes = _LARGEST_HEADER_BYTES

    def read(self, size: int) -> bytes:
        if size > self._left_bytes:
            raise tarfile.HeaderError(f"a header of more than {_LARGEST_HEADER_BYTES:,} bytes")
        self._left_bytes -= size
        data: bytes = self._file.read(size)
        return data

    def tell(self) -> int:
        position: int = self._file.tell()
        return position


class _Header(tarfile.TarInfo):
    """A header that does not take more memory than it may, and tells its archive why there is no next one.

    By itself tarfile ends in silence at a damaged header, as if the archive were over.
    """

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        archive: Any = tarfile
        archive.ended_by, file = None, archive.fileobj
        if not isinstance(file, _Bounded):  # as it is within a header that names another
            archive.fileobj = _Bounded(file)
        try:
            return super().fromtarfile(tarfile)
        except Exception as exc:
            archive.ended_by = exc
            raise
        finally:
            archive.fileobj = file


def is_archive(name: str) -> bool:
    """Return whether a file is taken for a tar archive, by its name.

    Raises
    ------
    Misconfigured
        It is one that is compressed in a way that is not read here.
    """
    if name.endswith(_NOT_READ):
        raise Misconfigured(
            f"{name}: tar archives compressed like this are not read; decompress it into a pipe: "
            "zstd -dc x.tar.zst | neardup feed -"
        )
    return name.lower().endswith(SUFFIXES)


def begins_archive(head: bytes) -> bool:
    """Return whether these first bytes (512, or all there are) begin a tar archive, compressed or not."""
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")):
        return True
    if len(head) == BLOCK_BYTES and head.count(0) == BLOCK_BYTES:
        return True  # the end of an archive without members
    with suppress(tarfile.HeaderError):
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        return True
    return False


class Archive:
    """A tar archive; its members become images when it is iterated over.

    A name in it is never a place on this machine: only what the image is called. Links, pipes and devices are passed
    over, as are hidden files and litter. Where the archive is damaged or cut off, an image that says so comes last.

    Parameters
    ----------
    image_id
        What the archive is called; its images have it in front of their own names. Empty for none.
    opened
        Opens it for reading; it is read once from its beginning to its end at each iteration.
    max_bytes
        No more of a member is read than one byte over this: its image says that it is larger.
    passed_over
        Counts what is passed over.
    """

    def __init__(
        self, image_id: str, opened: Callable[[], IO[bytes]], max_bytes: int, passed_over: Counter[str]
    ) -> None:
        self.image_id = image_id
        self._opened = opened
        self._max_bytes = max_bytes
        self._passed_over = passed_over

    def check(self) -> None:
        """Read the first header.

        Raises
        ------
        Misconfigured
            It is no tar archive, or cannot be read.
        """
        try:
            with self._opened() as file, _tar(file):
                pass
        except _BROKEN as exc:
            raise Misconfigured(f"{self.image_id}: this is no tar archive that can be read: {_why(exc)}") from exc

    def __iter__(self) -> Iterator[SourceImage]:
        """Iterate over the images; a member is in memory until the next one is asked for."""
        names, latest = Names(), ""
        try:
            with self._opened() as file, _tar(file) as tar:
                for member in tar:
                    tar.members.clear()  # or all headers would stay in memory
                    latest = member.name
                    if image := self._image(tar, member, names):
                        yield image
                if type(tar.ended_by).__name__ != _END:
                    raise tarfile.ReadError(f"there is no end mark: {tar.ended_by}")
        except _BROKEN as exc:
            where = f"after {latest!r}" if latest else "at its beginning"
            why = UnreadableFile(f"the tar archive is damaged or cut off {where}: {_why(exc)}")
            yield BrokenImage(self.image_id or "standard input", why)

    def _image(self, tar: tarfile.TarFile, member: tarfile.TarInfo, names: Names) -> SourceImage | None:
        if member.isdir():
            return None
        if passed_over := _passed_over(member):
            self._passed_over[passed_over] += 1
            return None
        name = member.name.removeprefix("./")
        image_id = names.number(f"{self.image_id}/{name}" if self.image_id else name)
        file = tar.extractfile(member)
        data = file.read(self._max_bytes + 1) if file else b""
        if len(data) < min(member.size, self._max_bytes + 1):
            raise tarfile.ReadError(f"{name!r} has {member.size:,} bytes, and {len(data):,} are there")
        return BytesImage(image_id, data, _written_ms(member))


def _written_ms(member: tarfile.TarInfo) -> int:
    # A header may hold any number as text, also one that is none.
    return max(0, int(member.mtime * 1000)) if math.isfinite(member.mtime) else UNKNOWN_MS


def _no_file(member: tarfile.TarInfo) -> str:
    if member.isreg() or member.isdir():
        return ""
    return "links" if member.issym() or member.islnk() else SPECIAL


def _passed_over(member: tarfile.TarInfo) -> str:
    return _no_file(member) or unwanted(*PurePosixPath(member.name).parts)


def _tar(file: IO[bytes]) -> Any:  # noqa: ANN401 - a TarFile that was told why it ended
    # "r|*" never seeks, so a pipe will do.
    return tarfile.open(fileobj=file, mode="r|*", tarinfo=_Header, errorlevel=1)


def _why(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


class Seekable(Protocol):
    """A file that can be read from anywhere."""

    def read(self, size: int, /) -> bytes:
        """Return so many bytes, or all that are left."""

    def seek(self, place: int, /) -> int:
        """Go on at a place, counted from the beginning."""

    def tell(self) -> int:
        """Return where we are."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where a member lies in an archive that is not compressed.

    Attributes
    ----------
    first, size_bytes
        Its first byte in the archive, and how many it has.
    behind
        Where the next header begins.
    """

    name: str
    first: int
    size_bytes: int
    behind: int


def spans(file: Seekable, begin: int, size_bytes: int, passed_over: Counter[str]) -> Iterator[Span]:
    """Iterate over the regular files in an archive by their headers; their content is not read.

    Parameters
    ----------
    file
        The archive, which can seek; it is not compressed.
    begin
        Where to begin: 0, or `behind` of an earlier member.
    size_bytes
        How large the archive is.
    passed_over
        Counts links, files with holes, and what else is no file.

    Raises
    ------
    UnreadableFile
        It is damaged or cut off: what came before is whole.
    """
    latest = ""
    try:
        file.seek(begin)
        with tarfile.open(fileobj=cast("IO[bytes]", file), mode="r:", tarinfo=_Header, errorlevel=1) as tar:
            opened: Any = tar
            for member in tar:
                opened.members.clear()  # or all headers would stay in memory
                if member.offset_data + member.size > size_bytes:
                    raise tarfile.ReadError(f"{member.name!r} reaches beyond its end")
                latest = member.name
                if no_file := "sparse files" if member.issparse() else _no_file(member):
                    # What has holes does not lie there as it is, and what a link means lies elsewhere.
                    passed_over[no_file] += 1
                elif not member.isdir():
                    yield Span(member.name.removeprefix("./"), member.offset_data, member.size, opened.offset)
            if type(opened.ended_by).__name__ != _END:
                raise tarfile.ReadError(f"there is no end mark: {opened.ended_by}")
    except _BROKEN as exc:
        where = f"after {latest!r}" if latest else "at its beginning" if not begin else "behind what was read before"
        raise UnreadableFile(f"the tar archive is damaged or cut off {where}: {_why(exc)}") from exc


def archive_file(image_id: str, path: str, max_bytes: int, passed_over: Counter[str]) -> Archive:
    """Return the archive in a file."""
    return Archive(image_id, lambda: Path(path).open("rb"), max_bytes, passed_over)
