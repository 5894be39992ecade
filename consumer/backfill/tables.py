"""Manifests with columns: CSV and Parquet."""

import csv
import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Self

from consumer.backfill.entries import Position, Refused, Step, Told, step_of, unreadable
from consumer.backfill.lists import text_or_none
from consumer.backfill.manifests import LONGEST_LINE_BYTES, ManifestFile
from consumer.backfill.settings import IMAGE_SUFFIXES
from neardup.capture_time import moment
from neardup.errors import Misconfigured
from neardup.wording import counted

_DELIMITERS = ",;\t"
_ROWS = 8192
"""Of a Parquet file in memory at a time."""
_LONGEST_ROW = 131_072
"""Over several lines, in characters: as long as one value may be. A quote that is not closed reads on so far."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_UNCLOSED = "a quote that it opens is not closed"


class _Lines:
    """Lines for a CSV reader, and what it makes of them: rows, each with the lines that it stands on.

    A quote that is not closed would take the rows behind it into its own. Its row is given up, and the line behind the
    quote's begins the next one.

    Parameters
    ----------
    lines
        With their ends; None for one that is too long.
    """

    def __init__(self, lines: Iterator[str | None]) -> None:
        self._lines = lines
        self._given_back: deque[str | None] = deque()
        self._begin()

    def _begin(self) -> None:
        self._taken: list[str | None] = []
        self._asked = self._characters = 0

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> str:
        """Return the next line; csv.Error if the row in hand cannot have it."""
        self._asked += 1
        line = self._given_back.popleft() if self._given_back else next(self._lines)
        self._taken.append(line)
        self._characters += len(line or "")
        if self._asked > 1 and (line is None or self._characters > _LONGEST_ROW):
            raise csv.Error(_UNCLOSED)
        return line or "\n"

    def rows(self, delimiter: str) -> Iterator[tuple[list[str], list[str | None], str]]:
        """Iterate over the rows behind what was read: the cells, the lines, and why they are none."""
        reader = csv.reader(self, delimiter=delimiter, strict=True)
        while True:
            self._begin()
            cells, why = list[str](), ""
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as exc:
                why = str(exc)
                if self._asked > 1:
                    why = _UNCLOSED
                    self._given_back.extendleft(reversed(self._taken[1:]))
                    del self._taken[1:]
            if None in self._taken:
                why = f"it has more than {LONGEST_LINE_BYTES:,} bytes"
            yield cells, self._taken, why


class CsvFile(ManifestFile):
    """A CSV file whose first line names its columns; commas, semicolons or tabs between them."""

    def steps(self, after: Position | None) -> Iterator[Step]:
        """Iterate over the rows behind one, which is known by the number of its last line."""
        lines = _Lines(None if line is None else f"{os.fsdecode(line)}\n" for _, line in self.numbered_lines())
        head = next(lines, "")
        delimiter = _delimiter(head)
        names = self._names(head.removeprefix("\ufeff"), delimiter)
        self._check_head(names)
        found = self._columns.found(names, self.name)
        shape = _Shape(delimiter, len(names), [None if name is None else names.index(name) for name in found])
        last = 1
        for cells, taken, why in lines.rows(delimiter):
            first, last = last + 1, last + len(taken)
            if (after is not None and last <= after) or not (cells or why):
                continue
            told = shape.told(cells)
            if why := why or shape.trouble(cells, told, taken):
                yield from self._refused(range(max(first, (after or 0) + 1), last + 1), first, why)
            else:
                yield step_of(told, self.folder, last, f"{self.name}, line {first}")
        self.check_same()

    def _names(self, head: str, delimiter: str) -> list[str]:
        try:
            return [name.strip() for name in next(csv.reader([head], delimiter=delimiter), [])]
        except csv.Error as exc:
            hint = "; its lines have to end in line feeds" if "\r" in head else ""
            raise Misconfigured(f"{self.name}: its first line names no columns ({exc}){hint}") from exc

    def _check_head(self, names: list[str]) -> None:
        if any("://" in name for name in names):
            raise Misconfigured(
                f"{self.name}: its first line names no columns; a list without such a line can be named .txt, "
                "with one URI a line"
            )

    def _refused(self, lines: range, first: int, why: str) -> Iterator[Refused]:
        """Refuse each line of a row: any of them may have been meant for a row of its own."""
        for number in lines:
            told = why if number == first else f"it is part of the row that line {first} begins: {why}"
            yield Refused(number, f"{self.name}, line {number}", told)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the first line says of the others.

    Attributes
    ----------
    delimiter
        Between columns.
    columns
        How many there are.
    places
        Which of them have the URI, the id and the time.
    """

    delimiter: str
    columns: int
    places: list[int | None]

    def told(self, cells: list[str]) -> Told:
        """Return what a row says."""
        return Told(*[None if at is None or at >= len(cells) else cells[at] for at in self.places])

    def trouble(self, cells: list[str], told: Told, lines: Sequence[str | None]) -> str:
        """Return why a row cannot be what it seems to say; empty if it can."""
        text = "".join(map(str, lines))
        quotes = text.count('"')
        # A row may end before columns that would be empty; but with quotes it may have lost one, and columns with it.
        if told.uri is None or len(cells) > self.columns or (quotes and len(cells) < self.columns):
            return f"it has {counted(len(cells), 'column')}, the header {self.columns}"
        return self._trouble_of_quotes(cells, told.uri, text, quotes) or self._trouble_of_lines(told, told.uri, lines)

    @staticmethod
    def _trouble_of_quotes(cells: list[str], uri: str, text: str, quotes: int) -> str:
        # An inch mark in a row without quoted values does no harm.
        if quotes % 2 and quotes != sum(cell.count('"') for cell in cells):
            return "it has an odd number of quotes"
        if '"' in uri and uri.replace('"', '""') not in text:
            return "its URI has a quote that is not doubled"
        return ""

    def _trouble_of_lines(self, told: Told, uri: str, lines: Sequence[str | None]) -> str:
        if len(lines) == 1:
            return ""
        if "\n" in f"{uri.strip()}{told.image_id or ''}{told.captured_at or ''}":
            return "its URI, id or time has a line break; a quote may be missing"
        if any(self._is_row(str(line), uri) for line in lines[1:]):
            return "another row stands within a value of it; a quote may be missing"
        return ""

    def _is_row(self, line: str, uri: str) -> bool:
        """Return whether a line of a row is likely to be a row itself, with another URI."""
        try:
            cells = next(csv.reader([line], delimiter=self.delimiter, strict=True), [])
        except csv.Error:
            return False
        named = self.told(cells).uri or ""
        is_image = _ADDRESS.match(named) or PurePath(named).suffix.lower() in IMAGE_SUFFIXES
        return len(cells) == self.columns and bool(is_image) and named != uri


def _delimiter(head: str) -> str:
    try:
        return csv.Sniffer().sniff(head, _DELIMITERS).delimiter
    except csv.Error:  # one column
        return ","


class ParquetFile(ManifestFile):
    """A Parquet file, read some thousand rows at a time."""

    def steps(self, after: Position | None) -> Iterator[Step]:
        """Iterate over the rows behind one; rows are counted from 1."""
        try:
            import pyarrow as pa  # noqa: PLC0415 - an extra
            import pyarrow.parquet as pq  # noqa: PLC0415 - as above
        except ImportError as exc:
            raise Misconfigured("LISTING: Parquet files need an extra: pip install 'neardup[parquet]'") from exc
        try:
            with pq.ParquetFile(self.path, memory_map=False) as file:
                yield from self._rows(file, after or 0)
        except (pa.ArrowException, OSError, KeyError, ValueError) as exc:
            raise unreadable(self.name, exc) from exc
        self.check_same()

    def _rows(self, file: Any, after: int) -> Iterator[Step]:  # noqa: ANN401 - pyarrow has no types
        found = self._columns.found(file.schema_arrow.names, self.name)
        number, groups = _groups_behind(file, after)
        names = list(dict.fromkeys(name for name in found if name is not None))
        for batch in file.iter_batches(_ROWS, groups, names):
            columns = [[None] * len(batch) if name is None else _cells(batch.column(name)) for name in found]
            for cells in zip(*columns, strict=True):
                number += 1
                if number > after:
                    yield self._step(cells, number)

    def _step(self, cells: tuple[Any, ...], row: int) -> Step:
        place = f"{self.name}, row {row}"
        if cells[0] is not None and not isinstance(cells[0], str):
            return Refused(row, place, f"its URI is no text, but {type(cells[0]).__name__}")
        return step_of(Told(*map(text_or_none, cells)), self.folder, row, place)


def _cells(column: Any) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
    """Return the values of a column; times as milliseconds or as text, None for text that is no UTF-8."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    if pa.types.is_timestamp(column.type):
        # Python's own times have no nanoseconds.
        column = column.cast(pa.timestamp("ms", column.type.tz), safe=False)
        if column.type.tz is not None:
            # Milliseconds are digits alone: a time before 1970 goes in the other form.
            return [at if at is None or at >= 0 else moment(at) for at in column.cast(pa.int64()).to_pylist()]
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        values = [_text_of(cell) for cell in column]
    return values


def _text_of(cell: Any) -> str | None:  # noqa: ANN401 - as above
    try:
        text: str | None = cell.as_py()
    except UnicodeDecodeError:
        return None
    return text


def _groups_behind(file: Any, after: int) -> tuple[int, list[int]]:  # noqa: ANN401 - as above
    """Return how many rows stand before the first row group with some behind `after`, and the groups from there."""
    rows = 0
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if rows + count > after:
            return rows, [*range(group, file.num_row_groups)]
        rows += count
    return rows, []
