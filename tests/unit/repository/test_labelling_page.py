"""The page on labelling against the code: its formats, its columns, and the headers of unique images."""

import re
from dataclasses import fields
from pathlib import Path

from consumer.export.command import _FORMATS
from consumer.export.rows import Row
from consumer.export.settings import FORMATS
from consumer.export.tools import _ATTRIBUTES
from neardup.index.base import IndexMeta
from neardup.types import Decision, Verdict
from neardup.wire import UNIQUE_PREFIX, encode_unique_headers
from tests.support.wire_messages import judged_message

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "labelling.md").read_text("utf-8")
META = IndexMeta(name="default", generation=3, descriptor="dct", fingerprint="dct-1", dimension=4, radius=0.2)


def first_cells(text: str, head: str) -> list[str]:
    """Return what the first cells of a table name, in their order."""
    table = text[text.index(head) :].partition("\n\n")[0]
    return [name for row in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_every_format_is_told() -> None:
    assert first_cells(PAGE, "| `--format` |") == list(FORMATS) == list(_FORMATS)


def test_every_column_is_told_in_order() -> None:
    assert first_cells(PAGE, "| column | is |") == [each.name for each in fields(Row)]


def test_what_tools_get_is_told() -> None:
    (sentence,) = re.findall(r"The tools get (.+?) beside", PAGE, re.DOTALL)
    assert re.findall(r"`(\w+)`", sentence) == list(_ATTRIBUTES)


def test_every_header_of_a_unique_image_is_told() -> None:
    page = (ROOT / "docs" / "wire-contracts.md").read_text("utf-8")
    told = first_cells(page[page.index("## Unique images") :], "| header | content |")
    decision = Decision(Verdict.UNIQUE, None, 0.5, 4, 3)
    headers = encode_unique_headers(judged_message(decision, META))
    assert told == [name for name, _ in headers]
    assert all(name.startswith(UNIQUE_PREFIX) for name in told)
