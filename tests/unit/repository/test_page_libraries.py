"""The libraries that the report's page carries are those that were published, named, and licensed."""

import hashlib
import re
from pathlib import Path

import pytest

from neardup.report.page.html import LIBRARIES, libraries

ROOT = Path(__file__).parents[3]
VENDOR = ROOT / "neardup/report/page/vendor"
NAMES = [library["name"] for library in libraries()]


def test_each_file_is_known() -> None:
    known = {library["file"] for library in libraries()}
    licences = {f"licences/{library[kind]}" for library in libraries() for kind in ("text", "notice")}
    there = {path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file()}
    assert there == known | licences | {"libraries.json"}
    assert set(LIBRARIES) == known


@pytest.mark.parametrize("library", libraries(), ids=NAMES)
def test_a_file_is_what_was_published(library: dict[str, str]) -> None:
    assert hashlib.sha256((VENDOR / library["file"]).read_bytes()).hexdigest() == library["sha256"]


@pytest.mark.parametrize("library", libraries(), ids=NAMES)
def test_a_file_says_its_version(library: dict[str, str]) -> None:
    # ECharts tells its own, and with it the one of ZRender that it asks for.
    version = re.search(r"[\d.]+$", library["version"])
    assert version is not None
    assert version[0] in (VENDOR / library["file"]).read_text("utf-8")


@pytest.mark.parametrize("library", libraries(), ids=NAMES)
def test_a_licence_is_there_and_is_the_one_that_is_told(library: dict[str, str]) -> None:
    words = {"Apache-2.0": "Apache License", "BSD-3-Clause": "Redistribution and use", "MIT": "MIT License"}
    assert words[library["licence"]] in (VENDOR / "licences" / library["text"]).read_text("utf-8")


def test_the_page_of_dependencies_names_versions_and_licences() -> None:
    told = (ROOT / "docs/dependencies.md").read_text("utf-8")
    for library in libraries():
        if library["origin"].startswith("npm"):
            assert f"| {library['name']} | {library['version']} | {library['licence']} |" in told
