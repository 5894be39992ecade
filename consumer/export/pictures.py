"""The images of an export: named where they are, or written to a folder."""

import io
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from consumer.export.rows import Picture
from consumer.verdicts.images import Images, file_of
from consumer.verdicts.told import ToldVerdict
from neardup.decoding.header import shown_size_px
from neardup.errors import Misconfigured
from neardup.sources.names import text_of

_ENDINGS = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif", "JPEG2000": "jp2", "HEIF": "heic"}
_NOT_OF_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST = 80


class Pictures(Protocol):
    """Where images come from."""

    def of(self, chunk: Sequence[ToldVerdict]) -> list[Picture]:
        """Return the image of each verdict, in order."""


class Named:
    """Images that stay where they are.

    Parameters
    ----------
    sized
        Whether the sizes are asked for: then the headers of files are read.
    """

    def __init__(self, *, sized: bool) -> None:
        self._sized = sized

    def of(self, chunk: Sequence[ToldVerdict]) -> list[Picture]:
        """Return the image of each verdict, in order."""
        return list(map(self._picture, chunk))

    def _picture(self, told: ToldVerdict) -> Picture:
        if not told.of_file:
            missing = None if told.uri is not None else "its message carries it: --images DIR writes it to a file"
            return Picture(told.uri, told.uri, missing=missing)
        path = file_of(told)
        if path is None:
            return Picture(missing="a frame of a video clip is no file")
        return Picture(told.image_id, _location(path, told.uri), self._size_px(path))

    def _size_px(self, path: Path) -> tuple[int, int] | None:
        if not self._sized or not path.is_file():
            return None
        try:
            with path.open("rb") as file:
                return shown_size_px(file)[1]
        except OSError:
            return None


def _location(path: Path, uri: str | None) -> str | None:
    """Return a path; of one that no text can hold, the URI."""
    return str(path) if text_of(str(path)) == str(path) else uri


class Written:
    """Images that are written to a folder, each under a name of its own; what is there already stays.

    Parameters
    ----------
    folder
        Made if it is not there.
    images
        Where they come from.
    url
        That the folder is served at; None if it is not.

    Raises
    ------
    Misconfigured
        The folder cannot be made.
    """

    def __init__(self, folder: Path, images: Images, url: str | None) -> None:
        self._folder, self._images = folder, images
        self._url = None if url is None else url if url.endswith(("/", "=")) else f"{url}/"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise _cannot_write(folder, exc) from exc

    def of(self, chunk: Sequence[ToldVerdict]) -> list[Picture]:
        """Write the image of each verdict, in the order of their messages; return them in that of the verdicts.

        Raises
        ------
        KafkaUnavailable, Misconfigured
            The image topic cannot be read, or a file cannot be written.
        """
        places = sorted(range(len(chunk)), key=lambda at: _order(chunk[at]))
        written = {at: self._write(chunk[at]) for at in places}
        return [written[at] for at in range(len(chunk))]

    def _write(self, told: ToldVerdict) -> Picture:
        fetched = self._images.fetch(told)
        if fetched.data is None:
            return Picture(fetched.uri, fetched.uri, missing=fetched.gone)
        kind, size_px = shown_size_px(io.BytesIO(fetched.data))
        ending = _ENDINGS.get(kind, kind.lower()) if kind else "bin"
        name = f"{_stem(told)}.{ending}"
        path = self._folder.absolute() / name
        _keep(path, fetched.data)
        location = str(path) if self._url is None else f"{self._url}{quote(name)}"
        return Picture(name, location, size_px, is_served=self._url is not None)


def _order(told: ToldVerdict) -> tuple[str, int, int]:
    return told.source.topic, told.source.partition, told.source.offset


def _stem(told: ToldVerdict) -> str:
    """Return what a file is called: by the place of its message, in folder mode by its place in the run and its id."""
    number = f"{_safe(told.source.topic)}-{told.source.partition}-{told.source.offset}"
    return f"{told.source.offset:07}-{_safe(told.image_id.rpartition('.')[0])}" if told.of_file else number


def _safe(text: str) -> str:
    return _NOT_OF_A_NAME.sub("_", text)[-_LONGEST:]


def _keep(path: Path, data: bytes) -> None:
    """Write a file that is whole or not there; leave one that holds the same."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        if path.exists():
            if path.read_bytes() != data:
                raise Misconfigured(f"--images: {path} is there and holds something else: name another folder")
            return
        with partial.open("wb") as file:
            file.write(data)
        os.replace(partial, path)  # noqa: PTH105 - beside `open`, plainly
    except OSError as exc:
        with suppress(OSError):
            partial.unlink()
        raise _cannot_write(path, exc) from exc


def _cannot_write(path: Path, error: OSError) -> Misconfigured:
    return Misconfigured(f"--images: cannot write {path}: {error.strerror or error}")
