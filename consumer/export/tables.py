"""Tables: CSV, JSON lines and Parquet, row by row."""

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from consumer.export.rows import Picture, Row
from neardup.errors import Misconfigured
from neardup.tidy.lines import line_of, replaced, replacing
from neardup.tidy.tables import FORMULA

Write = Callable[[Row, Picture], None]
_FORMULA = (*FORMULA, "\t", "\r", "\n")
_ROWS_A_GROUP = 20_000
_TIMES = ("captured_at", "decided_at")


@contextmanager
def csv_file(path: Path) -> Iterator[Write]:
    """Write a table for spreadsheets and data frames, in which no text is run as a formula.

    Raises
    ------
    Misconfigured
        It cannot be written; an earlier file is as it was.
    """
    with replacing(path, newline="") as file:
        writer = csv.writer(file)
        writer.writerow([each.name for each in fields(Row)])
        yield lambda row, _: writer.writerow([_cell(getattr(row, each.name)) for each in fields(row)])


def _cell(value: Any) -> Any:  # noqa: ANN401 - of any field
    return f"'{value}" if isinstance(value, str) and value.lstrip(" \u3000").startswith(_FORMULA) else value


@contextmanager
def jsonl_file(path: Path) -> Iterator[Write]:
    """Write one JSON object on each line; raises as `csv_file`."""
    with replacing(path) as file:
        yield lambda row, _: _written(file.write(line_of(asdict(row))))


def _written(_: int) -> None:
    return


@contextmanager
def parquet_file(path: Path) -> Iterator[Write]:
    """Write a Parquet file with typed columns, a group of rows at a time.

    Raises
    ------
    Misconfigured
        The extra is not installed, or the file cannot be written; an earlier one is as it was.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above
    except ImportError as exc:
        raise Misconfigured("--format parquet needs an extra: pip install 'neardup[parquet]'") from exc
    schema = _schema(pa)
    rows: list[dict[str, Any]] = []
    with replaced(path) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:

        def write(row: Row, _: Picture) -> None:
            rows.append(_typed(row))
            if len(rows) >= _ROWS_A_GROUP:
                flush()

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(rows, schema))
            rows.clear()

        yield write
        flush()


def _schema(pa: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    kinds = {
        **dict.fromkeys(("distance", "radius"), pa.float64()),
        **dict.fromkeys(("cluster", "width", "height", "generation", "partition", "offset"), pa.int64()),
        **dict.fromkeys(_TIMES, pa.timestamp("ms", "UTC")),
    }
    return pa.schema([(each.name, kinds.get(each.name, pa.string())) for each in fields(Row)])


def _typed(row: Row) -> dict[str, Any]:
    document = asdict(row)
    return {**document, **{name: _time(document[name]) for name in _TIMES}}


def _time(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return None if time.tzinfo is None else time
