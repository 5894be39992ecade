"""Manifests with columns: CSV and Parquet."""

import csv
import os
from collections import deque
from collections.abc import Iterator
from typing import Any

from consumer.backfill.entries import Position, Refused, Step, Told, step_of, unreadable
from consumer.backfill.lists import text_or_none
from consumer.backfill.manifests import LONGEST_LINE_BYTES, ManifestFile
from neardup.capture_time import moment
from neardup.errors import Misconfigured

_DELIMITERS = ",;\t"
_ROWS = 8192
"""Of a Parquet file in memory at a time."""


class CsvFile(ManifestFile):
    """A CSV file whose first line names its columns; commas, semicolons or tabs between them."""

    def steps(self, after: Position | None) -> Iterator[Step]:
        """Iterate over the rows behind one, which is known by the number of its last line."""
        too_long: deque[int] = deque()
        lines = self._lines(too_long)
        head = next(lines, "")
        delimiter = _delimiter(head)
        names = self._names(head.removeprefix("\ufeff"), delimiter)
        self._check_head(names)
        places = [None if name is None else names.index(name) for name in self._columns.found(names, self.name)]
        # Strictly: a quote that is not closed would take the rows behind it into its own, in silence.
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            begun = reader.line_num + 2  # the head is not the reader's
            try:
                row = next(reader, None)
                why = "" if row is None else _trouble(row, places[0])
            except csv.Error as exc:
                row, why = [], f"{exc}, up to line {reader.line_num + 1}"
            if row is None:
                break
            position = reader.line_num + 1
            if too_long:
                too_long.clear()
                why = f"it has more than {LONGEST_LINE_BYTES:,} bytes"
            elif not row and not why:
                continue
            if after is None or position > after:
                yield self._step(row, places, position, f"{self.name}, line {begun}", why)
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

    def _step(self, row: list[str], places: list[int | None], position: int, place: str, why: str) -> Step:
        if why:
            return Refused(position, place, why)
        cells = [None if at is None or at >= len(row) else row[at] for at in places]
        return step_of(Told(*cells), self.folder, position, place)

    def _lines(self, too_long: deque[int]) -> Iterator[str]:
        for number, line in self.numbered_lines():
            if line is None:
                too_long.append(number)
            yield f"{os.fsdecode(line or b'')}\n"


def _trouble(row: list[str], place: int | None) -> str:
    return f"it has {len(row)} columns" if row and place is not None and len(row) <= place else ""


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
