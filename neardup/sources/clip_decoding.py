"""From a clip to its frames, each whole or known to be damaged.

A decoder goes on after damage, and builds frames upon what it has: they look smeared until the next key frame. It marks
only some of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any, NamedTuple

import av

from neardup.sources.clip_report import ClipReport
from neardup.sources.h264 import FrameNumbers
from neardup.sources.joined_mp4 import recordings_in

_DEFAULT_RATE = 25
_LONG_STEP = 1.5
"""Frames from one packet to the next where at least one is left out."""
_MOST_READ_ERRORS = 100
"""Without a packet in between: damage that the reader cannot get past."""
_FRAME_A_PACKET = frozenset({"h264", "hevc"})
"""Their decoders drop what they have no reference for and say nothing: only counting shows it."""
_MARKED_LATE = 2
"""Packets from the one that is marked to the first that may lack something: its parser hands marks on too early by one,
and what lacks in the next packet itself is seen by the decoder."""


class ClipFrame(NamedTuple):
    """A decoded frame.

    Attributes
    ----------
    stamp_s
        Seconds by the clip's clock, wherever that begins; None without a stamp.
    frame
        An `av.VideoFrame`.
    is_whole
        Whether it is neither damaged nor built upon a damaged one.
    """

    stamp_s: float | None
    frame: Any
    is_whole: bool


class _Damaged(Exception):
    """The clip is damaged, and has to be read with care."""


@dataclass(slots=True)
class Film:
    """What a clip says of itself.

    Attributes
    ----------
    rate
        Frames a second.
    duration_s
        Seconds that it lasts; None if unknown.
    has_sound
        Whether it may last longer than its pictures.
    """

    rate: float = float(_DEFAULT_RATE)
    duration_s: float | None = None
    has_sound: bool = False


def decoded(path: str, film: Film, report: ClipReport) -> Iterator[ClipFrame]:
    """Iterate over the frames of a clip in the order they are shown.

    They are decoded in several threads as long as all is well. At the first sign of damage the clip is read again from
    its start, in one thread: only then it is known which frame an error is about, and none is lost at the end.

    Parameters
    ----------
    path
        The clip.
    film
        Filled in before the first frame.
    report
        Where frames are counted, and what ended the reading is noted.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    for recording in recordings_in(path):
        part = ClipReport(report.image_id)
        try:
            yield from _decoded(recording, film, part)
        except (av.FFmpegError, OSError) as exc:
            part.error = exc
        report.add(part)


def _decoded(path: str, film: Film, report: ClipReport) -> Iterator[ClipFrame]:
    shown = 0
    try:
        with _opened(path, film, report) as (container, stream):
            for frame in _frames(container, stream, report):
                shown += 1
                yield frame
    except _Damaged:
        with _opened(path, film, report) as (container, stream):
            yield from islice(_CarefulReader(container, stream, report).frames(), shown, None)


@contextmanager
def _opened(path: str, film: Film, report: ClipReport) -> Iterator[tuple[Any, Any]]:
    with av.open(path) as container:
        stream = _chosen(container, report)
        duration = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / av.time_base
        film.duration_s = float(duration) or None
        film.rate = float(_rate(stream))
        film.has_sound = bool(container.streams.audio)
        # An AVI counts those that its camera dropped, too.
        report.listed = stream.frames if container.format.name.startswith("mov") else 0
        report.frames = report.left_out = report.undecodable = 0
        yield container, stream


def _rate(stream: Any) -> Fraction:  # noqa: ANN401 - PyAV has its own types, not for mypy
    # Of a raw stream the average rate is only assumed.
    return Fraction(stream.guessed_rate or stream.average_rate or _DEFAULT_RATE)


def _chosen(container: Any, report: ClipReport) -> Any:  # noqa: ANN401 - see above
    """Return the first video stream that is no cover picture; the cover where there is nothing else."""
    streams = container.streams.video
    if not streams:
        raise OSError("the file has no video stream")
    films = [stream for stream in streams if not stream.disposition & av.stream.Disposition.attached_pic]
    report.other_streams = max(0, len(films) - 1)
    chosen = (films or streams)[0]
    if chosen.codec_context is None:
        raise OSError("the file's video is in a format that FFmpeg does not know")
    return chosen


def _frames(container: Any, stream: Any, report: ClipReport) -> Iterator[ClipFrame]:  # noqa: ANN401 - see above
    """Iterate over the frames of a clip that is sound.

    Raises
    ------
    _Damaged
        It is not, and what follows may be damaged.
    """
    stream.thread_type = "AUTO"
    packets = _Packets(stream, report)
    try:
        for packet in container.demux(stream):
            packets.count(packet)
            is_after_loss = packets.is_after_loss(packet)
            frames = packet.decode()
            if is_after_loss or packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                raise _Damaged
            for frame in frames:
                report.frames += 1
                yield packets.shown(frame, is_whole=True)
    except av.FFmpegError as exc:
        raise _Damaged from exc
    if packets.silently_dropped():
        raise _Damaged


class _Packets:
    """Counts packets, and the frames that come of them."""

    def __init__(self, stream: Any, report: ClipReport) -> None:  # noqa: ANN401 - see above
        self._stream = stream
        self._report = report
        self._wanted = 0
        self._interlaced = False
        self._latest_dts: int | None = None
        context = stream.codec_context
        self._numbers = FrameNumbers(context.extradata) if context.name == "h264" else None

    def count(self, packet: Any) -> None:  # noqa: ANN401 - see above
        """Count a packet that has been read."""
        if packet.is_discard:  # by an edit list: it is decoded, and not to be seen
            self._report.listed = max(0, self._report.listed - 1)
        elif packet.size:
            self._wanted += 1

    def is_after_loss(self, packet: Any) -> bool:  # noqa: ANN401 - see above
        """Return whether frames that later ones build upon are lost before a packet.

        Both their numbers and the clock have to say so, as there are cameras that give wrong numbers.
        """
        if self._numbers is None or not packet.size:
            return False
        is_lost = self._numbers.is_after_loss(memoryview(packet))
        latest = self._latest_dts
        self._latest_dts = latest if packet.dts is None else packet.dts
        if not is_lost or packet.dts is None or latest is None:
            return is_lost
        steps = (packet.dts - latest) * self._stream.time_base * _rate(self._stream)
        return not 0 <= steps < _LONG_STEP

    def failed(self) -> None:
        """Count the packet as one that could not be decoded."""
        self._wanted -= 1
        self._report.undecodable += 1

    def shown(self, frame: Any, *, is_whole: bool) -> ClipFrame:  # noqa: ANN401 - see above
        """Count a frame that has come of them."""
        self._wanted -= 1
        self._interlaced |= frame.interlaced_frame
        if frame.pts is None:
            return ClipFrame(None, frame, is_whole)
        # Not `frame.time`: it is not a number for frames that came last.
        time_base = self._stream.time_base
        return ClipFrame(frame.pts * time_base.numerator / time_base.denominator, frame, is_whole)

    def silently_dropped(self) -> int:
        """Return of how many packets nothing came, when all are decoded, where a packet is a frame."""
        # Each of two interlaced fields may have a packet of its own.
        is_known = self._stream.codec_context.name in _FRAME_A_PACKET and not self._interlaced
        return max(0, self._wanted) if is_known else 0


class _CarefulReader:
    """Reads a damaged clip: past all damage, and frames in the shadow of it are told from whole ones."""

    def __init__(self, container: Any, stream: Any, report: ClipReport) -> None:  # noqa: ANN401 - see above
        stream.thread_type = "SLICE"  # an error is about the packet that was handed over, and about no earlier one
        stream.codec_context.copy_opaque = True  # a frame says of which packet it came
        self._container = container
        self._stream = stream
        self._report = report
        self._packets = _Packets(stream, report)
        self._read = 0  # packets; they are told apart by their number
        self._damage: list[int] = []

    def frames(self) -> Iterator[ClipFrame]:
        """Iterate over the frames, damaged ones among them."""
        for packet in self._all_packets():
            for frame in self._decoded(packet):
                is_whole = not self._is_spoilt(frame)
                self._report.frames += is_whole
                self._report.left_out += not is_whole
                yield self._packets.shown(frame, is_whole=is_whole)
        self._report.undecodable += self._packets.silently_dropped()

    def _all_packets(self) -> Iterator[Any]:
        """Iterate over the packets; the last is None, for what the decoder still holds."""
        failures = 0
        while failures < _MOST_READ_ERRORS:
            try:
                for packet in self._container.demux(self._stream):
                    self._packets.count(packet)
                    if not packet.size:
                        continue  # to the decoder it would be the end
                    self._report.error, failures = None, 0
                    self._read += 1
                    packet.opaque = self._read
                    if self._packets.is_after_loss(packet):
                        self._damage.append(self._read)
                    yield packet
                break
            except av.FFmpegError as exc:
                self._report.error = exc
                failures += 1
                self._damage.append(self._read + 1)
        yield None

    def _decoded(self, packet: Any) -> list[Any]:  # noqa: ANN401 - see above
        try:
            frames: list[Any] = self._stream.decode(packet)
        except av.FFmpegError:
            self._packets.failed()
            self._damage.append(self._read)
            return []
        if packet is not None and packet.is_corrupt:
            self._damage.append(self._read + _MARKED_LATE)
        return frames

    def _is_spoilt(self, frame: Any) -> bool:  # noqa: ANN401 - see above
        number = frame.opaque or self._read
        if frame.is_corrupt:
            self._damage.append(number)
        elif frame.key_frame:
            self._damage = [damaged for damaged in self._damage if damaged > number]
        return any(damaged <= number for damaged in self._damage)
