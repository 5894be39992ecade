"""One time for each frame of a clip, whatever its clock does."""

_HOLE_S = 0.5
_HOLE_STEPS = 3
"""A longer step is a hole where nearly all others are the same."""
_REGULAR = 0.9
"""Part of the steps that are the same in a clip that is not recorded by need, as screens are."""
_MOST_SHUFFLED = 8
"""Steps back that are disorder: an AVI stamps its frames in the order of decoding."""


class Clock:
    """Tells the time since the first frame, from stamps that may begin anew, jump, or be missing.

    What the stamps say is kept where it can be: two frames get the same time only if their stamps are the same. Where a
    clock turns back to times that have been, as in recordings that were joined, time goes on one step after the latest.

    Parameters
    ----------
    rate
        Frames a second, for those that have no stamp.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._step_s = 1.0 / rate
        self._first_stamp_s = self._offset_s = self._offset_before_s = 0.0
        self._stretches: list[list[float]] = []
        self._long_steps_s: list[float] = []
        self._steps = self._regular_steps = self._skipped = 0
        self._turns = 0

    def time_s(self, stamp_s: float | None) -> float:
        """Return the time of the next frame, which is stamped so (None: not at all)."""
        if not self._stretches:
            self._first_stamp_s = self._offset_s = self._offset_before_s = stamp_s or 0.0
            self._stretches.append([0.0, 0.0])
            return 0.0
        latest = self._stretches[-1][1]
        if stamp_s is None:
            self._stretches[-1][1] = latest + self._step_s
            return self._stretches[-1][1]
        time_s = stamp_s - self._offset_s
        if time_s > latest:
            if self._is_long(time_s - latest) and 0 < stamp_s - self._offset_before_s - latest < time_s - latest:
                self._offset_s = self._offset_before_s  # a single frame was stamped far back
                time_s = stamp_s - self._offset_s
            return self._ahead(time_s, latest) if self._is_free(time_s) else self._anew(stamp_s)
        if self._is_shuffled(time_s):
            return time_s
        self._turns += 1
        if not self._is_free(time_s):
            return self._anew(stamp_s)
        self._stretches.append([time_s, time_s])
        return time_s

    def breaks(self, lost: int) -> int:
        """Return how often the clock turned back, or jumped over more time than the frames fill, with those lost."""
        return self._turns + len(self._long_steps_s) - len(self._believable(lost))

    def absent(self, lost: int, *, is_damaged: bool) -> int:
        """Return how many frames are not there, by holes in a clock that is regular otherwise.

        Of a damaged clip short ones count, too: cameras leave out a frame or two when they are busy.
        """
        if not self._is_regular:
            return 0
        in_long = sum(round(step_s * self._rate) - 1 for step_s in self._believable(lost))
        return in_long + (self._skipped if is_damaged else 0)

    def absent_at_the_end(self, duration_s: float, slack_s: float) -> int:
        """Return how many frames are not there, by a duration that the frames of a regular clock do not fill."""
        start_s, end_s = self._first_stamp_s, self._stretches[-1][1] + self._step_s
        # There are clips whose duration counts from zero, and such where it counts from the first frame.
        short_s = duration_s - end_s - max(0.0, start_s)
        return round(short_s * self._rate) if short_s > slack_s and self._is_regular else 0

    @property
    def _is_regular(self) -> bool:
        return self._regular_steps >= _REGULAR * self._steps

    def _believable(self, lost: int) -> list[float]:
        filled_s = sum(end - start for start, end in self._stretches) + lost / self._rate
        return [step_s for step_s in self._long_steps_s if step_s <= filled_s]

    def _ahead(self, time_s: float, latest: float) -> float:
        step_s = time_s - latest
        self._steps += 1
        self._regular_steps += round(step_s * self._rate) == 1
        if self._is_long(step_s):
            self._long_steps_s.append(step_s)
            self._stretches.append([time_s, time_s])
        else:
            self._step_s = step_s
            self._skipped += max(0, round(step_s * self._rate) - 1)
            self._stretches[-1][1] = time_s
        return time_s

    def _anew(self, stamp_s: float) -> float:
        time_s = max(end for _, end in self._stretches) + self._step_s
        self._offset_before_s, self._offset_s = self._offset_s, stamp_s - time_s
        self._stretches.append([time_s, time_s])
        return time_s

    @property
    def _near_s(self) -> float:
        return min(self._step_s, 1.0 / self._rate) / 2

    def _is_long(self, step_s: float) -> bool:
        return step_s > max(_HOLE_S, _HOLE_STEPS * self._step_s)

    def _is_shuffled(self, time_s: float) -> bool:
        start, latest = self._stretches[-1]
        return time_s > start + self._near_s and latest - time_s <= _MOST_SHUFFLED * self._step_s

    def _is_free(self, time_s: float) -> bool:
        """Return whether no earlier stretch has the time; the one that goes on may be gone on with."""
        near_s = self._near_s
        *earlier, (start, latest) = self._stretches
        taken = [*earlier, (start, latest)] if time_s <= latest else earlier
        return not any(first - near_s <= time_s <= last + near_s for first, last in taken)
