"""The live view on a terminal, drawn on a console that records."""

import io
import re

import pytest

pytest.importorskip("rich")

from rich.console import Console

from consumer.watch.settings import WatchSettings
from consumer.watch.tally import Tally
from consumer.watch.terminal import Screen, Summary, draw
from consumer.watch.watcher import Watcher
from tests.support.outcomes import letter, told
from tests.unit.consumer.watch.test_watcher import Topics

HOSTILE = "a\x1b]0;owned\x07\x1b[2Jb.jpg"


def drawn(tally: Tally, width: int = 100, height: int = 24) -> str:
    console = Console(record=True, width=width, height=height, file=io.StringIO(), force_terminal=True)
    console.print(Screen(tally, "images → verdicts"), end="")
    return console.export_text()


def watched() -> Tally:
    tally = Tally(lambda: 0.0)
    tally.answered()
    tally.lags({0: 1200, 1: 34})
    return tally


def test_everything_is_drawn() -> None:
    tally = watched()
    for outcome in (told("a.jpg"), told("b.jpg", "a.jpg", 0.123, symmetry="mirror"), letter("c.jpg")):
        tally.came(outcome, earlier=False)
    text = drawn(tally)
    for expected in (
        "images → verdicts",
        "● watching",
        "lag 1,234",
        "1 unique (33 %)",
        "1 duplicate (33 %)",
        "1 dead letter (33 %)",
        "1 truncated",
        "c.jpg: truncated: it ends",
    ):
        assert expected in text
    assert re.search(r"b\.jpg\s+a\.jpg\s+0\.123\s+mirrored", text)


def test_an_outage_is_drawn_with_its_length() -> None:
    now_s = [0.0]
    tally = Tally(lambda: now_s[0])
    tally.answered()
    tally.unanswered("nobody there")
    now_s[0] = 7.4
    assert "● waiting: nobody there, for 7 s" in drawn(tally)


def test_names_cannot_act_on_the_terminal() -> None:
    tally = watched()
    for outcome in (told(HOSTILE, HOSTILE), letter(HOSTILE, HOSTILE, HOSTILE), told("[bold red]x[/]", "[link=x]y")):
        tally.came(outcome, earlier=False)
    stream = io.StringIO()
    Console(width=200, height=40, file=stream, force_terminal=True).print(Screen(tally, HOSTILE))
    written = stream.getvalue()
    assert "\x1b]0;" not in written
    assert "\x1b[2J" not in written
    assert "\x07" not in written
    assert "\\x1b]0;owned" in written
    assert "[bold red]x[/]" in written  # markup of rich is text, too


@pytest.mark.parametrize(("width", "height"), [(100, 24), (60, 15), (30, 8), (200, 60), (20, 3)])
def test_it_never_takes_more_than_the_terminal_has(width: int, height: int) -> None:
    tally = watched()
    for number in range(60):
        tally.came(told(f"{'long/' * 20}{number}.jpg", "日本" * 60), earlier=False)
        tally.came(letter("x", f"reason-{number % 9}", "y" * 300), earlier=False)
    lines = drawn(tally, width, height).rstrip("\n").splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_as_many_pairs_are_drawn_as_there_is_room_for() -> None:
    tally = watched()
    for number in range(24):
        tally.came(told(f"pair-{number:02}.jpg", "a.jpg"), earlier=False)
    few, many = (set(re.findall(r"pair-\d\d", drawn(tally, height=height))) for height in (16, 40))
    assert 3 <= len(few) < 24
    assert len(many) == 24
    assert "pair-23" in few  # the newest


def test_the_sum_stays_when_the_screen_is_gone() -> None:
    tally = watched()
    tally.came(told("a.jpg"), earlier=False)
    console = Console(record=True, width=80, height=24, file=io.StringIO(), force_terminal=True)
    watcher = Watcher(WatchSettings(), Topics(), tally)
    watcher.stop.set()
    draw(watcher, tally, console, "images")
    assert "1 unique (100 %)" in console.export_text().splitlines()[-1]
    assert Summary(tally.seen())
