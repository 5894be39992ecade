"""What the feed says of what it cannot publish; its messages go to memory."""

from pathlib import Path

import pytest

import consumer.transport.kafka
from consumer.feed import EXIT_LEFT_OUT, main
from consumer.messages import OutgoingMessage
from consumer.transport.memory import MemorySink
from tests.support.processes import photo


class LimitedSink(MemorySink):
    """Takes messages of up to a million bytes."""

    def largest_bytes(self, _topic: str) -> int:
        return 1_000_000

    def bytes_of(self, message: OutgoingMessage) -> int:
        return len(message.value or b"")


def test_a_damaged_clip_is_told_once_and_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("av", reason="extra video is not installed")
    from tests.support.films import film, numbered  # noqa: PLC0415 - it needs PyAV

    images = tmp_path / "images"
    images.mkdir()
    whole = film(images / "whole.mkv", [numbered(number) for number in range(30)])
    (images / "halved.mkv").write_bytes(whole[: len(whole) // 2])
    (images / "large.jpg").write_bytes(photo(1) + bytes(2_000_000))
    (images / "photo.jpg").write_bytes(photo(1))
    sink = LimitedSink()
    monkeypatch.setattr(consumer.transport.kafka, "KafkaSink", lambda *_: sink)
    assert main([str(images), "--topic", "images", "--max-message-bytes", "1000000"], {}) == EXIT_LEFT_OUT
    published = [dict(message.headers)["image_id"].decode() for message in sink.topics["images"]]  # type: ignore[union-attr]
    assert "photo.jpg" in published
    assert sum(image_id.startswith("whole.mkv") for image_id in published) == 3
    halved, large, told = capsys.readouterr().err.splitlines()
    assert halved.startswith("feed: halved.mkv: ")
    assert "of about 30 frames" in halved
    assert large.startswith("feed: left out large.jpg: ")
    summary = f"feed: {len(published)} images published to images, 2 left out: see above; 2 clips, 1 not whole, with "
    assert told.startswith(summary)
