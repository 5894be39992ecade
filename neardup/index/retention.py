"""Retention by the images' capture time, not by the wall clock."""

from dataclasses import dataclass

from neardup.capture_time import EARLIEST_MS


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a member counts.

    Attributes
    ----------
    window_ms
        A member captured longer than this before an image does not count for it; None means no limit.
    grace_ms
        How much longer it is kept, for images that arrive late.

    Notes
    -----
    A member or an image without a known time is never too old, nor makes others so: see `neardup.capture_time`. What an
    image says of the future was sorted out before it became a query, by the clock of its message, so that no verdict
    depends on when it is asked for. A member of the future counts for every image, as one of unknown time does.
    """

    window_ms: int | None = None
    grace_ms: int = 60 * 60 * 1000

    def counts(self, member_ms: int, image_ms: int) -> bool:
        """Return whether a member captured at the one time counts for an image captured at the other."""
        if self.window_ms is None or member_ms < EARLIEST_MS or image_ms < EARLIEST_MS:
            return True
        return member_ms >= image_ms - self.window_ms

    def removable(self, member_ms: int, newest_ms: int) -> bool:
        """Return whether a member can go, when `newest_ms` is `neardup.capture_time.newest_ms` of the images so far."""
        if self.window_ms is None or member_ms < EARLIEST_MS or newest_ms < EARLIEST_MS:
            return False
        return member_ms < newest_ms - self.window_ms - self.grace_ms


FOR_EVER = Retention()
