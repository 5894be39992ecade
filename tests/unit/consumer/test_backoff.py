"""How long the loop waits for a server."""

import random

import pytest

from consumer.backoff import Backoff


def longest(_low: float, high: float) -> float:
    return high


def shortest(low: float, _high: float) -> float:
    return low


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(first_s=0.1, longest_s=1.0, uniform=longest)
    assert [backoff.next_wait_s() for _ in range(6)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_chance_takes_no_more_than_half_of_a_wait() -> None:
    backoff = Backoff(first_s=0.1, longest_s=1.0, uniform=shortest)
    assert [backoff.next_wait_s() for _ in range(6)] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.5, 0.5])


def test_reset_begins_again() -> None:
    backoff = Backoff(first_s=0.1, uniform=longest)
    backoff.next_wait_s()
    backoff.next_wait_s()
    backoff.reset()
    assert backoff.next_wait_s() == pytest.approx(0.1)


def test_the_first_wait_is_never_longer_than_the_longest() -> None:
    assert Backoff(first_s=3.0, longest_s=1.0, uniform=longest).next_wait_s() == pytest.approx(1.0)


def test_two_consumers_do_not_march_in_step() -> None:
    one, other = (Backoff(uniform=random.Random(seed).uniform) for seed in (1, 2))  # noqa: S311 - no secret
    assert [one.next_wait_s() for _ in range(3)] != [other.next_wait_s() for _ in range(3)]
