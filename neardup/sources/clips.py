"""Frames of a video clip as images. Needs PyAV, the extra `video`."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from PIL import Image

from neardup.decoding.limits import DecodeLimits
from neardup.errors import TooManyPixels, UndecodableImage
from neardup.sources.images import BrokenImage, SourceImage
from neardup.types import Pixels

# A frame's time is a multiple of the clip's time base, not of the interval asked for.
_EARLY_S = 1e-6
_JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class FrameImage:
    """A decoded frame; it holds its pixels, so few should live at a time."""

    image_id: str
    frame: Pixels
    captured_at_ms: int = 0

    def encoded(self, max_bytes: int) -> bytes:
        """Return the frame as JPEG, as a camera would."""
        del max_bytes
        buffer = io.BytesIO()
        Image.fromarray(self.frame).save(buffer, "JPEG", quality=_JPEG_QUALITY)
        return buffer.getvalue()

    def pixels(self, reduce_to_px: int | None, limits: DecodeLimits) -> Pixels:
        """Return the frame, unless it has too many pixels."""
        del reduce_to_px
        height, width = self.frame.shape[:2]
        if height * width > limits.max_pixels:
            raise TooManyPixels(f"{width}x{height} pixels, the limit is {limits.max_pixels} in all")
        return self.frame


def clip_frames(path: str, image_id: str, fps: float) -> Iterator[SourceImage]:
    """Iterate over frames of a clip, at most `fps` a second, called ``clip.mp4#t=1.200`` (seconds from its start).

    What cannot be decoded ends the clip, and comes last as an image that says why.
    """
    try:
        with av.open(path) as container:
            for time_s, frame in _sampled(_timed(container), fps):
                yield FrameImage(f"{image_id}#t={time_s:.3f}", _upright(frame))
    except (av.FFmpegError, OSError) as exc:
        yield BrokenImage(image_id, UndecodableImage(f"{type(exc).__name__}: {exc}"))


def _timed(container: Any) -> Iterator[tuple[float, Any]]:  # noqa: ANN401 - PyAV has its own types, not for mypy
    """Iterate over (seconds since the first frame, frame)."""
    if not container.streams.video:
        raise OSError("the file has no video stream")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    first_s = None
    for number, frame in enumerate(container.decode(stream)):
        time_s = frame.time if frame.time is not None else number / float(stream.average_rate or 25)
        first_s = time_s if first_s is None else first_s
        yield time_s - first_s, frame


def _sampled(timed: Iterator[tuple[float, Any]], fps: float) -> Iterator[tuple[float, Any]]:
    """Keep the first frame of each interval of ``1 / fps`` seconds."""
    next_interval = 0
    for time_s, frame in timed:
        interval = int((time_s + _EARLY_S) * fps)
        if interval >= next_interval:
            yield time_s, frame
            next_interval = interval + 1


def _upright(frame: Any) -> Pixels:  # noqa: ANN401 - see above
    """Return uint8 (height, width, 3) RGB, turned as the phone was held."""
    rgb = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    quarters = round((getattr(frame, "rotation", 0) or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, quarters))
