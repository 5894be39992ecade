"""The live view as plain lines, where the output is no terminal: one for each outcome, and now and then the sum."""

import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import IO

from consumer.watch.outcomes import Outcome, line_of
from consumer.watch.settings import WatchSettings
from consumer.watch.shown import shown
from consumer.watch.tally import Seen, Tally
from consumer.watch.watcher import Watcher, watcher_of, watching
from neardup.wording import counted

SUM_EVERY_S = 10.0
TURN_S = 0.25


class Lines:
    """Writes a line for each outcome as it comes, each at once: whoever reads it may be a program.

    Parameters
    ----------
    stream
        Where to.
    now
        The time of day.
    """

    def __init__(self, stream: IO[str], now: Callable[[], datetime] = datetime.now) -> None:
        self._stream = stream
        self._now = now

    def outcome(self, outcome: Outcome) -> None:
        """Write an outcome, with the time of its record."""
        self._write(line_of(outcome))

    def say(self, text: str) -> None:
        """Write a line with the time of day."""
        self._write(f"{self._now():%H:%M:%S} {text}")

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


def show_lines(settings: WatchSettings) -> None:
    """Write what comes to standard output, until interrupted.

    Raises
    ------
    Misconfigured
        Kafka can never be read with these settings.
    BrokenPipeError
        Nobody reads the lines any more.
    """
    tally, lines = Tally(), Lines(sys.stdout)
    watcher = watcher_of(settings, tally, lines.outcome)
    with watching(watcher):
        write_sums(watcher, tally, lines)


def write_sums(watcher: Watcher, tally: Tally, lines: Lines, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Write sums, and when Kafka comes and goes, until the watcher stops."""
    told_away, told_outcomes = tally.seen().away, -1
    due_s = monotonic() + SUM_EVERY_S
    while not watcher.stop.wait(TURN_S):
        seen = tally.seen()
        if seen.away != told_away:
            lines.say(state_of(seen))
        told_away = seen.away
        if monotonic() >= due_s:
            due_s = monotonic() + SUM_EVERY_S
            if seen.outcomes != told_outcomes and not seen.away:
                told_outcomes = seen.outcomes
                lines.say(f"sum        {sum_of(seen)}")


def state_of(seen: Seen) -> str:
    """Return whether Kafka answers, in words."""
    if not seen.away:
        return "watching"
    return f"waiting: {shown(seen.away)}"


def sum_of(seen: Seen) -> str:
    """Return the sum in one line."""
    unreadable = f", {seen.unreadable} unreadable" if seen.unreadable else ""
    mix = f"{seen.unique} unique, {counted(seen.duplicate, 'duplicate')}, {counted(seen.dead, 'dead letter')}"
    return f"{seen.rate:.1f} a second; lag {lag_of(seen)}; {mix}{reasons_of(seen)}{unreadable}"


def reasons_of(seen: Seen) -> str:
    """Return the reasons of dead letters in brackets; empty without any."""
    listed = ", ".join(f"{shown(reason)} {count}" for reason, count in seen.reasons.items())
    return f" ({listed})" if listed else ""


def lag_of(seen: Seen) -> str:
    """Return the lag of the group in words."""
    if seen.lag is None:
        return f"unknown: {shown(seen.lag_text)}"
    return f"{sum(seen.lag.values()):,}"
