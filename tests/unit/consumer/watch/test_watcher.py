"""The watcher waits out what may pass, ends by what cannot, and asks for the lag now and then."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from consumer.watch.outcomes import Outcome
from consumer.watch.settings import WatchSettings
from consumer.watch.tally import Tally
from consumer.watch.watcher import Watcher, watching
from neardup.errors import KafkaUnavailable, Misconfigured
from tests.support.outcomes import letter_record, verdict_record


class Topics:
    """A follower of lists; what is put into `errors` is raised by the next poll, first to last."""

    def __init__(self, *records: object) -> None:
        self.records: list[Any] = list(records)
        self.errors: list[Exception] = []
        self.lag_error: Exception | None = None
        self.calls: list[str] = []

    def connect(self) -> None:
        self.calls.append("connect")

    def poll(self, timeout_s: float) -> Iterator[tuple[Any, bool]]:
        assert timeout_s > 0
        self.calls.append("poll")
        if self.errors:
            raise self.errors.pop(0)
        while self.records:
            yield self.records.pop(0), False

    def lag(self, group: str, topic: str) -> dict[int, int] | None:
        self.calls.append(f"lag {group} {topic}")
        if self.lag_error:
            raise self.lag_error
        return {0: 3, 1: 4}

    def close(self) -> None:
        self.calls.append("close")


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def made(topics: Topics, clock: Clock | None = None, told: list[Outcome] | None = None) -> tuple[Watcher, Tally]:
    tally = Tally()
    note = (lambda _: None) if told is None else told.append
    watcher = Watcher(WatchSettings(), topics, tally, note, clock or Clock())
    # Nothing sleeps in a test: the waits of an outage are over at once.
    watcher.stop.wait = lambda timeout=None: bool(timeout is None) or watcher.stop.is_set()  # type: ignore[method-assign]
    return watcher, tally


def test_records_are_read_by_their_topic() -> None:
    told: list[Outcome] = []
    watcher, tally = made(Topics(verdict_record(), letter_record()), told=told)
    watcher.turn()
    seen = tally.seen()
    assert (seen.unique, seen.dead, seen.away) == (1, 1, "")
    assert len(told) == 2


def test_the_lag_is_asked_for_now_and_then() -> None:
    topics, clock = Topics(), Clock()
    watcher, tally = made(topics, clock)
    for _ in range(3):
        watcher.turn()
    assert topics.calls.count("lag neardup images") == 1
    clock.now_s += 2
    watcher.turn()
    assert topics.calls.count("lag neardup images") == 2
    assert topics.calls.count("connect") == 1
    assert tally.seen().lag == {0: 3, 1: 4}


def test_an_outage_is_waited_out_and_said() -> None:
    topics = Topics(verdict_record())
    topics.errors = [KafkaUnavailable("nobody there")] * 2
    watcher, tally = made(topics)
    watcher.turn()
    assert tally.seen().away == "nobody there"
    watcher.turn()
    watcher.turn()
    assert (tally.seen().away, tally.seen().unique) == ("", 1)
    assert topics.calls.count("connect") == 3  # partitions may be others now


def test_what_came_before_an_outage_is_not_counted_again() -> None:
    topics = Topics(verdict_record())
    topics.lag_error = KafkaUnavailable("gone while we asked")
    watcher, tally = made(topics)
    watcher.turn()
    assert (tally.seen().unique, bool(tally.seen().away)) == (1, True)
    topics.lag_error = None
    watcher.turn()
    assert (tally.seen().unique, bool(tally.seen().away)) == (1, False)


def test_a_lag_that_we_may_not_see_is_no_end() -> None:
    topics = Topics(verdict_record())
    topics.lag_error = Misconfigured("no right to the group")
    watcher, tally = made(topics)
    watcher.turn()
    seen = tally.seen()
    assert (seen.lag, seen.lag_text, seen.unique, seen.away) == (None, "no right to the group", 1, "")


def test_what_cannot_work_ends_it_and_is_raised() -> None:
    topics = Topics()
    topics.errors = [Misconfigured("wrong password")]
    watcher = Watcher(WatchSettings(), topics, Tally())
    with pytest.raises(Misconfigured, match="wrong password"), watching(watcher):
        assert watcher.stop.wait(30)
    assert topics.calls[-1] == "close"


def test_the_end_of_the_block_ends_the_thread() -> None:
    topics = Topics()
    watcher = Watcher(WatchSettings(), topics, Tally())
    with watching(watcher):
        assert "watch" in {thread.name for thread in threading.enumerate()}
    assert topics.calls[-1] == "close"
    assert "watch" not in {thread.name for thread in threading.enumerate()}
