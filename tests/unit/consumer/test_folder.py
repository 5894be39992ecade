import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import consumer.logs
from consumer.folder.messages import FILE_HEADER
from consumer.folder.output import TOPICS, Output
from consumer.folder.resume import Journal
from consumer.messages import OutgoingMessage
from neardup import errors
from neardup.cli import main
from neardup.sources.files import find_images
from neardup.tidy.places import Places
from tests.support.processes import photo

Lines = list[dict[str, Any]]
Judge = Callable[..., tuple[Lines, dict[str, str]]]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(photo(1))
    (folder / "z.jpg").write_bytes(photo(1, quality=60))
    return folder


@pytest.fixture
def judge(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Run folder mode in this process; give the verdicts, and the reasons of dead letters by image id."""
    monkeypatch.setattr(consumer.logs, "configure_logging", lambda _level, **_worker: None)

    def run(*settings: str, output: Path = tmp_path / "told.jsonl") -> tuple[Lines, dict[str, str]]:
        arguments = ["folder", str(images), "--output", str(output), "--decode-timeout", "off", *settings]
        assert main(arguments, {}) == 0
        dead = output.with_name(f"{output.stem}.dead.jsonl")
        return lines_of(output), {line["image_id"]: line["reason"] for line in lines_of(dead)}

    return run


def lines_of(path: Path) -> Lines:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def told(verdicts: Lines) -> dict[str, str | None]:
    return {line["image_id"]: line["duplicate_of"] for line in verdicts}


def test_verdicts_and_dead_letters_have_a_file_each_and_other_topics_have_none(tmp_path: Path) -> None:
    headers = (("image_id", b"a.jpg"), ("error.reason", b"empty"), ("error.detail", b"no bytes"))
    places = Places.beside(tmp_path / "told.jsonl")
    with Output(places, Journal(places.journal, {}), FILE_HEADER) as lines:
        for topic, value in {
            TOPICS.verdicts: b'{"verdict":"unique"}',
            "uniques": b"{}",
            TOPICS.dead_letters: b"",
        }.items():
            lines.write(OutgoingMessage(topic, None, value, headers))
    assert (tmp_path / "told.jsonl").read_text("utf-8") == '{"verdict":"unique"}\n'
    dead = '{"image_id": "a.jpg", "reason": "empty", "detail": "no bytes"}\n'
    assert (tmp_path / "told.dead.jsonl").read_text("utf-8") == dead


def test_what_cannot_be_read_is_a_dead_letter_and_the_rest_is_judged(
    images: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "circle.jpg").symlink_to("circle.jpg")
    (images / "empty.jpg").touch()
    (images / "closed").mkdir()
    os.mkfifo(images / "pipe")
    scan = os.scandir

    def closed(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)
    verdicts, dead = judge()
    assert told(verdicts) == {"a.jpg": None, "z.jpg": "a.jpg"}
    assert dead == {"circle.jpg": "unreadable-file", "closed": "unreadable-file", "empty.jpg": "empty"}
    assert set(dead.values()) <= set(errors.reasons())
    assert "2 images: 1 unique, 1 duplicate; 3 dead letters" in capsys.readouterr().out


def test_a_clip_that_is_none_is_one_dead_letter(images: Path, judge: Judge) -> None:
    pytest.importorskip("av", reason="extra video is not installed")
    (images / "memo.3gp").write_bytes(b"a voice, and no picture")
    verdicts, dead = judge()
    assert told(verdicts) == {"a.jpg": None, "z.jpg": "a.jpg"}
    assert dead == {"memo.3gp": "undecodable"}


def test_a_damaged_clip_is_one_dead_letter_beside_its_frames(
    images: Path, judge: Judge, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("av", reason="extra video is not installed")
    from tests.support.films import film, numbered  # noqa: PLC0415 - it needs PyAV

    whole = film(images / "whole.mkv", [numbered(number) for number in range(30)])
    (images / "halved.mkv").write_bytes(whole[: len(whole) // 2])
    verdicts, dead = judge()
    assert [name for name in told(verdicts) if "whole" in name] == [f"whole.mkv#t={second}.000" for second in range(3)]
    assert dead == {"halved.mkv": "undecodable"}
    [letter] = lines_of(images.parent / "told.dead.jsonl")
    assert "of about 30 frames" in letter["detail"]
    assert "; 1 dead letter; 2 clips, 1 not whole, with " in capsys.readouterr().out


def test_a_name_that_is_not_utf8_is_written_without_loss(images: Path, judge: Judge) -> None:
    name = os.fsencode(images) + b"/caf\xe9"
    Path(os.fsdecode(name + b".jpg")).write_bytes(photo(2))
    Path(os.fsdecode(name + b".txt")).write_bytes(b"no picture")
    (images / "caf\u00e9.jpg").write_bytes(photo(2))
    verdicts, dead = judge()
    assert told(verdicts) == {"a.jpg": None, "caf\u00e9.jpg": None, r"caf\xe9.jpg": "caf\u00e9.jpg", "z.jpg": "a.jpg"}
    assert dead == {r"caf\xe9.txt": "undecodable"}
    assert [line["uri"].rpartition("/")[2] for line in verdicts] == ["a.jpg", "caf%C3%A9.jpg", "caf%E9.jpg", "z.jpg"]


def test_a_file_that_goes_away_meanwhile_is_a_dead_letter(
    images: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found_and_gone(*arguments: Any, **options: Any) -> object:  # noqa: ANN401 - of whatever it takes
        there = find_images(*arguments, **options)
        (images / "z.jpg").unlink()
        return there

    monkeypatch.setattr("neardup.cli.images.find_images", found_and_gone)
    verdicts, dead = judge()
    assert told(verdicts) == {"a.jpg": None}
    assert dead == {"z.jpg": "unreadable-file"}


def test_a_folder_that_is_closed_itself_is_one_dead_letter(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: str) -> object:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", closed)
    assert judge() == ([], {"images": "unreadable-file"})


def test_its_own_output_within_the_folder_is_passed_over(
    images: Path, judge: Judge, caplog: pytest.LogCaptureFixture
) -> None:
    (images / "notes.txt").write_text("no picture")
    caplog.set_level(logging.INFO, "consumer.folder")
    for _ in range(2):
        verdicts, dead = judge(output=images / "told.jsonl")
        assert told(verdicts) == {"a.jpg": None, "z.jpg": "a.jpg"}
        assert dead == {"notes.txt": "undecodable"}
    assert [record.getMessage() for record in caplog.records] == ["passed over: own output (4)"]
