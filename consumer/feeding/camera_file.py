"""The file that says which cameras to watch: TOML, with a ``[[camera]]`` for each."""

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from consumer.feeding.settings import duration_s, is_url
from consumer.messages import CONTROL
from neardup.errors import Misconfigured
from neardup.settings.command_line import did_you_mean
from neardup.sources.mask import Region, polygon, rectangle

_KEYS = ("id", "url", "every", "mask")
_ALL_KEYS = ", ".join(_KEYS)
_LONGEST_ID_BYTES = 200
"""An image id has the time behind it, and has to stay within what messages allow."""
_LARGEST_BYTES = 4 * 1024 * 1024
_RECTANGLE = 4


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera.

    Attributes
    ----------
    id
        What it is called: in image ids, as key and as source of its messages, and in the log.
    url
        Where its pictures come from; may hold a password, and is never shown.
    every_s
        Least seconds from one picture to the next.
    mask
        Regions that are blanked.
    """

    id: str
    url: str = field(repr=False)
    every_s: float = 1.0
    mask: tuple[Region, ...] = ()

    @property
    def place(self) -> str:
        """Where it is, as it may be shown: some cameras have their password in the path of the URL."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{_host(self.url)}"


def named_cameras(urls: Sequence[str], every_s: float, mask: tuple[Region, ...]) -> list[Camera]:
    """Return the cameras of a command line, called by their hosts.

    Raises
    ------
    Misconfigured
        Two are alike, or a URL is none.
    """
    cameras = []
    for url in urls:
        if wrong := _wrong_url(url):
            raise Misconfigured(f"PATH: {wrong}")
        cameras.append(Camera(_host(url), url, every_s, mask))
    if len({camera.id for camera in cameras}) < len(cameras):
        raise Misconfigured("PATH: two cameras of one host need names: write them into a file for --cameras")
    return cameras


def cameras_in(path: str, every_s: float) -> list[Camera]:
    """Read a file of cameras.

    Parameters
    ----------
    path
        The file.
    every_s
        Of those that do not say it.

    Raises
    ------
    Misconfigured
        With a line for each thing that is wrong; none shows a URL.
    """
    try:
        with Path(path).open("rb") as file:
            document = tomllib.loads(file.read(_LARGEST_BYTES).decode())
    except (OSError, ValueError, RecursionError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else _where(exc)
        raise Misconfigured(f"--cameras: {path!r} cannot be read: {why}") from None
    wrong: list[str] = []
    cameras = list(_cameras(document, every_s, wrong))
    ids = Counter(camera.id for camera in cameras)
    wrong += (f"there are {count} cameras with the id {name!r}" for name, count in ids.items() if count > 1)
    if wrong:
        raise Misconfigured("\n".join(f"--cameras: {path!r}: {line}" for line in wrong))
    return cameras


def _where(error: ValueError | RecursionError) -> str:
    # A parser's message may quote the line, and so a password: only where it is can be told.
    place = str(error).rpartition("(")[2].rstrip(")") if isinstance(error, tomllib.TOMLDecodeError) else ""
    if isinstance(error, RecursionError):
        place = "nested too deep"
    return f"it is no TOML, {place}" if place else "it is no UTF-8 text"


def _cameras(document: Mapping[str, Any], every_s: float, wrong: list[str]) -> Iterator[Camera]:
    tables = document.get("camera")
    wrong += (f"there is no key {key!r}; each camera is a [[camera]]" for key in document if key != "camera")
    if not (isinstance(tables, list) and tables and all(isinstance(table, dict) for table in tables)):
        wrong.append("write [[camera]], in two brackets, once for each camera")
        return
    for number, table in enumerate(tables, start=1):
        name = table.get("id")
        what = f"camera {name!r}" if isinstance(name, str) and name else f"camera {number}"
        camera = _Table(table, wrong, what).camera(every_s)
        if camera is not None:
            yield camera


class _Table:
    """Reads one ``[[camera]]``, and adds to the lines of what is wrong."""

    def __init__(self, table: Mapping[str, Any], wrong: list[str], what: str) -> None:
        self._table = table
        self._wrong = wrong
        self._what = what

    def camera(self, every_s: float) -> Camera | None:
        before = len(self._wrong)
        for key in self._table:
            if key not in _KEYS:
                self._say(f"there is no key {key!r}{did_you_mean(key, _KEYS) or f'; there are {_ALL_KEYS}'}")
        name, url = self._text("id"), self._text("url")
        if name and (len(name.encode()) > _LONGEST_ID_BYTES or CONTROL.search(name)):
            self._say(f"id: it should be at most {_LONGEST_ID_BYTES} bytes of text, without control characters")
        if url and (wrong := _wrong_url(url)):
            self._say(f"url: {wrong}")
        every_s = self._every_s(every_s)
        mask = tuple(self._mask())
        return None if len(self._wrong) > before else Camera(name, url, every_s, mask)

    def _say(self, line: str) -> None:
        self._wrong.append(f"{self._what}: {line}")

    def _text(self, key: str) -> str:
        text = self._table.get(key)
        if isinstance(text, str) and text:
            return text
        self._say(f"{key}: it should be a text" if key in self._table else f"{key}: it is required")
        return ""

    def _every_s(self, otherwise: float) -> float:
        given = self._table.get("every", otherwise)
        try:
            if isinstance(given, bool) or not isinstance(given, str | int | float):
                raise ValueError("it should be a number of seconds, or a text such as 5s or 1m")  # noqa: TRY004, TRY301
            return duration_s(str(given))
        except ValueError as exc:
            self._say(f"every: {exc}")
            return otherwise

    def _mask(self) -> Iterator[Region]:
        given = self._table.get("mask", [])
        if not isinstance(given, list):
            self._say("mask: it should be a list of regions")
            return
        for each in given:
            try:
                yield _region(each)
            except ValueError as exc:
                self._say(f"mask: {each}: {exc}")


def _region(given: Any) -> Region:  # noqa: ANN401 - TOML holds what it likes
    """Return a region of ``[x, y, width, height]`` or of corners ``[[x, y], ...]``; ValueError if it is neither."""
    if isinstance(given, list):
        if len(given) == _RECTANGLE and all(map(_is_integer, given)):
            return rectangle(given, str(given))
        if given and all(isinstance(each, list) and len(each) == 2 and all(map(_is_integer, each)) for each in given):  # noqa: PLR2004 - x and y
            return polygon([(x, y) for x, y in given], str(given))
    raise ValueError("it should be [x, y, width, height] or corners [[x, y], [x, y], [x, y]], in whole pixels")


def _is_integer(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool)


def _wrong_url(url: str) -> str:
    """Return what is wrong with a URL, without showing it; empty for nothing."""
    if not is_url(url):
        return "it should begin with rtsp://, rtsps://, http:// or https://"
    try:
        host = _host(url)
    except ValueError:
        host = ""
    return "" if host and not CONTROL.search(url) else "it names no host and port that can be"


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{host}:{parts.port}" if host and parts.port else host
