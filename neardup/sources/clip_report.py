"""What became of a video clip: how many frames were read, how many there should be, and what happened to the rest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from neardup.wording import counted

_MOST_SHORT = 0.02
"""Part of the frames that an index may list and a whole clip not show."""


@dataclass(slots=True)
class ClipReport:
    """What became of a clip, counted while its frames are read.

    Attributes
    ----------
    image_id
        What the clip is called.
    images
        Frames that were taken as images.
    frames
        Frames that were decoded and are whole.
    left_out
        Frames that were decoded and are damaged, or built upon damaged ones.
    undecodable
        Frames that are in the file and could not be decoded.
    absent
        Frames that are not in the file, by holes in the clip's clock and by its duration; some of those that could not
        be decoded may be among them.
    listed
        Frames that the clip's index lists, 0 if it has none.
    clock_breaks
        How often its clock begins anew or jumps.
    other_streams
        Video streams that are not read.
    error
        What ended the reading early, if anything did.
    """

    image_id: str
    images: int = 0
    frames: int = 0
    left_out: int = 0
    undecodable: int = 0
    absent: int = 0
    listed: int = 0
    clock_breaks: int = 0
    other_streams: int = 0
    error: Exception | None = None

    def add(self, part: "ClipReport") -> None:
        """Add what became of a part of the clip, as it was decoded."""
        self.frames += part.frames
        self.left_out += part.left_out
        self.undecodable += part.undecodable
        self.listed += part.listed
        self.other_streams = max(self.other_streams, part.other_streams)
        self.error = self.error or part.error

    @property
    def missing(self) -> int:
        """Frames that should be there, as far as anybody knows, and were not read."""
        known = self.frames + self.left_out + max(self.undecodable, self.absent)
        is_sound = known == self.frames and not self.error
        if is_sound and self.listed - self.frames <= _MOST_SHORT * self.listed:
            return 0
        return max(known, self.listed) - self.frames

    @property
    def is_whole(self) -> bool:
        """Whether nothing is known to be missing."""
        return not (self.missing or self.error)

    def __str__(self) -> str:
        """Return all of it in one line."""
        if self.error and not self.frames:
            return _named(self.error)
        frames = counted(self.frames, "frame")
        if not self.is_whole:
            about = "" if self.listed else "about "
            frames = f"{self.frames} of {about}{counted(self.frames + self.missing, 'frame')}"
        return "; ".join([f"{counted(self.images, 'image')} from {frames}", *self._details()])

    def _details(self) -> Iterator[str]:
        if self.undecodable:
            yield f"{self.undecodable} could not be decoded"
        if self.left_out:
            yield f"{self.left_out} left out as damaged"
        absent = self.missing - self.left_out - self.undecodable
        if absent:
            yield f"{absent} not in the file"
        if self.clock_breaks:
            yield f"its clock begins anew or jumps {_times(self.clock_breaks)}"
        if self.other_streams:
            yield f"other video streams, not read: {self.other_streams}"
        if self.error:
            yield f"reading ended with {_named(self.error)}"


def told_in_sum(reports: Sequence[ClipReport]) -> str:
    """Return what became of clips in a few words; nothing of no clips."""
    if not reports:
        return ""
    damaged = [report for report in reports if not report.is_whole]
    clips = counted(len(reports), "clip")
    if not damaged:
        return f"{clips}, all whole"
    missing = sum(report.missing for report in damaged)
    about = f", with about {counted(missing, 'frame')} missing" if missing else ""  # of unreadable ones nobody knows
    return f"{clips}, {len(damaged)} not whole{about}"


def _named(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
