"""Pictures of one camera, as long as it sends them: RTSP, MJPEG, HLS or single pictures over HTTP. Needs PyAV."""

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import av

from consumer.feeding.camera_file import Camera
from neardup.decoding.limits import DecodeLimits
from neardup.sources.clips import upright
from neardup.types import Pixels

CONNECT_TIMEOUT_S = 15.0
SILENCE_S = 20.0
"""After this long without anything a camera is away."""
_MOST_FAILURES = 100
"""Packets in a row that cannot be decoded: it is no video, whatever it is."""
_PROTOCOLS = {
    "rtsp": "rtsp,rtp,srtp,tcp,udp",
    "rtsps": "rtsp,rtsps,rtp,srtp,tcp,tls",
    "http": "http,https,tcp,tls,httpproxy,crypto",
    "https": "https,tcp,tls,httpproxy,crypto",
}
"""What a camera may make us open: an HLS playlist could name files of this machine."""
_FORMATS = "rtsp,rtp,sdp,hls,mpegts,mov,mpjpeg,mjpeg,image2,jpeg_pipe,png_pipe,flv,matroska,h264,hevc,aac"
_SINGLE = ("image2", "_pipe")
_IN_BURSTS = "hls"
"""Its frames come a segment at a time: only their stamps say how far they are apart."""


class CameraAway(Exception):
    """There are no pictures; the text says why, and shows no URL."""


class CameraStream:
    """Connects to a camera and takes its pictures.

    Parameters
    ----------
    camera
        Which.
    monotonic
        Clock, in seconds.
    """

    def __init__(self, camera: Camera, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._camera = camera
        self._monotonic = monotonic
        self._taken_at = float("-inf")

    def pictures(self) -> Iterator[Pixels]:
        """Connect, and iterate over pictures, at least `every_s` apart, also from those of an earlier connection.

        A camera that answers with a single picture ends the iteration after it.

        Raises
        ------
        CameraAway
            It cannot be reached, or sends nothing more, or no video.
        """
        try:
            with av.open(
                self._camera.url, options=self._options(), timeout=(CONNECT_TIMEOUT_S, SILENCE_S)
            ) as container:
                before, was_due = self._taken_at, self._is_due()
                yield from self._pictures(container)
                if container.format.name.endswith(_SINGLE):
                    if was_due and self._taken_at == before:
                        raise CameraAway("it sends no picture that can be decoded")
                    return
        except (av.FFmpegError, OSError, ValueError) as exc:
            # Only the system's words: the error's own text has the URL.
            raise CameraAway(_why(exc)) from None
        raise CameraAway("it ended the stream")

    def _options(self) -> dict[str, str]:
        scheme = self._camera.url.partition(":")[0].lower()
        options = {"protocol_whitelist": _PROTOCOLS[scheme], "format_whitelist": _FORMATS, "fpsprobesize": "0"}
        return options | ({"rtsp_transport": "tcp"} if scheme.startswith("rtsp") else {})

    def _pictures(self, container: Any) -> Iterator[Pixels]:  # noqa: ANN401 - PyAV has its own types, not for mypy
        stream = next(iter(container.streams.video), None)
        if stream is None or stream.codec_context is None:
            raise CameraAway("it sends no video that FFmpeg knows")
        stream.codec_context.options = {"max_pixels": str(DecodeLimits().max_pixels)}
        stream.thread_type = "SLICE"  # others hold frames back
        taken_s: float | None = None
        for frame in self._frames(container, stream):
            if container.format.name == _IN_BURSTS and taken_s is not None and frame.time is not None:
                is_due = not 0 <= frame.time - taken_s < self._camera.every_s
            else:
                is_due = self._is_due()
            if is_due:
                self._taken_at, taken_s = self._monotonic(), frame.time
                yield upright(frame)

    def _is_due(self) -> bool:
        return self._monotonic() >= self._taken_at + self._camera.every_s

    def _frames(self, container: Any, stream: Any) -> Iterator[Any]:  # noqa: ANN401 - as above
        """Iterate over the frames that are whole; those of MJPEG that are not due are not even decoded."""
        failures = 0
        is_each_alone = stream.codec_context.name == "mjpeg"
        for packet in container.demux(stream):
            if is_each_alone and packet.size and not self._is_due():
                continue
            frames: list[Any] = []
            with suppress(av.error.InvalidDataError):
                frames = [frame for frame in packet.decode() if not frame.is_corrupt]
            failures = 0 if frames else failures + 1
            if failures >= _MOST_FAILURES:
                raise CameraAway("it sends what cannot be decoded")
            yield from frames


def _why(error: Exception) -> str:
    if isinstance(error, av.error.ExitError):
        return f"it does not answer, for {SILENCE_S:.0f} s"
    if isinstance(error, av.error.InvalidDataError):
        return "it sends no video"
    if getattr(error, "errno", None) == errno.EIO:  # of a host without an address, too
        return "it cannot be reached, or the connection broke off"
    return getattr(error, "strerror", None) or type(error).__name__
