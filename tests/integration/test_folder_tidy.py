"""Folder mode with an index in Redis: groups with members from before, and going on after an interruption."""

import json
from pathlib import Path
from typing import Any

import pytest

import consumer.logs
from neardup.cli import main
from tests.support.interrupting import interrupted_after
from tests.support.processes import photo

pytestmark = pytest.mark.redis


@pytest.fixture
def index(redis_url: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the settings of an index that has one seed."""
    monkeypatch.setattr(consumer.logs, "configure_logging", lambda _level, **_worker: None)
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    (seeds / "a.jpg").write_bytes(photo(1))
    settings = ["--redis", redis_url, "--index", name]
    assert main(["bootstrap", str(seeds), *settings, "--radius", "0.1"], {}) == 0
    return settings


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def pictures(tmp_path: Path) -> Path:
    """Return a folder with two copies of the seed, one of which is called like it, and a pair of its own."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, data in {
        "a.jpg": photo(1, quality=60),
        "b.jpg": photo(1, quality=70),
        "c.jpg": photo(2),
        "d.jpg": photo(2, quality=60),
    }.items():
        (folder / name).write_bytes(data)
    return folder


def test_of_duplicates_of_a_member_from_before_one_is_kept(index: list[str], tmp_path: Path) -> None:
    folder = pictures(tmp_path)
    command = ["folder", str(folder), *index, "--output", str(tmp_path / "verdicts.jsonl"), "--keep", "best"]
    assert main(command, {}) == 0
    rows = lines_of(tmp_path / "groups.jsonl")
    assert [(row["group"], row["image"], row["keep"]) for row in rows] == [
        (1, "a.jpg", False),
        (1, "b.jpg", True),
        (2, "c.jpg", True),
        (2, "d.jpg", False),
    ]
    assert {row["duplicate_of"] for row in rows[:2]} == {"a.jpg"}  # the seed
    assert main([*command, "--apply", "delete"], {}) == 0
    assert {path.name for path in folder.iterdir()} == {"b.jpg", "c.jpg"}
    assert (tmp_path / "seeds/a.jpg").exists()


def test_an_interrupted_run_goes_on(index: list[str], tmp_path: Path) -> None:
    folder = pictures(tmp_path)
    command = ["folder", str(folder), *index, "--output", str(tmp_path / "verdicts.jsonl"), "--batch-size", "1"]
    with interrupted_after(1):
        assert main(command, {}) == 130
    assert lines_of(tmp_path / "verdicts.jsonl.partial")
    assert main(command, {}) == 0
    told = {line["image_id"]: (line["verdict"], line["duplicate_of"]) for line in lines_of(tmp_path / "verdicts.jsonl")}
    assert told == {
        "a.jpg": ("duplicate", "a.jpg"),
        "b.jpg": ("duplicate", "a.jpg"),
        "c.jpg": ("unique", None),
        "d.jpg": ("duplicate", "c.jpg"),
    }
