"""Folder mode as its command line on a folder as people have them: photos among what phones, servers and ZIPs leave."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.deep import deep_folder
from tests.support.processes import photo, run

pytestmark = pytest.mark.slow

NOT_UTF8 = os.fsdecode(b"caf\xe9.jpg")


@pytest.fixture
def pictures(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "pictures"
    large, small = photo(1, size=(320, 240)), photo(1, size=(160, 120))
    files = {
        "a-small.jpg": small,
        "b/original.jpg": large,
        NOT_UTF8: photo(2),
        "memo.3gp": b"a voice, and no picture",
        "notes.txt": b"no picture",
        "@eaDir/a-small.jpg/SYNOPHOTO_THUMB_M.jpg": small,
        "__MACOSX/._a-small.jpg": b"\0",
        ".DS_Store": b"\0",
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "circle.jpg").symlink_to("circle.jpg")
    (folder / "back").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe")
    with deep_folder(folder):
        yield folder


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_everything_is_judged_or_a_dead_letter_or_passed_over(pictures: Path) -> None:
    pytest.importorskip("av", reason="extra video is not installed")
    output = pictures / "verdicts.jsonl"
    arguments = ["-m", "neardup", "folder", str(pictures), "--output", str(output), "--largest-first"]
    for own_output in ([], ["own output (4)"]):
        ended = run(arguments)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.startswith("3 images: 2 unique, 1 duplicate; 4 dead letters; 1 clip, 1 not whole")
        log = [json.loads(line) for line in ended.stderr.splitlines()]
        litter = ["@eaDir (1)", "__MACOSX (1)", "hidden (1)", "links to folders (1)"]
        passed_over = ", ".join([*litter, *own_output, "special files (1)"])
        told, of_the_clip = (line["message"] for line in log)
        assert told == f"passed over: {passed_over}"
        assert of_the_clip.startswith("memo.3gp: ")
        verdicts = {line["image_id"]: line["duplicate_of"] for line in lines_of(output)}
        assert verdicts == {"b/original.jpg": None, r"caf\xe9.jpg": None, "a-small.jpg": "b/original.jpg"}
        letters = lines_of(pictures / "verdicts.dead.jsonl")
        assert {line["image_id"].partition("/")[0]: line["reason"] for line in letters} == {
            "circle.jpg": "unreadable-file",
            "deep": "bad-image-id",  # its path has more than 1024 bytes
            "memo.3gp": "undecodable",
            "notes.txt": "undecodable",
        }
