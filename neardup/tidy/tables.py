"""The groups as files: a table for spreadsheets, and JSON lines."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from neardup.tidy.groups import Group
from neardup.tidy.keep import Measured
from neardup.tidy.lines import line_of, replacing
from neardup.tidy.places import Places

FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What begins a formula in a spreadsheet, in full width too."""


@dataclass(frozen=True, slots=True)
class Row:
    """An image of a group, as the files tell it.

    Attributes
    ----------
    group
        Its number, from 1.
    image
        Its path below the folder; of an image of the reference, the whole path.
    keep
        Whether it stays.
    why
        Why it stays, if it is not the one that is kept for others.
    duplicate_of, distance
        The image that the verdict names, and the distance to it; None for that image itself.
    done
        What was done to it, in words; empty where nothing is known.
    size, width, height
        Bytes and pixels.
    modified
        Time of its file, UTC, ISO 8601.
    """

    group: int
    image: str
    keep: bool
    why: str
    duplicate_of: str | None
    distance: float | None
    done: str
    bytes: int
    width: int
    height: int
    modified: str


def rows_of(number: int, group: Group, measured: dict[str, Measured], staying: dict[str, str]) -> Iterator[Row]:
    """Iterate over the rows of a group.

    Parameters
    ----------
    number
        Of the group.
    group, measured
        Its images, with their sizes by key.
    staying
        By key: why an image stays, empty for the one that is kept; all others go.
    """
    for picture in group.pictures:
        sized, file = measured[picture.file.key], picture.file
        yield Row(
            group=number,
            image=picture.image_id,
            keep=file.key in staying,
            why=staying.get(file.key, ""),
            duplicate_of=picture.duplicate_of,
            distance=picture.distance,
            done=picture.done,
            bytes=file.size,
            width=sized.width_px,
            height=sized.height_px,
            modified=iso_time(file.mtime_ns),
        )


def iso_time(mtime_ns: int) -> str:
    """Return nanoseconds since the epoch as a UTC time, ISO 8601; empty for what no calendar has."""
    try:
        moment = datetime.fromtimestamp(mtime_ns // 1_000_000_000, UTC)
    except (OverflowError, ValueError, OSError):  # before the year 1, or after 9999
        return ""
    return moment.isoformat().replace("+00:00", "Z")


def write_tables(places: Places, rows: Iterable[Row]) -> None:
    """Write the files of groups.

    Raises
    ------
    Misconfigured
        One cannot be written; the earlier files are as they were.
    """
    documents = list(map(asdict, rows))
    with replacing(places.groups_jsonl) as lines:
        lines.writelines(map(line_of, documents))
    with replacing(places.groups_csv, newline="") as table:
        writer = csv.DictWriter(table, [each.name for each in fields(Row)])
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in document.items()} for document in documents)


def _cell(value: Any) -> Any:  # noqa: ANN401 - of any field
    """Return what a cell holds; a path that a spreadsheet would run begins with ``./``, and is still the same path."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"./{value}" if isinstance(value, str) and value.lstrip().startswith(FORMULA) else value
