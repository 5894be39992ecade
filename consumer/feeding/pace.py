"""How fast images are published: as fast as they are acknowledged, so many a second, or as fast as they were taken."""

import io
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from consumer.feeding.outgoing import Outgoing, say
from neardup.capture_time import UNKNOWN_MS, known_ms, moment, now_ms
from neardup.sources.images import BytesImage, FileImage
from neardup.sources.taken import exif_ms, file_ms

_MADE_UP_FOR_S = 0.5
"""Of lateness, with a rate: after an outage, all that it held up would go at once."""
_WORTH_A_LINE_S = 60.0
_LONGEST_SLEEP_S = 3600.0
"""What the system's sleep takes is bounded; a pause may be years."""


class Paced(Protocol):
    """Settings that say how fast images are published."""

    @property
    def rate(self) -> float:
        """Images a second; 0 for as many as go."""

    @property
    def pace(self) -> float | None:
        """How many times as fast as they were taken; None for without regard to it."""


class Pace:
    """Waits until an image is due.

    Parameters
    ----------
    settings
        `rate`, `pace`.
    monotonic, sleep
        Clock and sleep, in seconds; a sleep that returns True was cut short, and nothing more is waited for.
    clock_ms
        Milliseconds since the epoch: what lies far ahead of it is no time.
    tell
        Tells the user of a long wait, in one line.
    """

    def __init__(
        self,
        settings: Paced,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], bool | None] = time.sleep,
        clock_ms: Callable[[], int] = now_ms,
        tell: Callable[[str], object] = say,
    ) -> None:
        self._rate = settings.rate
        self._speed = settings.pace
        self._monotonic = monotonic
        self._sleep = sleep
        self._clock_ms = clock_ms
        self._tell = tell
        self._began: float | None = None
        self._next_s: float | None = None
        self._first_ms = UNKNOWN_MS

    @property
    def singly(self) -> bool:
        """Whether each image has a moment of its own."""
        return bool(self._rate) or self._speed is not None

    def wait(self, outgoing: Sequence[Outgoing]) -> None:
        """Return when these are due, which are to be published together."""
        if self.singly:
            self.wait_for(len(outgoing), outgoing[0].image.image_id, lambda: self._taken_ms(outgoing[0]))

    def wait_for(self, count: int, image_id: str, taken_ms: Callable[[], int]) -> None:
        """Return when so many images are due, of which the first has this id, and was taken then as far as known."""
        if self._rate:
            self._wait_for_rate(count)
            return
        if self._began is None:
            self._began = self._monotonic()
        self._sleep_until(self._began + self._due_s(image_id, taken_ms()))

    def _wait_for_rate(self, count: int) -> None:
        now_s = self._monotonic()
        due_s = now_s if self._next_s is None else max(self._next_s, now_s - _MADE_UP_FOR_S)
        self._next_s = due_s + count / self._rate
        self._sleep_until(due_s)

    def _sleep_until(self, moment_s: float) -> None:
        while (left_s := moment_s - self._monotonic()) > 0 and not self._sleep(min(left_s, _LONGEST_SLEEP_S)):
            pass

    def _due_s(self, image_id: str, taken_ms: int) -> float:
        """Return the seconds from the first image to this one; 0 for one that is of no known time, or earlier."""
        if taken_ms == UNKNOWN_MS or self._speed is None or self._began is None:
            return 0.0
        self._first_ms = self._first_ms or taken_ms
        due_s = (taken_ms - self._first_ms) / 1000 / self._speed
        pause_s = self._began + due_s - self._monotonic()
        if pause_s > _WORTH_A_LINE_S:
            self._tell(f"{image_id} was taken at {moment(taken_ms)}: waiting {pause_s:,.0f} s for its turn")
        return due_s

    def _taken_ms(self, outgoing: Outgoing) -> int:
        clock_ms, image = self._clock_ms(), outgoing.image
        if by_camera := _exif_ms(outgoing, clock_ms):
            return by_camera
        if isinstance(image, FileImage):
            return file_ms(image.path, clock_ms)
        return known_ms(image.captured_at_ms, clock_ms)


def _exif_ms(outgoing: Outgoing, clock_ms: int) -> int:
    # Of the picture as it was taken: what is published with a mask, smaller, or by its URI has no EXIF.
    image = outgoing.image
    if isinstance(image, FileImage):
        with suppress(OSError), Path(image.path).open("rb") as file:
            return exif_ms(file, clock_ms)
    data = image.data if isinstance(image, BytesImage) else outgoing.message.value or b""
    return exif_ms(io.BytesIO(data), clock_ms)
