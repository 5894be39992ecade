"""The page of a report as a file: below its limit, and there only when it is whole."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from neardup.report.document import document_of
from neardup.report.entry import Source
from neardup.report.making import Making
from neardup.report.page import render
from neardup.tidy.lines import replacing

LARGEST_BYTES = 20_000_000
"""More would be slow to open, and too large for many a mail."""
_ATTEMPTS = 6


def write_report(source: Source, path: Path, making: Making, largest_bytes: int = LARGEST_BYTES) -> dict[str, Any]:
    """Write the report of a source as one HTML file; return the document that it shows.

    Raises
    ------
    Misconfigured, Unavailable
        The source cannot be read, or the file cannot be written; what was there before stays.
    """
    for _ in range(_ATTEMPTS):
        document = document_of(source, making)
        page = render(document)
        if len(page.encode()) <= largest_bytes:
            break
        making = replace(making, size=making.size.halved())
    with replacing(path) as file:
        file.write(page)
    return document
