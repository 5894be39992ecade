import json
import os
from pathlib import Path

import pytest

import consumer.logs
from consumer.__main__ import main
from consumer.folder import _TOPICS, _Lines
from consumer.messages import OutgoingMessage
from tests.support.processes import photo


def test_verdicts_and_dead_letters_have_a_file_each_and_other_topics_have_none(tmp_path: Path) -> None:
    headers = (("image_id", b"a.jpg"), ("error.reason", b"empty"), ("error.detail", b"no bytes"))
    with _Lines(tmp_path / "told.jsonl") as lines:
        for topic, value in {
            _TOPICS.verdicts: b'{"verdict":"unique"}',
            "uniques": b"{}",
            _TOPICS.dead_letters: b"",
        }.items():
            lines.write(OutgoingMessage(topic, None, value, headers))
    assert (tmp_path / "told.jsonl").read_text("utf-8") == '{"verdict":"unique"}\n'
    dead = '{"image_id": "a.jpg", "reason": "empty", "detail": "no bytes"}\n'
    assert (tmp_path / "told.dead.jsonl").read_text("utf-8") == dead


def test_what_cannot_be_read_is_a_dead_letter_and_all_else_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("av", reason="extra video is not installed")
    from tests.support.films import film, numbered  # noqa: PLC0415 - it needs PyAV

    images, output = tmp_path / "images", tmp_path / "told.jsonl"
    (images / "closed").mkdir(parents=True)
    (images / "z.jpg").write_bytes(photo(1))
    whole = film(images / "whole.mkv", [numbered(number) for number in range(30)])
    (images / "halved.mkv").write_bytes(whole[: len(whole) // 2])
    scan = os.scandir

    def closed(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)
    monkeypatch.setattr(consumer.logs, "configure_logging", lambda _level: None)
    settings = ["--output", str(output), "--index", "memory", "--decode-timeout", "off"]
    assert main(["--input", str(images), *settings], {}) == 0
    dead = [json.loads(line) for line in (tmp_path / "told.dead.jsonl").read_text("utf-8").splitlines()]
    assert [(letter["image_id"], letter["reason"]) for letter in dead] == [
        ("closed", "uri-unreadable"),
        ("halved.mkv", "undecodable"),
    ]
    assert dead[0]["detail"] == "Permission denied"
    assert "of about 30 frames" in dead[1]["detail"]
    judged = [json.loads(line)["image_id"] for line in output.read_text("utf-8").splitlines()]
    assert [name for name in judged if "halved" not in name] == [*(f"whole.mkv#t={t}.000" for t in range(3)), "z.jpg"]
    assert "; 2 dead letters; 2 clips, 1 not whole, with " in capsys.readouterr().out
