"""One image of seeds, feed or folder mode, not yet read: a file, bytes in memory, or what is known to be broken."""

import errno
import io
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from neardup.decoding.decode import decode
from neardup.decoding.header import count_pixels, size_px
from neardup.decoding.limits import DecodeLimits
from neardup.errors import BadInput, TooManyBytes, UnreadableFile
from neardup.types import Pixels


def as_bad_input(error: BadInput | OSError) -> BadInput:
    """Return what is wrong with an image that could not be read or decoded, with a reason."""
    return error if isinstance(error, BadInput) else UnreadableFile(error.strerror or str(error))


class SourceImage(Protocol):
    """One image, not yet read.

    Attributes
    ----------
    image_id
        Unique among the images found together.
    captured_at_ms
        Milliseconds since the epoch, 0 when unknown.
    """

    @property
    def image_id(self) -> str:
        """What the image is called."""

    @property
    def captured_at_ms(self) -> int:
        """When it was taken."""

    def encoded(self, max_bytes: int) -> bytes:
        """Return the image as a camera would publish it.

        Raises
        ------
        BadInput, OSError
            It is larger than `max_bytes`, or cannot be read.
        """

    def pixels(self, reduce_to_px: int | None, limits: DecodeLimits) -> Pixels:
        """Read and decode the image; see `neardup.decoding.decode.decode`.

        Raises
        ------
        BadInput, OSError
            It cannot be decoded, or not even be read.
        """


@dataclass(frozen=True, slots=True)
class BytesImage:
    """An encoded image in memory."""

    image_id: str
    data: bytes
    captured_at_ms: int = 0

    def count_pixels(self, formats: tuple[str, ...]) -> int:
        """Return width times height by the header; 0 when unknown."""
        return count_pixels(io.BytesIO(self.data), formats)

    def encoded(self, max_bytes: int) -> bytes:
        """Return the bytes."""
        return _small_enough(self.data, max_bytes)

    def pixels(self, reduce_to_px: int | None, limits: DecodeLimits) -> Pixels:
        """Decode the bytes."""
        return decode(self.data, reduce_to_px=reduce_to_px, limits=limits)


@dataclass(frozen=True, slots=True)
class FileImage:
    """An image file."""

    image_id: str
    path: str
    captured_at_ms: int = 0

    def count_pixels(self, formats: tuple[str, ...]) -> int:
        """Return width times height by the header; 0 when unknown."""
        width, height = self.size_px(formats)
        return width * height

    def size_px(self, formats: tuple[str, ...]) -> tuple[int, int]:
        """Return width and height by the header, as they are stored; (0, 0) when unknown."""
        try:
            with _opened(Path(self.path)) as file:
                return size_px(file, formats)
        except (OSError, ValueError):
            return 0, 0

    def encoded(self, max_bytes: int) -> bytes:
        """Read the file, and no more of it than one byte over the limit."""
        try:
            with _opened(Path(self.path)) as file:
                return _small_enough(file.read(max_bytes + 1), max_bytes)
        except ValueError as exc:  # a name that no file can have
            raise OSError(errno.EINVAL, str(exc), self.path) from exc

    def pixels(self, reduce_to_px: int | None, limits: DecodeLimits) -> Pixels:
        """Read and decode the file."""
        return decode(self.encoded(limits.max_bytes), reduce_to_px=reduce_to_px, limits=limits)


def _opened(path: Path) -> BinaryIO:
    # Opening a pipe may block for ever, and opening a device may do something; opening a folder says what is wrong.
    if stat.S_IFMT(path.stat().st_mode) not in {stat.S_IFREG, stat.S_IFDIR}:
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.open("rb")


def _small_enough(data: bytes, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise TooManyBytes(f"more than {max_bytes} bytes")
    return data


EncodedImage = BytesImage | FileImage
"""What comes as an encoded image, to be decoded like the stream's."""


@dataclass(frozen=True, slots=True)
class BrokenImage:
    """Something that is known to be unreadable: a closed folder, the rest of a damaged clip."""

    image_id: str
    error: Exception
    captured_at_ms: int = 0

    def encoded(self, max_bytes: int) -> bytes:
        """Raise why."""
        del max_bytes
        raise self.error

    def pixels(self, reduce_to_px: int | None, limits: DecodeLimits) -> Pixels:
        """Raise why."""
        del reduce_to_px, limits
        raise self.error
