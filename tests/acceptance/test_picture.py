"""The README's picture is made by a run of today."""

from pathlib import Path

import pytest
from PIL import Image

import demo.picture

pytestmark = pytest.mark.slow

MOST_BYTES = 300_000


def test_the_picture_is_drawn_from_a_run(tmp_path: Path) -> None:
    again = tmp_path / "duplicates.png"
    assert demo.picture.main(["--to", str(again)]) == 0
    with Image.open(again) as made, Image.open(demo.picture.PICTURE) as committed:
        assert made.size == committed.size
    assert demo.picture.PICTURE.stat().st_size < MOST_BYTES
