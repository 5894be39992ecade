"""The live view as plain lines."""

import io
import sys
from datetime import datetime

import pytest

from consumer.watch import running
from consumer.watch.lines import Lines, sum_of, write_sums
from consumer.watch.settings import WatchSettings
from consumer.watch.tally import Tally
from consumer.watch.watcher import Watcher
from tests.support.outcomes import letter, told
from tests.unit.consumer.watch.test_watcher import Topics


def test_a_sum_is_one_line() -> None:
    tally = Tally(lambda: 0.0)
    for outcome in (told("a"), told("b", "a"), letter(), letter("x", "odd\x1breason")):
        tally.came(outcome, earlier=False)
    assert sum_of(tally.seen()) == (
        "0.0 a second; lag unknown: not asked yet; 1 unique, 1 duplicate, 2 dead letters "
        "(truncated 1, odd\\x1breason 1)"
    )
    tally.lags({0: 1000, 1: 34})
    assert "; lag 1,034; " in sum_of(tally.seen())


class Turns:
    """Stands for the watcher's event: at each turn something happens, and after the last it is set."""

    def __init__(self, *happens: object) -> None:
        self._happens = list(happens)

    def wait(self, _timeout_s: float) -> bool:
        if not self._happens:
            return True
        happens = self._happens.pop(0)
        assert callable(happens)
        happens()
        return False


def test_lines_say_when_kafka_comes_and_goes_and_the_sum_when_it_is_another() -> None:
    now_s = [0.0]
    tally = Tally(lambda: now_s[0])
    stream = io.StringIO()
    lines = Lines(stream, lambda: datetime(2026, 1, 1, 12, 0, 0))  # noqa: DTZ001 - local time, as on the wall
    watcher = Watcher(WatchSettings(), Topics(), tally, lines.outcome)

    def later() -> None:
        now_s[0] += 11

    def more() -> None:
        later()
        tally.came(told("a"), earlier=False)
        lines.outcome(told("a"))

    turns = Turns(tally.answered, more, later, later, lambda: tally.unanswered("nobody"), later, tally.answered, more)
    watcher.stop = turns  # type: ignore[assignment]
    write_sums(watcher, tally, lines, lambda: now_s[0])
    # The sum is told once for what it is, and not while Kafka is away.
    kinds = [line.split()[1].rstrip(":") for line in stream.getvalue().splitlines()]
    assert kinds == ["watching", "unique", "sum", "waiting", "watching", "unique", "sum"]


def test_a_name_that_the_output_has_no_letters_for_is_spelt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr(running, "_shown", lambda _: Lines(sys.stdout).outcome(told("日本.jpg")))
    assert running.watch(WatchSettings()) == 0
    assert rb"unique     \u65e5\u672c.jpg" in written.getvalue()
