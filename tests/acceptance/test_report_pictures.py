"""The pictures of the report's page are made by a run of today, and are small."""

from pathlib import Path

import pytest
from PIL import Image

import demo.report_pictures

MOST_BYTES = 150_000
COMMITTED = sorted(demo.report_pictures.PICTURES.glob("report-*.png"))


def test_the_pictures_are_small() -> None:
    assert len(COMMITTED) == 5
    assert [path.name for path in COMMITTED if path.stat().st_size >= MOST_BYTES] == []


@pytest.mark.slow
def test_the_pictures_are_made_from_a_run(tmp_path: Path, chromium: Path) -> None:
    del chromium  # found, or else this is skipped
    assert demo.report_pictures.main(["--to", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in COMMITTED]
    for path in COMMITTED:
        with Image.open(tmp_path / path.name) as made, Image.open(path) as committed:
            assert made.width == committed.width
