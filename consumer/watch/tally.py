"""What has been seen, counted: how many, how fast, the newest, and whether Kafka answers."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from consumer.verdicts.told import ToldLetter, ToldVerdict
from consumer.watch.outcomes import Outcome, Unreadable
from neardup.types import Verdict

RATE_S = 10
"""A rate is that of so many seconds: it follows what happens, and does not jump with every batch."""
HISTORY_S = 60
NEWEST = 24
_MOST_REASONS = 100
"""Reasons are a bounded set, but whoever writes to the topic need not be one of ours."""
OTHER_REASONS = "others"


@dataclass(frozen=True, slots=True)
class Numbered:
    """A pair with its number, which no other has."""

    number: int
    told: ToldVerdict


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is shown, as of one moment.

    Attributes
    ----------
    version
        Another number whenever something has changed.
    rate
        Outcomes a second, of the last `RATE_S` seconds.
    history
        Outcomes of each of the last `HISTORY_S` seconds, the oldest first.
    reasons
        Dead letters by reason, the most frequent first.
    lag
        Messages that the group has still to judge, by partition; None while it is not known.
    lag_text
        Why it is not known.
    pairs
        The newest duplicates, the newest first.
    letters
        The newest dead letters, the newest first.
    away
        Why Kafka does not answer; empty when it does.
    away_s
        For how long it has not.
    """

    version: int
    seconds: float
    rate: float
    history: tuple[int, ...]
    unique: int
    duplicate: int
    dead: int
    unreadable: int
    reasons: Mapping[str, int]
    lag: Mapping[int, int] | None
    lag_text: str
    pairs: tuple[Numbered, ...]
    letters: tuple[ToldLetter, ...]
    away: str
    away_s: float

    @property
    def outcomes(self) -> int:
        """Everything that has come since the watch began."""
        return self.unique + self.duplicate + self.dead


class Tally:
    """Counts what comes; may be told and asked by several threads.

    Parameters
    ----------
    clock
        Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._began_s = clock()
        self._version = 0
        self._verdicts: Counter[Verdict] = Counter()
        self._reasons: Counter[str] = Counter()
        self._unreadable = 0
        self._seconds: deque[tuple[int, int]] = deque(maxlen=HISTORY_S + 1)  # (second, outcomes), those with any
        self._pairs: deque[Numbered] = deque(maxlen=NEWEST)
        self._letters: deque[ToldLetter] = deque(maxlen=NEWEST)
        self._lag: Mapping[int, int] | None = None
        self._lag_text = "not asked yet"
        self._away = "connecting to Kafka"
        self._away_since_s = self._began_s
        self._paired = 0

    def came(self, outcome: Outcome, *, earlier: bool) -> None:
        """Note an outcome; one that was there before the watch began is shown, and not counted."""
        with self._lock:
            self._version += 1
            self._keep(outcome)
            if not earlier:
                self._count(outcome)

    def _keep(self, outcome: Outcome) -> None:
        if isinstance(outcome, ToldVerdict) and outcome.verdict is Verdict.DUPLICATE:
            self._paired += 1
            self._pairs.appendleft(Numbered(self._paired, outcome))
        elif isinstance(outcome, ToldLetter):
            self._letters.appendleft(outcome)

    def _count(self, outcome: Outcome) -> None:
        match outcome:
            case Unreadable():
                self._unreadable += 1
                return
            case ToldVerdict():
                self._verdicts[outcome.verdict] += 1
            case ToldLetter():
                full = len(self._reasons) >= _MOST_REASONS and outcome.reason not in self._reasons
                self._reasons[OTHER_REASONS if full else outcome.reason] += 1
        second = int(self._clock() - self._began_s)
        before = self._seconds.pop() if self._seconds and self._seconds[-1][0] == second else (second, 0)
        self._seconds.append((second, before[1] + 1))

    def lags(self, lag: Mapping[int, int] | None, text: str = "") -> None:
        """Note the lag of each partition; or, where it is not known, why."""
        with self._lock:
            if (lag, text) != (self._lag, self._lag_text):
                self._version += 1
                self._lag, self._lag_text = lag, text

    def answered(self) -> bool:
        """Note that Kafka answers; return whether that is news."""
        with self._lock:
            news, self._away = bool(self._away), ""
            self._version += news
            return news

    def unanswered(self, why: str) -> bool:
        """Note that Kafka does not answer; return whether that is news."""
        with self._lock:
            if news := not self._away:
                self._away_since_s = self._clock()
            self._version += why != self._away
            self._away = why
            return news

    def pair(self, number: int) -> ToldVerdict | None:
        """Return the pair of this number; None once it is no longer one of the newest."""
        with self._lock:
            return next((each.told for each in self._pairs if each.number == number), None)

    def seen(self) -> Seen:
        """Return everything, as of now."""
        with self._lock:
            now_s = self._clock()
            elapsed_s = now_s - self._began_s
            history = self._history(int(elapsed_s))
            # The present second has only begun; before ten have passed there are fewer to divide by.
            recent_s = min(RATE_S, int(elapsed_s))
            rate = sum(history[-1 - recent_s : -1]) / recent_s if recent_s else 0.0
            return Seen(
                version=self._version,
                seconds=elapsed_s,
                rate=rate,
                history=history,
                unique=self._verdicts[Verdict.UNIQUE],
                duplicate=self._verdicts[Verdict.DUPLICATE],
                dead=self._reasons.total(),
                unreadable=self._unreadable,
                reasons=dict(self._reasons.most_common()),
                lag=self._lag,
                lag_text=self._lag_text,
                pairs=tuple(self._pairs),
                letters=tuple(self._letters),
                away=self._away,
                away_s=now_s - self._away_since_s if self._away else 0.0,
            )

    def _history(self, second: int) -> tuple[int, ...]:
        counts = dict(self._seconds)
        return tuple(counts.get(each, 0) for each in range(second - HISTORY_S + 1, second + 1))
