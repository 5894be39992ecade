"""What has come is counted, by a clock that is handed in."""

from typing import TYPE_CHECKING

from consumer.watch.outcomes import Outcome, Unreadable
from consumer.watch.tally import HISTORY_S, NEWEST, OTHER_REASONS, Tally
from tests.support.outcomes import letter, told

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def filled(tally: Tally, *outcomes: Outcome, earlier: bool = False) -> None:
    for outcome in outcomes:
        tally.came(outcome, earlier=earlier)


UNREADABLE = Unreadable(told().source, "no verdict")


def test_outcomes_are_counted_by_what_they_are() -> None:
    tally = Tally(Clock())
    filled(tally, told("a"), told("b", "a"), told("c", "a"), letter(), letter("d", "empty"), letter(), UNREADABLE)
    seen = tally.seen()
    assert (seen.unique, seen.duplicate, seen.dead, seen.unreadable, seen.outcomes) == (1, 2, 3, 1, 6)
    assert list(seen.reasons.items()) == [("truncated", 2), ("empty", 1)]
    assert [each.told.image_id for each in seen.pairs] == ["c", "b"]
    assert [each.image_id for each in seen.letters] == ["b.jpg", "d", "b.jpg"]


def test_what_was_there_before_is_shown_and_not_counted() -> None:
    tally = Tally(Clock())
    filled(tally, told("b", "a"), letter(), UNREADABLE, earlier=True)
    seen = tally.seen()
    assert (seen.outcomes, seen.unreadable, sum(seen.history)) == (0, 0, 0)
    assert (len(seen.pairs), len(seen.letters)) == (1, 1)


def test_the_rate_is_that_of_the_last_whole_seconds() -> None:
    clock = Clock()
    tally = Tally(clock)
    filled(tally, *[told()] * 3)
    assert tally.seen().rate == 0.0  # not even one second is over
    clock.now_s += 1.5
    filled(tally, *[told()] * 100)  # of a second that has only begun
    assert tally.seen().rate == 3.0
    clock.now_s += 0.6
    assert tally.seen().rate == 51.5
    clock.now_s += 9
    assert tally.seen().rate == 10.0  # the first three are longer ago than ten seconds
    clock.now_s += 60
    assert tally.seen().rate == 0.0
    assert sum(tally.seen().history) == 0


def test_the_history_has_a_place_for_each_second() -> None:
    clock = Clock()
    tally = Tally(clock)
    for count in (1, 0, 2):
        filled(tally, *[told()] * count)
        clock.now_s += 1
    history = tally.seen().history
    assert len(history) == HISTORY_S
    assert history[-4:] == (1, 0, 2, 0)


def test_only_the_newest_are_kept_and_each_pair_has_a_number_of_its_own() -> None:
    tally = Tally(Clock())
    filled(tally, *(told(str(number), "a") for number in range(NEWEST + 5)))
    pairs = tally.seen().pairs
    assert len(pairs) == NEWEST
    assert [each.number for each in pairs] == list(range(NEWEST + 5, 5, -1))
    newest = tally.pair(NEWEST + 5)
    assert newest is not None
    assert newest.image_id == str(NEWEST + 4)
    assert tally.pair(5) is None


def test_reasons_are_bounded_whoever_invents_them() -> None:
    tally = Tally(Clock())
    filled(tally, *(letter("x", f"reason-{number}") for number in range(300)))
    seen = tally.seen()
    assert len(seen.reasons) == 101
    assert (seen.reasons[OTHER_REASONS], seen.dead) == (200, 300)


def test_every_change_is_another_version() -> None:
    tally = Tally(Clock())
    versions = [tally.seen().version]
    changes: list[Callable[[], object]] = [
        lambda: tally.came(told(), earlier=False),
        lambda: tally.lags({0: 4}),
        lambda: tally.lags(None, "no right"),
        tally.answered,
        lambda: tally.unanswered("away"),
        lambda: tally.unanswered("away for another reason"),
    ]
    for change in changes:
        change()
        versions.append(tally.seen().version)
    assert len(set(versions)) == len(versions)
    tally.unanswered("away for another reason")
    tally.lags(None, "no right")
    assert tally.seen().version == versions[-1]


def test_it_is_known_for_how_long_kafka_is_away() -> None:
    clock = Clock()
    tally = Tally(clock)
    assert tally.seen().away
    assert tally.answered()
    assert not tally.answered()
    assert (tally.seen().away, tally.seen().away_s) == ("", 0.0)
    assert tally.unanswered("nobody there")
    clock.now_s += 7
    assert not tally.unanswered("still nobody")
    assert (tally.seen().away, tally.seen().away_s) == ("still nobody", 7.0)
