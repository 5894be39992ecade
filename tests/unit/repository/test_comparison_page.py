"""The page about other tools: each fact about them has its source, and our own figures are those that were measured."""

import re
from pathlib import Path

import pytest

from tests.unit.repository.test_docs import rows, section

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "comparison.md").read_text("utf-8")
QUALITY = (ROOT / "docs" / "quality.md").read_text("utf-8")
TABLE = rows(section(PAGE, "Beside other tools"))
SOURCES = dict(re.findall(r"^\[([a-z]\d+)\]: (\S+)$", PAGE, re.MULTILINE))
TOOLS = {"imagededup": 2, "fastdup": 3, "czkawka": 4, "hma": 5}
NOTHING_TO_SHOW = (
    "none",
    "does not apply",
    "not stated",
    "nothing stated",
    "not by ",
    "pairs, no groups",
    "groups of",
    "no;",
)
"""What a cell without a source begins with: that something is not there has no page of its own."""


def measured(heading: str, row: str, column: str) -> str:
    text = section(QUALITY, heading)
    head = next(line for line in text.splitlines() if line.startswith("|"))
    place = [cell.strip().strip("`") for cell in head.strip("|").split("|")].index(column)
    [cells] = [cells for cells in rows(text) if cells[0].strip("`") == row]
    return cells[place]


@pytest.mark.parametrize("tool", TOOLS)
def test_each_fact_has_its_source(tool: str) -> None:
    for row in TABLE:
        cell = row[TOOLS[tool]]
        named = re.findall(r"\[([a-z]\d+)\]", cell)
        assert set(named) <= {name for name in SOURCES if name[0] == tool[0]}, cell
        assert named or cell.startswith(NOTHING_TO_SHOW), (row[0], cell)


def test_each_source_is_used_and_says_which_version() -> None:
    used = set(re.findall(r"\[([a-z]\d+)\](?!:)", PAGE))
    assert used == set(SOURCES)
    assert all(re.search(r"github\.com/[^/]+/[^/]+/blob/[0-9a-f]{40}/", address) for address in SOURCES.values())


@pytest.mark.parametrize("tool", ["dct", "copynet", "pdq", "phash"])
def test_shares_of_copies_are_those_of_the_quality_page(tool: str) -> None:
    assert f"{measured('Held out', tool, 'recall of 20')} %" in PAGE


@pytest.mark.parametrize("transform", ["crop20", "meme"])
@pytest.mark.parametrize("tool", ["dct", "copynet"])
def test_what_is_missed_is_said_as_measured(transform: str, tool: str) -> None:
    heading = "Recall by transform on held-out photos, at one false pair in a million"
    assert f"{measured(heading, transform, tool)} %" in section(PAGE, "When not to use neardup")


def test_the_readme_names_the_same_tools() -> None:
    table = section((ROOT / "README.md").read_text("utf-8"), "Beside other tools")
    assert [row[0].lower() for row in rows(table)] == ["neardup", *TOOLS]
