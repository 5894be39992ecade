"""Tidying up a folder by the command line: interrupted, taken up again, acted on, undone."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import eventually, photo, run, running

pytestmark = pytest.mark.slow

IMAGES = 600
ODD = ["<b onclick=x>&.jpg", "two\nlines.jpg", "=cmd.jpg", os.fsdecode(b"caf\xe9.jpg")]


def folder_of(path: Path) -> Path:
    """Return a folder of pictures, of which every third is a copy of the one before."""
    path.mkdir()
    for number in range(IMAGES):
        seed, quality = (number - 1, 60) if number % 3 == 2 else (number, 90)
        (path / f"{number:03}.jpg").write_bytes(photo(seed, quality))
    return path


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def verdicts(path: Path) -> list[tuple[Any, ...]]:
    documents = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [(each["image_id"], each["verdict"], each["duplicate_of"], each["distance"]) for each in documents]


def test_ctrl_c_while_judging_and_the_rest_by_the_same_command(tmp_path: Path) -> None:
    pictures = folder_of(tmp_path / "pictures")
    command = ["-m", "neardup", "folder", str(pictures), "--decode-workers", "1", "--batch-size", "1", "--keep", "best"]
    whole, output = tmp_path / "whole.jsonl", tmp_path / "verdicts.jsonl"
    assert run([*command, "--output", str(whole)]).returncode == 0
    with running([*command, "--output", str(output)]) as program:
        journal = tmp_path / "verdicts.resume.jsonl"
        eventually(lambda: lines_in(journal) > 10, "the first lines of the journal")
        assert program.stop(signal.SIGINT) == 130
    judged = verdicts(tmp_path / "verdicts.jsonl.partial")
    assert 10 <= len(judged) < IMAGES
    assert not output.exists()
    ended = run([*command, "--output", str(output)])
    assert ended.returncode == 0, ended.stderr
    assert f"{IMAGES} images: {IMAGES * 2 // 3} unique, {IMAGES // 3} duplicates; 0 dead letters" in ended.stdout
    assert verdicts(output) == verdicts(whole)
    assert (tmp_path / "groups.csv").read_bytes() == (tmp_path / "whole.groups.csv").read_bytes()


def test_ctrl_c_while_acting_and_the_rest_by_the_same_command(tmp_path: Path) -> None:
    pictures = folder_of(tmp_path / "pictures")
    before = {path.name: path.read_bytes() for path in pictures.iterdir()}
    command = ["-m", "neardup", "folder", str(pictures), "--output", str(tmp_path / "verdicts.jsonl"), "--keep", "best"]
    assert run(command).returncode == 0
    undo_file = tmp_path / "undo.jsonl"
    with running([*command, "--apply", "move"]) as program:
        eventually(lambda: lines_in(undo_file) > 2, "the first lines of the undo file")
        stopped = program.stop(signal.SIGINT)
    assert stopped in {0, 130}  # it may have been done by then
    ended = run([*command, "--apply", "move"])
    assert ended.returncode == 0, ended.stderr
    assert len(list(pictures.iterdir())) == IMAGES * 2 // 3
    assert len(list((tmp_path / "duplicates").iterdir())) == IMAGES // 3
    undone = run(["-m", "neardup", "undo", str(undo_file)])
    assert (undone.returncode, undone.stderr) == (0, "")
    assert {path.name: path.read_bytes() for path in pictures.iterdir()} == before


def test_odd_names_links_and_copies_in_one_folder(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ODD:
        (pictures / name).write_bytes(photo(1))
    (pictures / "original.jpg").write_bytes(photo(1, size=(320, 240)))
    os.link(pictures / "original.jpg", pictures / "same.jpg")
    (pictures / "a link.jpg").symlink_to(pictures / ODD[0])
    command = ["-m", "neardup", "folder", str(pictures), "--output", str(tmp_path / "verdicts.jsonl"), "--keep", "best"]
    assert run(command).returncode == 0
    ended = run([*command, "--apply", "delete"])
    assert ended.returncode == 0, ended.stderr
    # What the link leads to stays, and so does the other name of the one that is kept.
    assert {path.name for path in pictures.iterdir()} == {"a link.jpg", ODD[0], "original.jpg", "same.jpg"}
    undone = run(["-m", "neardup", "undo", str(tmp_path / "undo.jsonl")])
    assert undone.returncode == 4
    assert undone.stderr.count("deleted, which cannot be undone") == len(ODD) - 1
    assert r"two\x0alines.jpg" in undone.stderr
    assert r"caf\xe9.jpg" in undone.stderr
