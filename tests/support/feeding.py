"""Feeding into memory, and archives to feed."""

import io
import os
import signal
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pytest

import consumer.feed
from consumer.messages import OutgoingMessage
from consumer.transport.memory import MemorySink


class UnlimitedSink(MemorySink):
    """Takes messages of any size."""

    limit_bytes = 1 << 30
    stop_after: int | None = None
    """Ends a feed that has no end of its own, by a signal to this process, after so many messages."""

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        super().publish(messages)
        if self.stop_after is not None and len(self.topics["images"]) >= self.stop_after:
            self.stop_after = None
            os.kill(os.getpid(), signal.SIGTERM)

    def largest_bytes(self, _topic: str) -> int:
        return self.limit_bytes

    def bytes_of(self, message: OutgoingMessage) -> int:
        return len(message.value or b"")

    @property
    def ids(self) -> list[str]:
        """The image ids of what was published."""
        return [dict(message.headers)["image_id"].decode() for message in self.topics["images"]]  # type: ignore[union-attr]

    @property
    def values(self) -> list[bytes | None]:
        return [message.value for message in self.topics["images"]]


@dataclass(frozen=True)
class Fed:
    """What came of a feed."""

    code: int
    said: list[str]
    sink: UnlimitedSink

    @property
    def ids(self) -> list[str]:
        return self.sink.ids


class Feed:
    """Runs the feed's command line in this process; its messages go to memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(
        self,
        *arguments: object,
        standard_input: bytes = b"",
        limit_bytes: int = UnlimitedSink.limit_bytes,
        stop_after: int | None = None,
    ) -> Fed:
        sink = UnlimitedSink()
        sink.limit_bytes, sink.stop_after = limit_bytes, stop_after
        self._monkeypatch.setattr("consumer.transport.kafka.KafkaSink", lambda *_: sink)
        self._monkeypatch.setattr(consumer.feed, "_standard_input", lambda: io.BytesIO(standard_input))
        code = consumer.feed.main([*map(str, arguments)], {})
        return Fed(code, self._capsys.readouterr().err.splitlines(), sink)


def tar_of(
    members: Mapping[str, bytes], compression: str = "", more: Iterable[tarfile.TarInfo] = (), mtime: int = 0
) -> bytes:
    """Return a tar archive of files; `more` are members without content, which come last."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), mtime
            tar.addfile(info, io.BytesIO(content))
        for info in more:
            tar.addfile(info)
    return buffer.getvalue()
