"""Which numbers are times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neardup.capture_time import (
    EARLIEST_MS,
    TOLERANCE_MS,
    UNKNOWN_MS,
    CaptureTime,
    WrongTime,
    capture_time,
    explained,
    known_ms,
    moment,
    newest_ms,
    wrong_time,
)

NOW_MS = 1_767_225_600_000
YEAR_MS = 365 * 24 * 60 * 60 * 1000
ANY_MS = st.integers(-(2**63), 2**63 - 1)
SENT_MS = st.integers(EARLIEST_MS, NOW_MS + TOLERANCE_MS)


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (0, WrongTime.MISSING),
        (-1, WrongTime.MISSING),
        (-2, WrongTime.EARLY),
        (-NOW_MS, WrongTime.EARLY),
        (1, WrongTime.EARLY),
        (NOW_MS // 1000, WrongTime.EARLY),
        (EARLIEST_MS - 1, WrongTime.EARLY),
        (EARLIEST_MS, None),
        (NOW_MS - 40 * YEAR_MS, None),
        (NOW_MS, None),
        (NOW_MS + TOLERANCE_MS, None),
        (NOW_MS + TOLERANCE_MS + 1, WrongTime.FUTURE),
        (NOW_MS + 10 * YEAR_MS, WrongTime.FUTURE),
        (NOW_MS * 1000, WrongTime.FUTURE),
        (NOW_MS * 1_000_000, WrongTime.FUTURE),
    ],
)
def test_numbers_that_are_no_times(number: int, wrong: WrongTime | None) -> None:
    assert wrong_time(number, NOW_MS) == wrong
    assert known_ms(number, NOW_MS) == (UNKNOWN_MS if wrong else number)


@given(st.integers(0, 99_999_999_999))
def test_no_number_of_seconds_is_taken_for_milliseconds(seconds: int) -> None:
    assert wrong_time(seconds, NOW_MS) in {WrongTime.EARLY, WrongTime.MISSING}


@pytest.mark.parametrize("sent_ms", [NOW_MS, NOW_MS - YEAR_MS, NOW_MS + TOLERANCE_MS])
def test_the_time_when_it_was_sent_bounds_that_of_the_image(sent_ms: int) -> None:
    assert capture_time(sent_ms - 5, sent_ms, NOW_MS) == CaptureTime(sent_ms - 5)
    assert capture_time(sent_ms, sent_ms, NOW_MS) == CaptureTime(sent_ms)
    # It cannot have been captured afterwards: a clock that is fast, or local time that was taken for UTC.
    assert capture_time(sent_ms + TOLERANCE_MS, sent_ms, NOW_MS) == CaptureTime(sent_ms)
    assert capture_time(sent_ms + TOLERANCE_MS + 1, sent_ms, NOW_MS) == CaptureTime(UNKNOWN_MS, WrongTime.FUTURE)


@pytest.mark.parametrize("sent_ms", [0, -1, NOW_MS // 1000, NOW_MS * 1000, NOW_MS + 10 * YEAR_MS])
def test_where_that_is_no_time_the_readers_clock_does(sent_ms: int) -> None:
    assert capture_time(NOW_MS - 5, sent_ms, NOW_MS) == CaptureTime(NOW_MS - 5)
    assert capture_time(NOW_MS + 10 * YEAR_MS, sent_ms, NOW_MS).wrong == WrongTime.FUTURE
    assert capture_time(sent_ms, sent_ms, NOW_MS).ms == UNKNOWN_MS


@given(ANY_MS, SENT_MS, st.integers(0, 100 * YEAR_MS))
def test_a_message_means_the_same_however_late_it_is_read(captured_at_ms: int, sent_ms: int, later_ms: int) -> None:
    assert capture_time(captured_at_ms, sent_ms, NOW_MS + later_ms) == capture_time(captured_at_ms, sent_ms, NOW_MS)


@given(ANY_MS, ANY_MS)
def test_no_image_is_later_than_the_clock_and_the_tolerance(captured_at_ms: int, sent_ms: int) -> None:
    found = capture_time(captured_at_ms, sent_ms, NOW_MS)
    assert found.ms == UNKNOWN_MS or EARLIEST_MS <= found.ms <= NOW_MS + TOLERANCE_MS
    assert (found.ms == UNKNOWN_MS) == (found.wrong is not None)


@given(st.permutations([NOW_MS - 7, NOW_MS * 1000, NOW_MS // 1000, -1, 0, -NOW_MS, NOW_MS + YEAR_MS, EARLIEST_MS]))
def test_the_newest_is_the_newest_of_the_times(numbers: list[int]) -> None:
    assert newest_ms(numbers, NOW_MS) == NOW_MS - 7
    assert newest_ms([*numbers, NOW_MS + TOLERANCE_MS], NOW_MS) == NOW_MS


def test_among_no_times_there_is_no_newest() -> None:
    assert newest_ms([], NOW_MS) == newest_ms([-1, 5, NOW_MS * 1000], NOW_MS) == UNKNOWN_MS


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (NOW_MS // 1000, "1767225600, which would be a time in seconds"),
        (NOW_MS * 1000, "1767225600000000, which would be a time in microseconds"),
        (NOW_MS * 1_000_000, "1767225600000000000, which would be a time in nanoseconds"),
        (NOW_MS + 10 * YEAR_MS, "2035-12-30T00:00:00.000+00:00"),
        (-NOW_MS, "1914-01-01T00:00:00.000+00:00"),
        (2**63 - 1, "9223372036854775807"),
    ],
)
def test_a_wrong_number_is_explained(number: int, text: str) -> None:
    assert explained(number, NOW_MS) == text


def test_a_moment_is_text() -> None:
    assert moment(NOW_MS + 1) == "2026-01-01T00:00:00.001+00:00"
    assert moment(-(2**63)) == "-9223372036854775808"
