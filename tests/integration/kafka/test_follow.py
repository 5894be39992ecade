"""A followed folder on a real Kafka: the command line, killed whenever it may be, publishes each file once."""

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumer.feeding.settings import FeedSettings
from consumer.transport.numbered import NumberedBatches
from neardup.errors import KafkaUnavailable
from tests.support.processes import Program, TopicReader, eventually, photo, read_topic, running
from tests.support.transports import KafkaRig, outgoing

pytestmark = pytest.mark.kafka

_KILLED_AT = """
import os, signal, sys
from consumer.feed import main
from consumer.feeding.state import State
from consumer.transport.numbered import NumberedBatches

place, cls = {"noted": ("begin", State), "half sent": ("_commit", NumberedBatches), "sent": ("end", State)}[sys.argv[1]]
work = getattr(cls, place)

def killed(self, *arguments, **words):
    if place == "begin":
        work(self, *arguments, **words)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(cls, place, killed)
sys.exit(main(sys.argv[2:], {}))
"""


class Folder:
    """A folder that pictures come into, and the feeds that follow it."""

    def __init__(self, kafka: KafkaRig, tmp_path: Path) -> None:
        self.kafka = kafka
        self.path = tmp_path / "in"
        self.path.mkdir()
        self.written: list[str] = []
        self._settings = [
            "--follow",
            "--settle-s",
            "0.05",
            "--look-every-s",
            "0.2",
            "--state",
            str(tmp_path / "state.db"),
        ]
        self._settings += ["--bootstrap-servers", kafka.address, "--topic", kafka.output]

    def write(self, count: int) -> None:
        """Let pictures come: written under another name, and renamed into place."""
        for _ in range(count):
            name = f"{len(self.written):04d}.jpg"
            (self.path / f".{name}").write_bytes(photo(len(self.written), size=(32, 24)))
            (self.path / f".{name}").rename(self.path / name)
            self.written.append(name)

    @contextmanager
    def followed(self, *more: str) -> Iterator[Program]:
        with running(["-m", "consumer.feed", str(self.path), *self._settings, *more]) as feed:
            yield feed

    def killed(self, place: str, *more: str) -> None:
        """Follow until the process kills itself at some place."""
        with running(["-c", _KILLED_AT, place, str(self.path), *self._settings, *more]) as feed:
            assert feed.wait() == -signal.SIGKILL

    def published(self, *, committed: bool = True) -> Counter[str]:
        records = read_topic(self.kafka.address, self.kafka.output, committed=committed)
        return Counter(dict(record.headers)["image_id"].decode() for record in records)

    def all_published(self) -> bool:
        return self.published().keys() >= {*self.written}


@pytest.fixture
def folder(kafka: KafkaRig, tmp_path: Path) -> Folder:
    return Folder(kafka, tmp_path)


def test_what_is_there_and_what_comes_is_published_until_a_signal(folder: Folder) -> None:
    folder.write(3)
    with folder.followed() as feed:
        feed.await_line("0 files were published before")
        feed.await_line("3 images published")
        folder.write(2)
        eventually(folder.all_published, "what came")
        assert feed.stop(signal.SIGTERM) == 0
        assert feed.lines[-1] == f"feed: stopped: 5 images published to {folder.kafka.output}\n"
    with folder.followed() as feed:
        feed.await_line("5 files were published before")
        folder.write(1)
        eventually(folder.all_published, "what came after the restart")
        assert feed.stop(signal.SIGINT) == 0
    assert folder.published() == Counter(folder.written)


@pytest.mark.parametrize("place", ["noted", "half sent", "sent"])
def test_killed_anywhere_it_publishes_each_file_once(folder: Folder, place: str) -> None:
    folder.write(3)
    folder.killed(place)
    folder.write(2)
    with folder.followed() as feed:
        eventually(folder.all_published, "the rest")
        assert feed.stop() == 0
    assert folder.published() == Counter(folder.written)


def test_without_transactions_it_publishes_each_file_at_least_once_under_its_name(folder: Folder) -> None:
    folder.write(3)
    folder.killed("sent", "--delivery", "at-least-once")
    with folder.followed("--delivery", "at-least-once") as feed:
        feed.await_line("3 images published")
        assert feed.stop() == 0
    assert folder.published(committed=False) == Counter(folder.written * 2)


@pytest.mark.slow
def test_killed_over_and_over_while_pictures_come_it_publishes_each_once(folder: Folder) -> None:
    rng = random.Random(7)  # noqa: S311 - no secret
    for _ in range(int(os.environ.get("FEED_KILLS", "3"))):
        with folder.followed() as feed:
            feed.await_line("files were published before")
            folder.write(rng.randrange(1, 150))
            reader = TopicReader(folder.kafka.address, folder.kafka.output)
            wanted = rng.randrange(len(folder.written))
            eventually(lambda: len(reader.read_to_end()) >= wanted, "some of it")  # noqa: B023 - at once
            reader.close()
            feed.stop(signal.SIGKILL)
    with folder.followed() as feed:
        # The one before may have published all: then this one must have begun before it is stopped.
        feed.await_line("files were published before")
        eventually(folder.all_published, "the rest")
        assert feed.stop() == 0
    assert folder.published() == Counter(folder.written)


def test_kafka_says_which_batch_went_through_last(kafka: KafkaRig) -> None:
    settings = FeedSettings(bootstrap_servers=kafka.address, topic=kafka.output)
    first = NumberedBatches(settings, f"feed-{kafka.output}")
    first.connect()
    assert first.latest() is None
    first.publish([outgoing(kafka.output, b"1")], 1)
    first.publish([outgoing(kafka.output, b"2")], 5)
    second = NumberedBatches(settings, f"feed-{kafka.output}")
    assert second.latest() == 5
    # The first is another process that somebody took for dead: it can do no more.
    with pytest.raises(KafkaUnavailable, match="Fenced"):
        first.publish([outgoing(kafka.output, b"3")], 6)
    second.publish([outgoing(kafka.output, b"4")], 7)
    assert second.latest() == 7
    for each in (first, second):
        each.close()
    assert [message.value for message in kafka.written()] == [b"1", b"2", b"4"]
