"""Which images of a folder are published, through restarts, deaths and outages; the batches go to memory."""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import consumer.feed
from consumer.feeding import outages
from consumer.feeding.follow import Follower
from consumer.feeding.settings import FeedSettings
from consumer.feeding.state import State
from consumer.messages import OutgoingMessage
from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.kafka.errors import MessageTooLarge
from tests.support.processes import photo


class Died(BaseException):
    """The process is gone."""


class Batches:
    """What Kafka would hold, and how it comes to grief.

    Attributes
    ----------
    troubles
        What happens to the batches to come: "away" before it is written, "unheard" after, "dies" before or after.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.values: list[bytes | None] = []
        self.number: int | None = None
        self.troubles: list[str] = []
        self.limit_bytes: int | None = 1 << 30
        self.refused_above_bytes = 1 << 30

    def connect(self) -> None:
        """Do nothing."""

    def largest_bytes(self, _topic: str) -> int | None:
        return self.limit_bytes

    def bytes_of(self, message: OutgoingMessage) -> int:
        return len(message.value or b"")

    def latest(self) -> int | None:
        return self.number

    def publish(self, messages: Sequence[OutgoingMessage], number: int) -> None:
        trouble = self.troubles.pop(0) if self.troubles else ""
        if trouble == "away":
            raise KafkaUnavailable("Kafka is unavailable: gone")
        if trouble == "dies before":
            raise Died
        if any(len(message.value or b"") > self.refused_above_bytes for message in messages):
            raise MessageTooLarge("a message is larger than Kafka accepts")
        assert self.number is None or number > self.number
        self.ids += [dict(message.headers)["image_id"].decode() for message in messages]  # type: ignore[union-attr]
        self.values += [message.value for message in messages]
        self.number = number
        if trouble == "unheard":
            raise KafkaUnavailable("Kafka is unavailable: no answer")
        if trouble == "dies after":
            raise Died

    def close(self) -> None:
        """Do nothing."""


class Followed:
    """A folder that is followed, from one process to the next."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "in"
        self.folder.mkdir()
        self.batches = Batches()
        self.path = tmp_path / "state.db"
        self.settings = FeedSettings(paths=(str(self.folder),), follow=True, settle_s=0.0)

    def write(self, name: str, content: bytes) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)

    @contextmanager
    def process(self) -> Iterator[Follower]:
        """Run as one process would, until the block ends."""
        with closing(State(self.path, str(self.folder), "images")) as state:
            yield Follower(self.settings, str(self.folder), state, self.batches, threading.Event())

    def new(self) -> list[str]:
        """Return what another process publishes, in one round."""
        with self.process() as follower:
            return self.round(follower)

    def round(self, follower: Follower) -> list[str]:
        before = len(self.batches.ids)
        follower.watcher._look_at = float("-inf")
        if arrived := follower.watcher.arrived():
            follower._publish(arrived, lambda _: None)
        return self.batches.ids[before:]


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    return Followed(tmp_path)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(outages, "_LONGEST_WAIT_S", 0.001)


def test_each_file_is_published_once_whoever_starts_anew(followed: Followed) -> None:
    followed.write("b.jpg", photo(1))
    followed.write("a/c.jpg", photo(2))
    with followed.process() as follower:
        assert followed.round(follower) == ["a/c.jpg", "b.jpg"]
        assert followed.round(follower) == []
        followed.write("d.jpg", photo(3))
        assert followed.round(follower) == ["d.jpg"]
    assert followed.new() == []
    followed.write("e.jpg", photo(4))
    assert followed.new() == ["e.jpg"]
    assert followed.batches.values == [photo(2), photo(1), photo(3), photo(4)]


def test_a_file_that_was_moved_to_make_room_for_another_is_the_same(followed: Followed) -> None:
    followed.write("latest.jpg", photo(1))
    assert followed.new() == ["latest.jpg"]
    for number in (2, 3):
        (followed.folder / "latest.jpg").rename(followed.folder / f"old-{number}.jpg")
        followed.write("latest.jpg", photo(number))
        assert followed.new() == [f"latest.jpg~{number}"]
    os.link(followed.folder / "latest.jpg", followed.folder / "linked.jpg")
    assert followed.new() == ["linked.jpg"]
    assert followed.new() == []


def test_a_second_version_and_a_file_of_that_name_are_both_known(followed: Followed) -> None:
    followed.write("a.jpg", photo(1))
    assert followed.new() == ["a.jpg"]
    followed.write("a.jpg", photo(2))
    followed.write("a.jpg~2", photo(3))
    assert followed.new() == ["a.jpg~2", "a.jpg~2"]
    assert followed.new() == []


def test_a_file_that_was_renamed_or_touched_is_the_same(followed: Followed) -> None:
    followed.write("a.jpg", photo(1))
    followed.write("b.jpg", photo(2))
    assert followed.new() == ["a.jpg", "b.jpg"]
    (followed.folder / "sub").mkdir()
    (followed.folder / "a.jpg").rename(followed.folder / "sub/z.jpg")
    os.utime(followed.folder / "b.jpg", ns=(0, 0))
    assert followed.new() == []
    assert followed.new() == []
    followed.write("sub/z.jpg", photo(3))
    assert followed.new() == ["sub/z.jpg~2"]


def test_a_copy_is_another_file(followed: Followed) -> None:
    followed.write("a.jpg", photo(1))
    assert followed.new() == ["a.jpg"]
    followed.write("b.jpg", photo(1))
    assert followed.new() == ["b.jpg"]


def test_what_is_replaced_is_another_image_with_a_number(followed: Followed) -> None:
    for number, name in enumerate(["latest.jpg", "latest.jpg~2", "latest.jpg~3"]):
        followed.write("latest.jpg", photo(number))
        assert followed.new() == [name]


def test_what_is_deleted_and_comes_back_is_the_same(followed: Followed) -> None:
    followed.write("a.jpg", photo(1))
    assert followed.new() == ["a.jpg"]
    (followed.folder / "a.jpg").unlink()
    assert followed.new() == []
    followed.write("a.jpg", photo(1))
    assert followed.new() == []


def test_what_is_gone_for_a_week_is_forgotten_but_not_with_its_drive(followed: Followed) -> None:
    followed.write("a.jpg", photo(1))
    followed.write("sub/b.jpg", photo(2))
    assert len(followed.new()) == 2
    (followed.folder / "a.jpg").unlink()
    (followed.folder / "sub").rename(followed.folder.parent / "away")
    with closing(State(followed.path, str(followed.folder), "images", lambda: 4_000_000_000.0)) as state:
        assert state.forget_gone(str(followed.folder)) == 0  # nothing at all is there
        followed.write("c.jpg", photo(3))
        assert state.forget_gone(str(followed.folder)) == 1
        assert state.known("a.jpg") is None
        assert state.known("sub/b.jpg") is not None


@pytest.mark.parametrize("trouble", ["dies before", "dies after"])
def test_who_dies_with_a_batch_in_hand_publishes_it_once_in_all(followed: Followed, trouble: str) -> None:
    for number in range(3):
        followed.write(f"{number}.jpg", photo(number))
    assert followed.new() == ["0.jpg", "1.jpg", "2.jpg"]
    for number in range(3, 6):
        followed.write(f"{number}.jpg", photo(number))
    followed.batches.troubles = [trouble]
    with pytest.raises(Died), followed.process() as follower:
        followed.round(follower)
    followed.write("6.jpg", photo(6))
    followed.new()
    assert sorted(followed.batches.ids) == [f"{number}.jpg" for number in range(7)]
    assert followed.new() == []


def test_what_was_published_before_a_death_may_be_renamed(followed: Followed) -> None:
    followed.batches.limit_bytes = None  # then each goes by itself
    for number in range(4):
        followed.write(f"{number}.jpg", photo(number))
    followed.batches.troubles = ["", "dies before"]
    with pytest.raises(Died), followed.process() as follower:
        followed.round(follower)
    assert followed.batches.ids == ["0.jpg"]
    (followed.folder / "0.jpg").rename(followed.folder / "sorted.jpg")
    assert followed.new() == ["1.jpg", "2.jpg", "3.jpg"]


@pytest.mark.parametrize("troubles", [["away"], ["away", "away"], ["unheard"], ["unheard", "away"]])
def test_kafka_is_waited_for_and_nothing_comes_twice(
    followed: Followed, capsys: pytest.CaptureFixture[str], troubles: list[str]
) -> None:
    followed.batches.troubles = troubles
    followed.write("a.jpg", photo(1))
    with followed.process() as follower:
        assert followed.round(follower) == ["a.jpg"]
        followed.write("b.jpg", photo(2))
        assert followed.round(follower) == ["b.jpg"]
    assert "feed: Kafka is unavailable: " in capsys.readouterr().err


def test_a_clip_goes_on_where_it_was(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av", reason="extra video is not installed")
    from tests.support.films import film, numbered  # noqa: PLC0415 - it needs PyAV

    monkeypatch.setattr("consumer.feeding.feeder.CHUNK_MESSAGES", 2)
    film(followed.folder / "a.mkv", [numbered(number) for number in range(50)])
    expected = [f"a.mkv#t={second}.000" for second in range(5)]
    followed.batches.troubles = ["", "dies after"]
    with pytest.raises(Died), followed.process() as follower:
        followed.round(follower)
    assert followed.batches.ids == expected[:4]
    assert followed.new() == expected[4:]
    assert followed.new() == []


def test_what_is_left_out_is_named_once_and_tried_again_after_a_restart(
    followed: Followed, capsys: pytest.CaptureFixture[str]
) -> None:
    followed.batches.limit_bytes = 10_000
    followed.write("large.bmp", bytes(20_000))
    followed.write("small.jpg", photo(1))
    with followed.process() as follower:
        assert followed.round(follower) == ["small.jpg"]
        assert followed.round(follower) == []
        assert follower.feeder.left_out == 1
    assert capsys.readouterr().err.count("left out large.bmp: a message of 20,000 bytes") == 1
    followed.batches.limit_bytes = 30_000
    assert followed.new() == ["large.bmp"]


def test_where_brokers_keep_their_limit_what_they_refuse_is_left_out(
    followed: Followed, capsys: pytest.CaptureFixture[str]
) -> None:
    followed.batches.limit_bytes, followed.batches.refused_above_bytes = None, 10_000
    for name, content in {"1.jpg": photo(1), "2 large.bmp": bytes(20_000), "3.jpg": photo(3)}.items():
        followed.write(name, content)
    assert followed.new() == ["1.jpg", "3.jpg"]
    assert "left out 2 large.bmp: " in capsys.readouterr().err
    assert followed.new() == []
    followed.batches.refused_above_bytes = 30_000
    assert followed.new() == ["2 large.bmp"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(followed: Followed, capsys: pytest.CaptureFixture[str]) -> None:
    followed.write("a.jpg", photo(1))
    (followed.folder / "a.jpg").chmod(0)
    assert followed.new() == []
    assert "left out a.jpg: " in capsys.readouterr().err


def test_odd_names_are_kept_apart(followed: Followed) -> None:
    odd = os.fsdecode(b"caf\xe9.jpg")
    followed.write(odd, photo(1))
    followed.write("a\nb.jpg", photo(2))
    assert followed.new() == [r"a\x0ab.jpg", r"caf\xe9.jpg"]
    assert followed.new() == []


# States that are none.


def refused(path: Path, folder: str = "/one", topic: str = "images") -> str:
    with pytest.raises(Misconfigured) as raised:
        State(path, folder, topic)
    assert str(raised.value).startswith(f"--state: '{path}' ")
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


def test_a_file_that_is_no_state_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(photo(1))
    assert "is no state of neardup feed --follow" in refused(path)
    assert path.read_bytes() == photo(1)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as file:
        file.execute("CREATE TABLE mine (x)")
        file.commit()
    assert "is no state" in refused(other)
    assert "is no state" in refused(tmp_path)


def test_the_state_of_another_folder_or_topic_or_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    State(path, "/one", "images").close()
    assert "remembers folder '/one', and this is '/two'" in refused(path, "/two")
    assert "remembers topic 'images', and this is 'others'" in refused(path, topic="others")
    with closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE meta SET value = '9' WHERE name = 'version'")
        file.commit()
    assert "of another version" in refused(path)


def test_the_folder_may_have_any_name(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    for _ in range(2):
        State(tmp_path / "state.db", name, "images").close()


def test_two_feeds_cannot_share_a_state(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(State(path, "/one", "images")):
        assert "in use by another feed" in refused(path)
    State(path, "/one", "images").close()


@pytest.mark.parametrize("path", ["nowhere", "a.jpg"])
def test_what_is_no_folder_cannot_be_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(1))
    assert consumer.feed.main([str(tmp_path / path), "--follow"], {}) == 2
    assert capsys.readouterr().err == f"feed: --follow: '{tmp_path / path}' is no folder\n"
