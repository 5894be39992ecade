import io
import logging

import pytest

from neardup.cli.progress import shown_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def screen(written: str) -> str:
    """Return what a terminal shows in its last line."""
    shown = ""
    for part in written.rpartition("\n")[2].split("\r"):
        shown = part + shown[len(part) :]
    return shown.rstrip()


def test_a_log_gets_a_line_every_ten_seconds_and_no_more() -> None:
    clock, stream = Clock(), io.StringIO()
    with shown_progress("describe", 1000, stream=stream, clock=clock) as advance:
        for _ in range(230):
            clock.now_s += 0.125
            advance(1)
    assert stream.getvalue().splitlines() == [
        "describe: 80 of 1000 images, 8.0 images/s, 115 s left",
        "describe: 160 of 1000 images, 8.0 images/s, 105 s left",
    ]


def test_a_quick_command_says_nothing() -> None:
    clock = Clock()
    for stream in (io.StringIO(), Terminal()):
        with shown_progress("describe", 10, stream=stream, clock=clock) as advance:
            clock.now_s += 0.9
            advance(10)
        assert not stream.getvalue()


def test_lines_may_go_to_a_log() -> None:
    clock, stream = Clock(), io.StringIO()
    lines: list[str] = []
    with shown_progress("read", unit="members", stream=stream, write=lines.append, clock=clock) as advance:
        clock.now_s += 20
        advance(5)
    assert lines == ["read: 5 members, 0.2 members/s"]
    assert not stream.getvalue()


@pytest.mark.parametrize(
    ("total", "left"),
    [
        (None, ""),
        (100, ""),
        (101, ", 0 s left"),
        (600, ", 50 s left"),
        (6100, ", 10 min left"),
        (90_100, ", 2.5 h left"),
    ],
)
def test_it_says_how_long_it_will_take(total: int | None, left: str) -> None:
    clock, stream = Clock(), io.StringIO()
    with shown_progress("feed", total, stream=stream, clock=clock) as advance:
        clock.now_s += 10
        advance(100)
    assert stream.getvalue().endswith(f" images, 10 images/s{left}\n")


def test_a_terminal_gets_one_line_that_is_renewed_and_cleared() -> None:
    clock, stream = Clock(), Terminal()
    with shown_progress("describe", 100, stream=stream, clock=clock) as advance:
        clock.now_s += 1
        advance(50)
        assert screen(stream.getvalue()) == "describe: 50 of 100 images, 50 images/s, 1 s left"
        written = stream.getvalue()
        clock.now_s += 0.1
        advance(1)
        assert stream.getvalue() == written, "it is renewed a few times a second"
        clock.now_s += 0.9
        advance(49)
        assert screen(stream.getvalue()) == "describe: 100 of 100 images, 50 images/s"
    assert "\n" not in stream.getvalue()
    assert not screen(stream.getvalue())


def test_a_terminal_gets_no_more_than_fits_into_its_line() -> None:
    clock, stream = Clock(), Terminal()
    with shown_progress("a" * 100, stream=stream, clock=clock) as advance:
        clock.now_s += 1
        advance(1)
        assert screen(stream.getvalue()) == "a" * 79


def test_the_log_is_written_where_the_line_was() -> None:
    clock, stream = Clock(), Terminal()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        with shown_progress("describe", 100, stream=stream, clock=clock) as advance:
            clock.now_s += 1
            advance(50)
            logging.getLogger(__name__).warning("odd")
        assert stream.getvalue().endswith("\rodd\n")
        assert screen(stream.getvalue().removesuffix("\n")) == "odd"
        assert not handler.filters
    finally:
        logging.getLogger().removeHandler(handler)


def test_the_line_is_cleared_when_the_command_fails() -> None:
    clock, stream = Clock(), Terminal()

    def interrupted() -> None:
        with shown_progress("describe", stream=stream, clock=clock) as advance:
            clock.now_s += 1
            advance(50)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "describe" in stream.getvalue()
    assert not screen(stream.getvalue())
