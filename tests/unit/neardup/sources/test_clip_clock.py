"""The time of each frame, whatever a clip's clock does. Ten frames a second, stamps in frames."""

from collections.abc import Iterable, Sequence

import pytest

from neardup.sources.clip_clock import Clock

RATE = 10


def told(stamps: Iterable[int | None], rate: float = RATE) -> tuple[list[float], Clock]:
    clock = Clock(rate)
    times = [clock.time_s(None if stamp is None else stamp / rate) for stamp in stamps]
    return [round(time_s * rate, 3) for time_s in times], clock


@pytest.mark.parametrize("start", [0, 7, -3])
def test_a_good_clock_is_taken_at_its_word(start: int) -> None:
    times, clock = told([start, start + 1, start + 2, start + 4, start + 5])
    assert times == [0, 1, 2, 4, 5]
    assert clock.breaks(lost=0) == 0


def test_without_stamps_the_rate_tells() -> None:
    assert told([None] * 4)[0] == [0, 1, 2, 3]
    assert told([5, 6, None, 8])[0] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("stamps", "times"),
    [
        pytest.param([0, 1, 2, 0, 1, 2], [0, 1, 2, 3, 4, 5], id="begins anew"),
        pytest.param([5, 6, 7, 0, 1, 2], [0, 1, 2, -5, -4, -3], id="goes back to where it has not been"),
        pytest.param([0, 1, 0, 1, 0, 1], [0, 1, 2, 3, 4, 5], id="begins anew twice"),
        pytest.param([0, 0, 0], [0, 1, 2], id="stands still"),
        pytest.param([0, 1, 2, 9000, 4, 5], [0, 1, 2, 9000, 4, 5], id="one frame ahead"),
        pytest.param([0, *range(1, 20), 0, *range(21, 25)], list(range(25)), id="one frame far back"),
        pytest.param([0, 1, 9000, 9001, 50, 51], [0, 1, 9000, 9001, 50, 51], id="jumps ahead, then back"),
        pytest.param([0, 1, 9000, 8999, 9000], [0, 1, 9000, 8999, 9001], id="goes back, into what has been"),
    ],
)
def test_no_two_frames_have_the_same_time(stamps: Sequence[int], times: Sequence[int]) -> None:
    found, clock = told(stamps)
    assert found == list(times)
    assert clock.breaks(lost=0) > 0


def test_frames_that_are_stamped_in_the_order_of_decoding_keep_their_stamps() -> None:
    times, clock = told([0, 2, 1, 4, 5, 3, 6])
    assert times == [0, 2, 1, 4, 5, 3, 6]
    assert clock.breaks(lost=0) == 0


def test_a_hole_in_a_regular_clock_is_counted_and_no_break() -> None:
    _, clock = told([*range(20), *range(30, 50)])
    assert (clock.breaks(lost=0), clock.absent(lost=0, is_damaged=False)) == (0, 10)


def test_short_holes_count_in_a_damaged_clip() -> None:
    _, clock = told([*range(20), *range(23, 50)])
    assert [clock.absent(lost=0, is_damaged=is_damaged) for is_damaged in (False, True)] == [0, 3]


def test_a_hole_larger_than_all_that_was_filmed_is_a_jump_unless_as_much_was_lost() -> None:
    _, clock = told([*range(10), *range(40, 50)])
    assert (clock.breaks(lost=0), clock.absent(lost=0, is_damaged=False)) == (1, 0)
    assert (clock.breaks(lost=30), clock.absent(lost=30, is_damaged=False)) == (0, 30)


def test_a_pause_of_a_clock_that_is_never_regular_is_no_hole() -> None:
    _, clock = told([0, 2, 3, 6, 7, 9, 12, 13, 15, 18, 30, 32])
    assert clock.absent(lost=0, is_damaged=False) == 0


@pytest.mark.parametrize("start", [0, 100])
def test_a_duration_that_is_not_filled_is_told_in_frames(start: int) -> None:
    _, clock = told(range(start, start + 20))
    assert clock.absent_at_the_end((start + 50) / RATE, slack_s=1.0) == 30
    assert clock.absent_at_the_end((start + 29) / RATE, slack_s=1.0) == 0


def test_a_screen_that_rests_at_the_end_is_not_cut_off() -> None:
    _, clock = told([0, 2, 3, 6, 7, 9, 12, 13, 15, 18])
    assert clock.absent_at_the_end(60.0, slack_s=1.0) == 0
