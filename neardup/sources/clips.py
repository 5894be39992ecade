"""Frames of a video clip as images. Needs PyAV, the extra `video`."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from neardup.decoding.limits import DecodeLimits
from neardup.errors import TooManyPixels, UndecodableImage
from neardup.sources.clip_clock import Clock
from neardup.sources.clip_decoding import Film, decoded
from neardup.sources.clip_report import ClipReport
from neardup.sources.images import BrokenImage, SourceImage
from neardup.sources.smaller import as_jpeg
from neardup.types import Pixels

# A frame's time is a multiple of the clip's time base, not of the interval asked for.
_EARLY_S = 1e-6
_SHORT_S, _SHORT_FRAMES, _SHORT = 1.0, 5, 0.02
"""How much shorter than its header says a whole clip may be: in seconds where its sound may last longer, in frames that
were reordered or not filmed at its start, in parts of the whole."""


@dataclass(frozen=True, slots=True)
class FrameImage:
    """A decoded frame; it holds its pixels, so few should live at a time."""

    image_id: str
    frame: Pixels
    captured_at_ms: int = 0

    def encoded(self, max_bytes: int) -> bytes:
        """Return the frame as JPEG, as a camera would."""
        del max_bytes
        return as_jpeg(self.frame)

    def pixels(self, reduce_to_px: int | None, limits: DecodeLimits) -> Pixels:
        """Return the frame, unless it has too many pixels."""
        del reduce_to_px
        height, width = self.frame.shape[:2]
        if height * width > limits.max_pixels:
            raise TooManyPixels(f"{width}x{height} pixels, the limit is {limits.max_pixels} in all")
        return self.frame


def clip_frames(path: str, fps: float, report: ClipReport, began_ms: int = 0) -> Iterator[SourceImage]:
    """Iterate over frames of a clip, at most `fps` a second, called ``clip.mp4#t=1.200`` (seconds from its start).

    What the clip came to is counted in the report, complete at the end. Where frames are missing, an image that says so
    comes last. Frames have a time where `began_ms` says when the first was filmed.
    """
    try:
        for time_s, frame in _sampled(path, fps, report):
            report.images += 1
            taken_ms = began_ms + round(time_s * 1000) if began_ms else 0
            yield FrameImage(f"{report.image_id}#t={time_s:.3f}", upright(frame), taken_ms)
    except (av.FFmpegError, OSError) as exc:
        report.error = exc
    if not (report.frames or report.missing or report.error):
        report.error = OSError("the file has no frame")
    if not report.is_whole:
        yield BrokenImage(report.image_id, UndecodableImage(str(report)))


def _sampled(path: str, fps: float, report: ClipReport) -> Iterator[tuple[float, Any]]:
    """Keep the first whole frame of each interval of ``1 / fps`` seconds, with its seconds since the first frame."""
    film, clock = Film(), None
    taken: set[int] = set()  # and not only the latest, as a clock may go back
    for stamp_s, frame, is_whole in decoded(path, film, report):
        clock = clock or Clock(film.rate)
        time_s = clock.time_s(stamp_s)
        interval = int((time_s + _EARLY_S) * fps)
        if is_whole and interval not in taken:
            taken.add(interval)
            yield time_s, frame
    if clock:
        report.clock_breaks = clock.breaks(report.undecodable)
        is_damaged = bool(report.left_out or report.undecodable)
        report.absent = clock.absent(report.undecodable, is_damaged=is_damaged)
        if film.duration_s and not report.clock_breaks:
            report.absent += clock.absent_at_the_end(film.duration_s, _slack_s(film))


def _slack_s(film: Film) -> float:
    of_sound_s = _SHORT_S if film.has_sound else 0.0
    return max(of_sound_s, _SHORT_FRAMES / film.rate, _SHORT * (film.duration_s or 0.0))


def upright(frame: Any) -> Pixels:  # noqa: ANN401 - PyAV has its own types, not for mypy
    """Return uint8 (height, width, 3) RGB, turned and mirrored as the clip's display matrix says."""
    pixels = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        # A point (x, y) is shown at (a x + c y, b x + d y). `frame.rotation` leaves out that it may be mirrored.
        a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
        if abs(b) > abs(a):
            pixels, a, d = pixels.transpose(1, 0, 2), c, b
        pixels = pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return np.ascontiguousarray(pixels)
