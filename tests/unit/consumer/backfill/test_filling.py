"""Batches, their pace, and what is remembered of them, with a Kafka in memory that dies when it is told to."""

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from consumer.backfill import filling, sources
from consumer.backfill.command import backfill
from consumer.backfill.entries import Entry, Listing, Pause, Refused, Step
from consumer.backfill.filling import Filler
from consumer.backfill.lists import PipedList
from consumer.backfill.progress import MOST_LISTED, ProgressFile
from consumer.backfill.settings import BackfillSettings, suffixes
from consumer.feeding.outages import Stopped
from consumer.feeding.state import State
from consumer.messages import OutgoingMessage, captured_at_of
from neardup.errors import KafkaUnavailable, Misconfigured
from tests.support.piped import piped_list

LONG_AGO_MS = 1_700_000_000_000


class Died(BaseException):
    """As a process does."""


class Log:
    """A topic, and the numbers of the batches in it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.numbers: list[int] = []
        self.headers: list[dict[str, bytes | None]] = []
        self.trouble: Callable[[str], None] = lambda _: None

    def connect(self) -> None:
        pass

    def close(self) -> None:
        pass

    def largest_bytes(self, _topic: str) -> None:
        return None

    def bytes_of(self, message: OutgoingMessage) -> int:
        return len(message.value or b"")

    def latest(self) -> int | None:
        return self.numbers[-1] if self.numbers else None

    def publish(self, messages: Sequence[OutgoingMessage], number: int) -> None:
        self.trouble("before")
        self.batches.append([json.loads(message.value or b"")["uri"] for message in messages])
        self.headers += [dict(message.headers) for message in messages]
        self.numbers.append(number)
        self.trouble("after")

    @property
    def uris(self) -> list[str]:
        return [uri for batch in self.batches for uri in batch]


class Numbers:
    """A listing of so many lines, of which some are refused."""

    name = "numbers"

    def __init__(self, count: int, refused: Callable[[int], bool] = lambda _: False, apart_s: float = 0) -> None:
        self._steps: list[Step] = [
            Refused(at, f"line {at}", "no")
            if refused(at)
            else Entry(at, f"file:///{at}", None, LONG_AGO_MS + int(at * apart_s * 1000))
            for at in range(count)
        ]

    def fingerprint(self) -> str:
        return "numbers"

    def steps(self, after: int | None) -> Iterator[Step]:
        return iter(self._steps[0 if after is None else after + 1 :])


@pytest.fixture
def fill(tmp_path: Path) -> Callable[..., ProgressFile]:
    def run(log: Log, *listings: Listing, sleeps: list[float] | None = None, **settings: Any) -> ProgressFile:  # noqa: ANN401 - of any setting
        with closing(ProgressFile(tmp_path / "state", "numbers", "images")) as state:
            stop = _Stop([] if sleeps is None else sleeps)
            made = BackfillSettings(**settings)
            filler = Filler(made, listings, state, log, stop, tell=lambda _: None, refuse=lambda _: None)
            filler.run(lambda _: None)
        return ProgressFile(tmp_path / "state", "numbers", "images")

    return run


class _Stop(threading.Event):
    """Notes what is waited for, and waits for none of it."""

    def __init__(self, sleeps: list[float]) -> None:
        super().__init__()
        self._sleeps = sleeps

    def wait(self, timeout: float | None = None) -> bool:
        self._sleeps.append(timeout or 0)
        return True


@pytest.mark.parametrize(
    ("settings", "size"),
    [({}, 1000), ({"rate": 1e6}, 1000), ({"rate": 300.0}, 30), ({"rate": 0.5}, 1), ({"pace": 1.0}, 1)],
)
def test_lines_go_together_as_the_rate_allows(
    fill: Callable[..., ProgressFile], settings: dict[str, Any], size: int
) -> None:
    log = Log()
    fill(log, Numbers(2500 if size == 1000 else 60), **settings).close()
    assert max(map(len, log.batches)) == size
    assert len(log.uris) == (2500 if size == 1000 else 60)


def test_a_pace_goes_by_the_times_of_the_lines(fill: Callable[..., ProgressFile]) -> None:
    sleeps: list[float] = []
    fill(Log(), Numbers(3, apart_s=1000), sleeps=sleeps, pace=10.0).close()
    assert [round(seconds) for seconds in sleeps] == [100, 200]


@pytest.mark.parametrize("at", [LONG_AGO_MS, -460_000_000_000])
def test_a_time_is_one_that_consumers_know(fill: Callable[..., ProgressFile], at: int) -> None:
    log, numbers = Log(), Numbers(1)
    numbers._steps = [Entry(0, "file:///0", None, at)]
    fill(log, numbers).close()
    [headers] = log.headers
    assert captured_at_of((headers["captured_at"] or b"").decode()) == at


@pytest.mark.parametrize("where", ["before", "after"])
def test_whatever_dies_each_line_is_published_once(
    fill: Callable[..., ProgressFile], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "CHUNK_STEPS", 7)
    log = Log()
    lists = Numbers(50, lambda at: at % 5 == 0), Numbers(20)
    turns = itertools.count()

    def die(at: str) -> None:
        if at == where and next(turns) % 3 == 2:
            raise Died

    log.trouble = die
    deaths = 0
    while True:
        try:
            state = fill(log, *lists)
        except Died:
            deaths += 1
        else:
            break
    assert deaths >= 3
    assert log.uris == [*(f"file:///{at}" for at in range(50) if at % 5), *(f"file:///{at}" for at in range(20))]
    with closing(state):
        progress = state.progress()
        assert (progress.listing, progress.published, progress.refused) == (2, 60, 10)
        assert [place for place, _ in state.refusals()] == [f"line {at}" for at in range(0, 50, 5)]


def test_an_answer_that_was_lost_is_asked_for(
    fill: Callable[..., ProgressFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "CHUNK_STEPS", 10)
    monkeypatch.setattr(_Stop, "wait", lambda _self, _timeout=None: False)
    log = Log()
    turns = itertools.count()

    def lose(_: str) -> None:
        if next(turns) % 4 in {1, 2}:
            raise KafkaUnavailable("away")

    log.trouble = lose
    fill(log, Numbers(60)).close()
    assert log.uris == [f"file:///{at}" for at in range(60)]


def test_a_piped_list_that_is_done_has_to_be_the_same_while_another_listing_is_not(
    fill: Callable[..., ProgressFile], tmp_path: Path
) -> None:
    log = Log()

    def piped(text: bytes) -> AbstractContextManager[PipedList]:
        (tmp_path / "piped").write_bytes(text)
        return piped_list(tmp_path / "piped")

    def die(where: str) -> None:
        if where == "before" and len(log.batches) == 1:
            raise Died

    log.trouble = die
    with piped(b"/a.jpg\n/b.jpg\n") as one, pytest.raises(Died):
        fill(log, one, Numbers(3))
    log.trouble = lambda _: None
    for text in (b"/c.jpg\n/d.jpg\n", b"", b"/a.jpg\n/b.jpg\n/c.jpg\n"):
        with piped(text) as other, pytest.raises(Misconfigured, match="standard input is not what it was"):
            fill(log, other, Numbers(3))
    for _ in range(2):
        with piped(b"/a.jpg\n/b.jpg\n") as same:
            fill(log, same, Numbers(3)).close()
    assert log.uris == ["file:///a.jpg", "file:///b.jpg", "file:///0", "file:///1", "file:///2"]


class Slow:
    """A listing whose lines come in pieces."""

    name = "slow"

    def fingerprint(self) -> str:
        return ""

    def steps(self, _after: object) -> Iterator[Step]:
        yield Pause()
        for at in range(3):
            yield Entry(at, f"file:///{at}", None)
            if at:
                yield Pause()
                yield Pause()


def test_what_has_come_is_published_while_more_is_waited_for(fill: Callable[..., ProgressFile]) -> None:
    log = Log()
    fill(log, Slow()).close()
    assert log.batches == [["file:///0", "file:///1"], ["file:///2"]]


class Away:
    """A listing that is stopped while its store is waited for."""

    name = "away"

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def fingerprint(self) -> str:
        return ""

    def steps(self, _after: object) -> Iterator[Step]:
        yield Entry(1, "file:///1", None)
        self._stop.set()
        raise Stopped


def test_a_count_that_is_stopped_while_it_waits_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def listings(*_: object, stop: threading.Event, **_more: object) -> list[Away]:
        return [Away(stop), Away(stop)]

    monkeypatch.setattr(sources, "listings", listings)
    assert backfill(BackfillSettings(listings=("s3://bucket",), dry_run=True)) == 130


def test_refused_lines_alone_are_progress_and_so_many_are_remembered(fill: Callable[..., ProgressFile]) -> None:
    log = Log()
    with closing(fill(log, Numbers(MOST_LISTED + 1500, lambda _: True))) as state:
        assert log.batches == []
        assert state.progress().refused == MOST_LISTED + 1500
        assert len([*state.refusals()]) == MOST_LISTED
        state.restart()
        assert state.progress().refused == 0
        assert [*state.refusals()] == []


def test_states_of_others_are_refused(tmp_path: Path) -> None:
    ProgressFile(tmp_path / "state", "numbers", "images").close()
    State(tmp_path / "feed", "/data", "images").close()
    for name, listings, topic, told in (
        ("state", "letters", "images", "remembers listings 'numbers', and this is 'letters'"),
        ("state", "numbers", "others", "remembers topic 'images', and this is 'others'"),
        ("feed", "numbers", "images", "is no state of neardup backfill"),
    ):
        with pytest.raises(Misconfigured, match=told):
            ProgressFile(tmp_path / name, listings, topic)
    with pytest.raises(Misconfigured, match="is no state of neardup feed --follow"):
        State(tmp_path / "state", "/data", "images")


def test_suffixes() -> None:
    assert suffixes("jpg, .PNG") == (".jpg", ".png")
    assert suffixes("any") == ()
    for text in ("", "a.b", "*.jpg", "jpg,,png"):
        with pytest.raises(ValueError, match="such as jpg,png, or any"):
            suffixes(text)
