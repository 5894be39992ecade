from pathlib import Path

import pytest

from neardup.cli.images import found_images
from tests.support.processes import photo


def test_what_is_passed_over_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.jpg", "@eaDir/a.jpg", "b/@eaDir/c.jpg", "b/.hidden", "told/verdicts.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    images = found_images([str(tmp_path)], 1.0, own=[tmp_path / "told"])
    assert [image.image_id for image in images] == ["a.jpg"]
    assert capsys.readouterr().err == "passed over: @eaDir (2), hidden (1), own output (1)\n"
    found_images([str(tmp_path / "told"), str(tmp_path / "a.jpg")], 1.0)
    assert not capsys.readouterr().err


def test_the_largest_come_first_on_wish(tmp_path: Path) -> None:
    for name, side_px in (("a.jpg", 40), ("b.jpg", 80)):
        (tmp_path / name).write_bytes(photo(1, size=(side_px, side_px)))
    by_name, by_size = (found_images([str(tmp_path)], 1.0, largest_first=wanted) for wanted in (False, True))
    assert [image.image_id for image in by_name] == ["a.jpg", "b.jpg"]
    assert [image.image_id for image in by_size] == ["b.jpg", "a.jpg"]
