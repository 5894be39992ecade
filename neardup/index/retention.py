"""Retention by the images' capture time, not by the wall clock."""

from dataclasses import dataclass

UNKNOWN_MS = 0


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
    A member or an image without a known time (0) is never too old, nor makes others so.
    """

    window_ms: int | None = None
    grace_ms: int = 60 * 60 * 1000

    def counts(self, member_ms: int, image_ms: int) -> bool:
        """Return whether a member captured at the one time counts for an image captured at the other."""
        if self.window_ms is None or UNKNOWN_MS in {member_ms, image_ms}:
            return True
        return member_ms >= image_ms - self.window_ms

    def removable(self, member_ms: int, newest_ms: int) -> bool:
        """Return whether a member can go, when the newest image so far was captured at `newest_ms`."""
        if self.window_ms is None or UNKNOWN_MS in {member_ms, newest_ms}:
            return False
        return member_ms < newest_ms - self.window_ms - self.grace_ms


FOR_EVER = Retention()
