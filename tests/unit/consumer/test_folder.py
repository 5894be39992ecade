from pathlib import Path

from consumer.folder import _TOPICS, _Lines
from consumer.messages import OutgoingMessage


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
