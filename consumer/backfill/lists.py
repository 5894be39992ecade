"""Lists with an image a line: its URI or path, or a JSON object that has it."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from consumer.backfill.entries import Pause, Position, Refused, Step, Told, step_of
from consumer.backfill.manifests import LONGEST_LINE_BYTES, Columns, ManifestFile, numbered
from consumer.backfill.piped import PipedLines
from neardup.errors import Misconfigured

_BOM = b"\xef\xbb\xbf"
_HEAD_LINES = 100
"""Of a picture or a ZIP file that was named by mistake, a NUL is in one of the first lines."""
_ARRAY = re.compile(r'\s*\[\s*([{"]|$)')
"""How an array of images begins; a name may begin like ``[1]``."""
_SPREAD = re.compile(r"\s*\{\s*$")
"""How an object begins that goes on in other lines."""


class ListFile(ManifestFile):
    """A list in a file."""

    def steps(self, after: Position | None) -> Iterator[Step]:
        """Iterate over the lines behind one; empty lines are passed over."""
        reading = _Reading(self.folder, self._columns, begun=after is not None)
        for number, line in self.numbered_lines():
            if after is None or number > after:
                yield from reading.steps(line, number, number, f"{self.name}, line {number}")
        self.check_same()


class PipedList:
    """A list on standard input, which is known again by the lines that were published of it.

    Parameters
    ----------
    lines
        Standard input.
    columns
        Which fields of JSON lines are meant.
    """

    name = "standard input"

    def __init__(self, lines: PipedLines, columns: Columns) -> None:
        self._lines = lines
        self._columns = columns
        self._fingerprint = ""

    def fingerprint(self) -> str:
        """Return the SHA-256 of its lines once all are read, which they can be once only; nothing before."""
        return self._fingerprint

    def read_through(self) -> None:
        """Read all of it, for the fingerprint."""
        for _ in self._read(hashlib.sha256()):
            pass

    def steps(self, after: Position | None) -> Iterator[Step]:
        """Iterate over the lines behind one; those up to it have to be the ones that were published.

        A pause comes before a line that is not there yet.
        """
        done, digest_of_done = (0, "") if after is None else after
        digest, number = hashlib.sha256(), 0
        folder = os.getcwd()  # noqa: PTH109 - a name, as it is
        reading = _Reading(folder, self._columns, begun=after is not None)
        for number, line in self._read(digest):
            if number > done:
                position = (number, digest.copy().hexdigest())
                yield from reading.steps(line, number, position, f"line {number}")
            elif number == done and digest.hexdigest() != digest_of_done:
                raise _another(done)
            if number >= done and not self._lines.is_ready():
                yield Pause()
        if number < done:
            raise _another(done)

    def _read(self, digest: "hashlib._Hash") -> Iterator[tuple[int, bytes | None]]:
        for number, line in numbered(self._lines):
            digest.update(b"?" if line is None else line)
            digest.update(b"\n")
            yield number, line
        self._fingerprint = digest.hexdigest()


def _another(done: int) -> Misconfigured:
    return Misconfigured(
        f"LISTING: the first {done} lines on standard input are not those that were published; "
        "pipe the same list, or begin once more with --again"
    )


@dataclass(slots=True)
class _Reading:
    """How lines are read.

    Attributes
    ----------
    folder
        Where relative paths are taken from.
    columns
        Which fields are meant.
    begun
        Whether a line has come that is not empty.
    """

    folder: str
    columns: Columns
    begun: bool

    def steps(self, line: bytes | None, number: int, position: Position, place: str) -> Iterator[Step]:
        if line is None:
            yield Refused(position, place, f"it has more than {LONGEST_LINE_BYTES:,} bytes")
            return
        if b"\0" in line:
            if number <= _HEAD_LINES:
                raise Misconfigured(f"LISTING: {place}: this is no list of URIs or paths, but holds other bytes")
            yield Refused(position, place, "it has a NUL")
            return
        text = os.fsdecode(line.removeprefix(_BOM) if number == 1 else line)
        if not self.begun and text.strip():
            _check_first(text, place)
            self.begun = True
        if text.lstrip().startswith("{"):
            yield self._of_json(text, position, place)
        elif _is_array(text):
            yield Refused(position, place, "it is a JSON array; each image has to stand on a line of its own")
        elif text.strip():
            yield step_of(Told(text), self.folder, position, place)

    def _of_json(self, text: str, position: Position, place: str) -> Step:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return Refused(position, place, "it begins like a JSON object, and is none")
        found = [_first(document, names) for names in self.columns.names]
        if not isinstance(found[0], str):
            named = self.columns.uri or "uri, url or path"
            return Refused(position, place, f"it has no field {named} with a text")
        return step_of(Told(found[0], text_or_none(found[1]), text_or_none(found[2])), self.folder, position, place)


def _check_first(text: str, place: str) -> None:
    """Refuse a list whose first line says that lines are not its images: each would be taken for a name."""
    if _ARRAY.match(text) or _SPREAD.match(text):
        what = "a JSON array" if _ARRAY.match(text) else "JSON over several lines"
        raise Misconfigured(f"LISTING: {place}: this is {what}; write one object a line")


def _is_array(text: str) -> bool:
    """Return whether a line is a JSON array, of many images most likely; a name may begin like one."""
    if not text.lstrip().startswith("["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _first(document: dict[str, Any], names: tuple[str, ...]) -> Any:  # noqa: ANN401 - of any type
    return next((document[name] for name in names if document.get(name) is not None), None)


def text_or_none(value: Any) -> str | None:  # noqa: ANN401 - of any type
    """Return a value of a manifest as the text that a header would have; None for nothing."""
    if value is None or value == "" or value != value:  # noqa: PLR0124 - NaN, as data frames write it
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
