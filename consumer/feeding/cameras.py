"""``neardup feed --cameras FILE``: publishes pictures of cameras until it is stopped; cameras may come and go."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from threading import Thread
from typing import Protocol

from consumer.backoff import Backoff
from consumer.ending import FEED, stopped_by_signals
from consumer.feeding.camera_file import Camera, cameras_in, named_cameras
from consumer.feeding.feeder import Feeder
from consumer.feeding.outages import Stopped, waited_out
from consumer.feeding.outgoing import CameraImage, Outgoing, say
from consumer.feeding.pace import Pace
from consumer.feeding.settings import FeedSettings
from neardup.capture_time import now_ms
from neardup.cli.progress import shown_progress
from neardup.errors import Misconfigured
from neardup.sources.mask import MaskOutside, blanked
from neardup.types import Pixels
from neardup.wording import counted

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
_LONGEST_STEP_S = 0.5
"""From a signal to the end."""
_LEAST_S = 0.1
"""From one single picture to the next, of a camera that has no stream: each is a request."""
_JOINED_S = 1.0
"""How long to wait for a camera's thread at the end: it may be waiting for the camera, and then it is left."""


class Pictures(Protocol):
    """A connection to a camera; see `consumer.feeding.camera_stream.CameraStream`."""

    def pictures(self) -> Iterator[Pixels]:
        """Connect, and iterate over pictures."""


def watch(settings: FeedSettings) -> Feeder:
    """Publish pictures until a signal; return who did.

    Raises
    ------
    Misconfigured
        No camera can be watched as it is told to be.
    KafkaUnavailable
        At the start; later it is waited for.
    """
    from consumer.transport.kafka import KafkaSink  # noqa: PLC0415 - tests put another in its place

    cameras = (
        named_cameras(settings.urls, settings.every_s, settings.mask)
        if settings.cameras is None
        else cameras_in(settings.cameras, settings.every_s)
    )
    if find_spec("av") is None:
        raise Misconfigured("watching cameras needs PyAV: pip install neardup[cameras]")
    stop = threading.Event()
    sink = KafkaSink(settings, [settings.topic])

    def deliver(outgoing: Sequence[Outgoing]) -> None:
        messages = [each.message for each in outgoing]
        waited_out(lambda: sink.publish(messages), stop)

    try:
        sink.connect()
        feeder = Feeder(settings, sink, deliver, Pace(settings, sleep=stop.wait))
        watched = Watched(cameras, stop)
        with stopped_by_signals(stop, FEED), shown_progress("feed") as progress, watched.running():
            while not stop.is_set():
                try:
                    feeder.publish(watched.newest(_LONGEST_STEP_S), progress)
                except Stopped:
                    break
        for line in watched.told_in_sum():
            say(line)
    finally:
        stop.set()
        sink.close()
    return feeder


@dataclass(slots=True)
class _Count:
    pictures: int = 0
    dropped: int = 0
    connections: int = 0


class Watched:
    """Cameras, each watched by a thread; of each the newest picture waits to be taken.

    Parameters
    ----------
    cameras
        Which.
    stop
        Ends it.
    connected
        Returns a connection to a camera that is yet to be made; None for the real one.
    clock_ms
        Milliseconds since the epoch.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        stop: threading.Event,
        connected: Callable[[Camera], Pictures] | None = None,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._cameras = cameras
        self._stop = stop
        self._connected = connected or _stream_of
        self._clock_ms = clock_ms
        self._waiting: dict[str, CameraImage] = {}
        self._given_up: dict[str, str] = {}
        self._failed: Exception | None = None
        self._away: dict[str, bool] = {}
        self._counts = {camera.id: _Count() for camera in cameras}
        self._news = threading.Condition()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch the cameras while a block lasts."""
        threads = [Thread(target=self._watch, args=(camera,), name=camera.id, daemon=True) for camera in self._cameras]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(_JOINED_S / len(threads))

    def newest(self, timeout_s: float) -> list[CameraImage]:
        """Return the newest picture of each camera that has one; none if none comes in time.

        Raises
        ------
        Misconfigured
            Every camera was given up: a line for each says why.
        Exception
            Whatever ended the thread of a camera that should have gone on.
        """
        with self._news:
            if self._failed is not None:
                raise self._failed
            if not self._waiting and len(self._given_up) < len(self._cameras):
                self._news.wait(timeout_s)
            taken = [*self._waiting.values()]
            self._waiting.clear()
        if not taken and len(self._given_up) == len(self._cameras):
            raise Misconfigured("\n".join(self._given_up.values()))
        return taken

    def told_in_sum(self) -> Iterator[str]:
        """Iterate over a line for each camera."""
        for name, count in self._counts.items():
            dropped = f", {count.dropped} dropped for newer ones" if count.dropped else ""
            connections = counted(count.connections, "connection")
            yield f"camera {name}: {counted(count.pictures, 'picture')}{dropped}, {connections}"

    def _watch(self, camera: Camera) -> None:
        stream, backoff = self._connected(camera), Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)
        try:
            while not self._stop.is_set():
                self._stop.wait(self._watched_once(camera, stream, backoff))
        except MaskOutside as exc:
            self._give_up(camera, f"camera {camera.id}: {exc}; nothing is published from it")
        except Exception as exc:  # noqa: BLE001 - raised where pictures are taken: a thread would die of it unseen
            with self._news:
                self._failed = exc
                self._news.notify()

    def _watched_once(self, camera: Camera, stream: Pictures, backoff: Backoff) -> float:
        """Take pictures until the connection ends, and return how many seconds to wait before the next one.

        Raises
        ------
        MaskOutside
            Of the first picture of all. Later the camera has changed: that is told, and it may change back.
        """
        from consumer.feeding.camera_stream import CameraAway  # noqa: PLC0415 - PyAV is an extra

        before, began_ms = self._counts[camera.id].pictures, self._clock_ms()
        try:
            self._take(camera, stream)
        except CameraAway as exc:
            why = str(exc)
        except MaskOutside as exc:
            if not self._counts[camera.id].pictures:
                raise
            why = str(exc)
        else:
            backoff.reset()
            return max(camera.every_s, _LEAST_S)
        if self._counts[camera.id].pictures > before and self._clock_ms() - began_ms > LONGEST_WAIT_S * 1000:
            backoff.reset()
        wait_s = backoff.next_wait_s()
        self._away[camera.id] = True
        if not self._stop.is_set():
            say(f"camera {camera.id} at {camera.place}: {why}; trying again in {wait_s:.0f} s")
        return wait_s

    def _take(self, camera: Camera, stream: Pictures) -> None:
        count, is_first = self._counts[camera.id], True
        for pixels in stream.pictures():
            masked = blanked(pixels, camera.mask)
            if is_first:
                is_first = False
                count.connections += 1
                self._tell_of_connection(camera, pixels)
            count.pictures += 1
            self._hand_over(camera, masked)
            if self._stop.is_set():
                return

    def _tell_of_connection(self, camera: Camera, pixels: Pixels) -> None:
        height, width = pixels.shape[:2]
        if self._away.get(camera.id, True):  # not again for each single picture that is asked for
            say(f"camera {camera.id} at {camera.place}: pictures of {width}x{height} pixels")
        self._away[camera.id] = False

    def _hand_over(self, camera: Camera, masked: Pixels) -> None:
        captured_ms = self._clock_ms()
        moment = datetime.fromtimestamp(captured_ms / 1000, UTC).isoformat(timespec="milliseconds")
        image = CameraImage(f"{camera.id}/{moment.removesuffix('+00:00')}Z", camera.id, masked, captured_ms)
        with self._news:
            self._counts[camera.id].dropped += camera.id in self._waiting
            self._waiting[camera.id] = image
            self._news.notify()

    def _give_up(self, camera: Camera, why: str) -> None:
        say(why)
        with self._news:
            self._given_up[camera.id] = why
            self._news.notify()


def _stream_of(camera: Camera) -> Pictures:
    from consumer.feeding.camera_stream import CameraStream  # noqa: PLC0415 - PyAV is an extra

    return CameraStream(camera)
