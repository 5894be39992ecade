"""How many images go in any second, by a clock that only waiting and what is waited for move."""

import itertools
from collections.abc import Iterable

import pytest

from consumer.backfill.settings import BackfillSettings
from consumer.feeding.pace import Pace


class Clock:
    """Seconds, and the moments when something was due."""

    def __init__(self, rate: float) -> None:
        self.now_s = 1000.0
        self.passed_s: list[float] = []
        self._pace = Pace(BackfillSettings(rate=rate), lambda: self.now_s, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def publish(self, batches: Iterable[int], sending_s: float = 0.0) -> None:
        for count in batches:
            self._pace.wait_for(count, "image", lambda: 0)
            self.passed_s += [self.now_s - 1000.0] * count
            self.now_s += sending_s

    def most_in_a_second(self) -> int:
        ends = range(len(self.passed_s))
        first, most = 0, 0
        for end in ends:
            while self.passed_s[first] <= self.passed_s[end] - 1:
                first += 1
            most = max(most, end - first + 1)
        return most


def test_a_steady_stream_has_exactly_its_rate() -> None:
    clock = Clock(rate=100)
    clock.publish(itertools.repeat(10, 36_000), sending_s=0.05)
    assert clock.passed_s[-1] == pytest.approx(3599.9, abs=1e-6)
    assert clock.passed_s[::10] == pytest.approx([number / 10 for number in range(36_000)], abs=1e-6)


@pytest.mark.parametrize("pause_s", [3, 3600, 1e7])
@pytest.mark.parametrize("size", [1, 10])
def test_after_an_outage_not_all_that_it_held_up_goes_at_once(pause_s: float, size: int) -> None:
    clock = Clock(rate=100)
    clock.publish(itertools.repeat(size, 500))
    assert clock.most_in_a_second() <= 110
    clock.now_s += pause_s
    again_s, before = clock.now_s - 1000, len(clock.passed_s)
    clock.publish(itertools.repeat(size, 500))
    burst = [moment_s for moment_s in clock.passed_s[before:] if moment_s == again_s]
    assert len(burst) <= 50 + size
    assert clock.most_in_a_second() <= 150 + size
    # And from then on as many as before.
    assert clock.passed_s[-1] - again_s == pytest.approx((500 - 1) * size / 100 - 0.5, abs=0.1)


def test_many_pauses_are_not_saved_up() -> None:
    clock = Clock(rate=100)
    for _ in range(50):
        clock.publish([10] * 30)
        clock.now_s += 5
    assert clock.most_in_a_second() <= 160


def test_a_send_that_is_slow_now_and_then_is_made_up_for() -> None:
    clock = Clock(rate=100)
    for _ in range(100):
        clock.publish([10] * 9)
        clock.publish([10], sending_s=0.45)
    assert clock.passed_s[-1] == pytest.approx(99.9, abs=1e-6)


def test_a_rate_of_less_than_one_a_second_stays_one() -> None:
    clock = Clock(rate=0.01)
    clock.publish([1] * 3, sending_s=10)
    clock.now_s += 1000
    clock.publish([1] * 3)
    assert [round(moment_s) for moment_s in clock.passed_s] == [0, 100, 200, 1210, 1310, 1410]
