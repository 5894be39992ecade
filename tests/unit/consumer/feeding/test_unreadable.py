"""What the feed makes of files that it cannot read; its messages go to memory."""

import os
from pathlib import Path

import pytest

from consumer.feed import EXIT_LEFT_OUT, main
from consumer.messages import OutgoingMessage
from consumer.transport.memory import MemorySink
from tests.support.processes import photo


class UnlimitedSink(MemorySink):
    """Takes messages of any size."""

    def largest_bytes(self, _topic: str) -> int:
        return 1 << 30

    def bytes_of(self, message: OutgoingMessage) -> int:
        return len(message.value or b"")


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> MemorySink:
    sink = UnlimitedSink()
    monkeypatch.setattr("consumer.transport.kafka.KafkaSink", lambda *_: sink)
    return sink


def test_what_cannot_be_read_gets_a_line_and_the_rest_is_published(
    tmp_path: Path, sink: MemorySink, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    (folder / "@eaDir").mkdir(parents=True)
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg")).write_bytes(photo(1))
    (folder / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    assert main([str(tmp_path / "pipe"), str(folder)], {}) == EXIT_LEFT_OUT
    assert [message.headers for message in sink.topics["images"]] == [(("image_id", rb"caf\xe9.jpg"),)]
    passed_over, pipe, gone, told = capsys.readouterr().err.splitlines()
    assert passed_over == "feed: passed over: @eaDir (1)"
    assert pipe.startswith("feed: pipe: ")
    assert "neither a file nor a folder" in pipe
    assert gone.startswith("feed: gone.jpg: ")
    assert told == "feed: 1 image published to images, 2 left out: see above"
