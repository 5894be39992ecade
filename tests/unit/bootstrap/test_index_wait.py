"""Waiting for an index: what is waited for, what is told, and when it ends."""

import pytest

from bootstrap.index_wait import PAUSE_S, awaited
from neardup.cli.commands import command
from neardup.cli.running import settings_of
from neardup.errors import CorruptIndex, IndexMissing, Misconfigured, RedisUnavailable, Unavailable
from neardup.index.base import IndexMeta

META = IndexMeta("cams", 3, "dct", "fingerprint", 128, 0.31)
NONE_YET = IndexMissing("there is no index")
AWAY = RedisUnavailable("Redis does not answer")


class Time:
    """A clock that only pauses move."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds


def waited(found: list[IndexMeta | Exception], timeout_s: float | None = None) -> tuple[IndexMeta, Time]:
    """Wait where each look finds the next of these; return what was found, and the time that it took."""
    looks, time = iter(found), Time()

    def look() -> IndexMeta:
        each = next(looks)
        if isinstance(each, Exception):
            raise each
        return each

    return awaited(look, timeout_s, clock=time.clock, pause=time.pause), time


def test_an_index_that_is_there_is_not_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    meta, time = waited([META])
    assert (meta, time.pauses) == (META, [])
    assert capsys.readouterr().err == ""


def test_what_is_waited_for_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    meta, time = waited([AWAY, AWAY, NONE_YET, NONE_YET, NONE_YET, AWAY, META])
    assert (meta, time.pauses) == (META, [PAUSE_S] * 6)
    assert capsys.readouterr().err.splitlines() == [
        "waiting: Redis does not answer",
        "waiting: there is no index",
        "waiting: Redis does not answer",
    ]


@pytest.mark.parametrize("error", [Misconfigured("Redis rejected the client: no"), CorruptIndex("no metadata")])
def test_what_waiting_does_not_help_ends_it(error: Misconfigured, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(type(error), match=str(error)):
        waited([NONE_YET, error, META])
    assert capsys.readouterr().err == "waiting: there is no index\n"


@pytest.mark.parametrize(("timeout_s", "looks"), [(1, 2), (5, 2), (6, 3), (10, 3), (11, 4)])
def test_it_looks_once_more_when_the_time_is_over(timeout_s: int, looks: int) -> None:
    meta, time = waited([*[NONE_YET] * (looks - 1), META], timeout_s)
    assert meta == META
    assert sum(time.pauses) == timeout_s
    with pytest.raises(Unavailable, match=f"^waited for {timeout_s} s: there is no index$"):
        waited([NONE_YET] * looks, timeout_s)


def test_without_a_timeout_it_waits_as_long_as_it_takes() -> None:
    assert waited([*[NONE_YET] * 5000, META])[0] == META
    assert settings_of(command("index wait"), [], {}).timeout_s is None
    assert settings_of(command("index wait"), ["--timeout", "5m"], {}).timeout_s == 300
