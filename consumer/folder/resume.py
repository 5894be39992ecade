"""What an interrupted run had judged: kept in a journal, and not judged again by the next run of the same settings.

The journal has a line that says what decided, then one for each verdict: the file that was judged, the verdict, and of
a unique image its member record. A later run takes over what still holds: verdicts on files that are as they were, and
of duplicates only those whose member holds as well. It writes these to a new journal and goes on with that.
"""

import base64
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from consumer.folder.settings import FolderSettings
from neardup.errors import Misconfigured
from neardup.index.stored.codec import decode_member
from neardup.settings.decoding import DecodingSettings
from neardup.settings.relation import RelationSettings
from neardup.sources import names
from neardup.tidy.groups import JudgedFile
from neardup.tidy.lines import Document, cannot_write, line_of, read_lines, text_of
from neardup.tidy.places import partial
from neardup.types import Member

SCHEMA = "neardup.resume/1"
_log = logging.getLogger(__name__)
_DECIDING = (
    *("fps", "largest_first", "index", "descriptor", "weights", "radius", "retention_s", "probe"),
    *(field.name for field in fields(RelationSettings) if field.name != "profile"),
    *(field.name for field in fields(DecodingSettings)),
)
"""Names of the settings that verdicts depend on; a profile is known by what it sets."""


def decided_by(settings: FolderSettings) -> Document:
    """Return all settings that verdicts depend on, the folders among them, as JSON gives them back."""
    folders = {
        name: None if path is None else names.text_of(os.path.realpath(path))
        for name, path in (("input", settings.input), ("against", settings.against))
    }
    told: Document = json.loads(json.dumps({**folders, **{name: getattr(settings, name) for name in _DECIDING}}))
    return told


@dataclass(frozen=True, slots=True)
class Entry:
    """An image that was judged.

    Attributes
    ----------
    file
        Where it came from.
    verdict
        As it is published.
    record
        Of its member, if it is unique; in base64.
    """

    file: JudgedFile
    verdict: Document
    record: str | None

    def line(self) -> str:
        """Return its line of the journal."""
        return _entry_line(text_of(self.file.document()), text_of(self.verdict), self.record)

    @classmethod
    def read(cls, document: Document) -> Self:
        """Read a line of the journal; ValueError, KeyError or TypeError if it is none."""
        return cls(JudgedFile.read(document["file"]), dict(document["verdict"]), document["member"])

    @property
    def member_key(self) -> str | None:
        """Key of the member that it duplicates."""
        member = self.verdict["member"]
        return member["key"] if member else None

    @property
    def still_holds(self) -> bool:
        """Whether its file is what it was."""
        try:
            status = Path(self.file.path).stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.file.size, self.file.mtime_ns)


def _entry_line(file: str, verdict: str, record: str | None) -> str:
    member = "null" if record is None else f'"{record}"'
    return f'{{"file":{file},"verdict":{verdict},"member":{member}}}\n'


class Journal:
    """The journal of a run.

    Parameters
    ----------
    path
        Of the journal; what is in it from a run of other settings is not used.
    decided_by
        All that decides verdicts, as JSON can hold it.
    """

    def __init__(self, path: Path, decided_by: Mapping[str, Any]) -> None:
        self._path = path
        self._head: Document = {"schema": SCHEMA, "decided_by": dict(decided_by)}
        self.entries = tuple(_holding(_entries(path, self._head)))
        self._known = {entry.file.key: entry.file for entry in self.entries}
        self._file: TextIO | None = None

    def is_known(self, file: JudgedFile) -> bool:
        """Return whether a file was judged, as it is."""
        return self._known.get(file.key) == file

    def members(self, dimension: int) -> list[Member]:
        """Return the members that an index in memory had, of `dimension` numbers."""
        records = (entry.record for entry in self.entries if entry.record is not None)
        return [decode_member(base64.b64decode(record), dimension) for record in records]

    def __enter__(self) -> Self:
        """Write the entries that are taken over to a new journal, in place of the old one."""
        try:
            self._file = partial(self._path).open("w", encoding="utf-8")
            self._file.write(line_of(self._head))
            self._file.writelines(entry.line() for entry in self.entries)
            self._file.flush()
            partial(self._path).replace(self._path)
        except OSError as exc:
            raise Misconfigured(f"--output: {cannot_write(exc, self._path)}") from exc
        return self

    def write(self, file: str, verdict: str, record: str | None) -> None:
        """Append an entry; OSError if it cannot be written.

        Parameters
        ----------
        file, verdict
            As JSON.
        record
            In base64.
        """
        if self._file is not None:
            self._file.write(_entry_line(file, verdict, record))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with suppress(OSError):  # told by whatever was written, and the journal is used as far as it goes
                self._file.close()

    def remove(self) -> None:
        """Remove it: all is judged and written."""
        self._path.unlink(missing_ok=True)


def _entries(path: Path, head: Document) -> Iterator[Entry]:
    """Iterate over the entries of a journal that begins so."""
    if not path.exists():
        return
    try:
        lines = read_lines(path)
        if next(lines, (0, {}))[1] != head:
            _log.warning("%s is of other settings or another descriptor: everything is judged anew", path)
            return
        for _, document in lines:
            yield Entry.read(document)
    except (Misconfigured, KeyError, TypeError, ValueError) as exc:
        _log.warning("%s is damaged, and used as far as it is whole: %s", path, exc)


def _holding(entries: Iterator[Entry]) -> Iterator[Entry]:
    every = list(entries)
    gone = {entry.file.key for entry in every if not entry.still_holds}
    # A verdict that names what is gone, or changed, may be another by now.
    return (entry for entry in every if entry.file.key not in gone and entry.member_key not in gone)
