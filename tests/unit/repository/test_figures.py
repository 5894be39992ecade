"""Tables of the pages that come from files of results hold what the files hold."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import (
    calibration_copies,
    calibration_coverage,
    calibration_second_look,
    folder_tidy,
    look_choices,
    part_crops,
    projection,
    serve_load,
    symmetries,
)
from benchmarks.pages import BEGIN, with_tables
from benchmarks.scale import tables as scale
from benchmarks.throughput import tables as throughput

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("page", "results", "tables"),
    [
        ("calibration", "calibration", calibration_coverage.tables),
        ("calibration", "calibration_copies", calibration_copies.tables),
        ("parts", "part_crops", part_crops.tables),
        ("second-look", "look_choices", look_choices.tables),
        ("calibration", "calibration_second_look", calibration_second_look.tables),
        ("descriptors", "projection", projection.tables),
        ("descriptors", "symmetries", symmetries.tables),
        ("performance", "throughput", throughput.tables),
        ("folder", "folder_tidy", folder_tidy.tables),
        ("serve", "serve-10000", serve_load.tables),
        ("serve", "serve-1000000", serve_load.tables),
        ("scaling", "scale", scale.tables),
    ],
)
def test_tables_are_those_of_the_results(page: str, results: str, tables: Any) -> None:  # noqa: ANN401 - a function
    text = (ROOT / f"docs/{page}.md").read_text("utf-8")
    found = tables(json.loads((ROOT / f"benchmarks/results/{results}.json").read_text("utf-8")))
    assert found
    assert with_tables(text, found) == text


def test_every_place_is_filled() -> None:
    for page in ("calibration", "descriptors", "parts", "performance", "scaling"):
        for part in (ROOT / f"docs/{page}.md").read_text("utf-8").split("<!-- figures ")[1:]:
            assert part.partition(" -->\n")[2].partition("<!-- end -->")[0].strip(), part[:40]


@pytest.mark.parametrize("page", ["", "<!-- figures a -->\n", "<!-- end -->", BEGIN.format("b") + "<!-- end -->"])
def test_a_missing_place_is_an_error(page: str) -> None:
    with pytest.raises(ValueError, match="no place for a"):
        with_tables(page, {"a": "| 1 |"})


def test_a_table_takes_the_place_of_the_one_before() -> None:
    page = "above\n<!-- figures a -->\nold\n<!-- end -->\nbelow\n"
    assert with_tables(page, {"a": r"| \1 |"}) == "above\n<!-- figures a -->\n| \\1 |\n<!-- end -->\nbelow\n"
