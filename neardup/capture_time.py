"""When an image was captured: which numbers are times, and which count as unknown.

Clocks are wrong, and numbers come in the wrong unit. With retention the newest image decides which members go, so one
photo of 2036 would take all others with it. Whatever reads a time, from a message, a file or the index, asks here.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

UNKNOWN_MS = 0
EARLIEST_MS = 100_000_000_000
"""In March 1973. Seconds in the place of milliseconds lie before it, up to the year 5138, as do 1970 and what is
negative."""
TOLERANCE_MS = 24 * 60 * 60 * 1000
"""How far a time may lie ahead of the clock: further than local time is ahead of UTC, if somebody mistakes the one for
the other."""
_NO_TIME_MS = {UNKNOWN_MS, -1}
_UNITS = {"seconds": (1000, 1), "microseconds": (1, 1000), "nanoseconds": (1, 1_000_000)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WrongTime(StrEnum):
    """Why a number counts as unknown."""

    MISSING = "missing"
    """0, or Kafka's -1: there is no time."""
    EARLY = "early"
    """Before `EARLIEST_MS`: seconds, or a clock that began at 1970."""
    FUTURE = "future"
    """Ahead of the clock by more than `TOLERANCE_MS`: microseconds, or a clock that is wrong."""


REMARKABLE = {WrongTime.EARLY, WrongTime.FUTURE}
"""What somebody should hear of: that there is no time may be meant so."""


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """When an image was captured, in milliseconds since the epoch: `UNKNOWN_MS` if something is `wrong`."""

    ms: int
    wrong: WrongTime | None = None


def now_ms() -> int:
    """Return the time of this machine's clock, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def wrong_time(captured_at_ms: int, clock_ms: int) -> WrongTime | None:
    """Return why a number is no time to go by, at a moment by some clock; None when it is one."""
    if captured_at_ms in _NO_TIME_MS:
        return WrongTime.MISSING
    if captured_at_ms < EARLIEST_MS:
        return WrongTime.EARLY
    return WrongTime.FUTURE if captured_at_ms > clock_ms + TOLERANCE_MS else None


def known_ms(captured_at_ms: int, clock_ms: int) -> int:
    """Return a time, or `UNKNOWN_MS` for what is none."""
    return UNKNOWN_MS if wrong_time(captured_at_ms, clock_ms) else captured_at_ms


def capture_time(captured_at_ms: int, sent_at_ms: int, clock_ms: int) -> CaptureTime:
    """Return when the image of a message was captured.

    The time when a message was sent bounds that of its image, whoever reads it and however often: a message that is
    delivered again, or replayed after years, means what it meant before. Only where that is no time itself does the
    reader's clock take its place.

    Parameters
    ----------
    captured_at_ms
        What the publisher says; Kafka's timestamp if it says nothing.
    sent_at_ms
        Kafka's timestamp, of the broker or of the producer.
    clock_ms
        The reader's clock.
    """
    latest_ms = clock_ms if wrong_time(sent_at_ms, clock_ms) else sent_at_ms
    wrong = wrong_time(captured_at_ms, latest_ms)
    return CaptureTime(UNKNOWN_MS, wrong) if wrong else CaptureTime(min(captured_at_ms, latest_ms))


def newest_ms(times_ms: Iterable[int], clock_ms: int) -> int:
    """Return the newest of some times, and no more than the clock's own; `UNKNOWN_MS` if none is a time.

    So what has expired by it has expired for every image to come, however short the retention.
    """
    return max((min(ms, clock_ms) for ms in times_ms if not wrong_time(ms, clock_ms)), default=UNKNOWN_MS)


def moment(captured_at_ms: int) -> str:
    """Return a number of milliseconds as ISO 8601, or as it is where that ends."""
    try:
        return (_EPOCH + timedelta(milliseconds=captured_at_ms)).isoformat(timespec="milliseconds")
    except OverflowError:
        return str(captured_at_ms)


def explained(captured_at_ms: int, clock_ms: int) -> str:
    """Return a number that is no time as text, with the unit in which it would be one."""
    for unit, (times, over) in _UNITS.items():
        if not wrong_time(captured_at_ms * times // over, clock_ms):
            return f"{captured_at_ms}, which would be a time in {unit}"
    return moment(captured_at_ms)
