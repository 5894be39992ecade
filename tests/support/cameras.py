"""Cameras for tests: over HTTP as MJPEG or single pictures, as HLS, and over RTSP by a server of Debian's."""

import base64
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from PIL import Image, ImageDraw

from demo.services.process import HOST, free_port
from neardup.sources.smaller import as_jpeg

SYSTEM_PYTHON = "/usr/bin/python3"
"""Which has the GStreamer of the system (Debian: gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good and -ugly)."""
USER, PASSWORD = "admin", "s3cret/%20word"
SIZE = (320, 240)


def scene(number: int, clock: str = "", size: tuple[int, int] = SIZE) -> bytes:
    """Return a picture of a camera as JPEG: one of a few views, with a clock burned in."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    if clock:
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 0, 159, 31), fill=(0, 0, 0))
        draw.text((4, 4), clock, fill=(255, 255, 255), font_size=24)
    return as_jpeg(np.asarray(image))


class HttpCamera:
    """A camera over HTTP.

    Attributes
    ----------
    picture
        Returns the next picture; None ends the connection.
    requests
        The path and the login of each request so far.
    """

    def __init__(self, picture: Callable[[], bytes | None], every_s: float = 0.02) -> None:
        self.picture = picture
        self.every_s = every_s
        self.requests: list[tuple[str, str]] = []
        self.login_wanted = False
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer((HOST, 0), self._handler())
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def url(self, path: str = "video", login: str = "") -> str:
        return f"http://{login and f'{login}@'}{HOST}:{self.port}/{path}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.requests.append((self.path, self.headers.get("Authorization", "")))
                camera.answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer a request: ``/video`` is MJPEG, ``/rubbish`` is none, and all else is a single picture."""
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.login_wanted and handler.headers.get("Authorization") != expected:
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="camera"')
            handler.end_headers()
            return
        if handler.path.startswith("/video"):
            self._stream(handler)
            return
        data = self.picture() or b""
        handler.send_response(200)
        handler.send_header("Content-Type", "image/jpeg")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _stream(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        handler.end_headers()
        try:
            while not self._ended.is_set() and (data := self.picture()) is not None:
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                handler.wfile.write(head.encode() + data + b"\r\n")
                self._ended.wait(self.every_s)
        except OSError:
            pass  # who watched is gone


_RTSP = """
import sys, gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
port, login, password, launch = sys.argv[1:]
server = GstRtspServer.RTSPServer(service=port, address="127.0.0.1")
factory = GstRtspServer.RTSPMediaFactory(launch=launch, shared=True)
if login:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(login, password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)
server.get_mount_points().add_factory("/stream", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""
_ENCODED = "x264enc tune=zerolatency key-int-max=15 ! rtph264pay name=pay0 pt=96"
_LIVE = "videotestsrc is-live=true pattern={} ! video/x-raw,width={},height={},framerate=15/1"
H264 = f"( {_LIVE.format('ball', *SIZE)} ! {_ENCODED} )"
CLOCK = (0, 0, 120, 40)
STILL_WITH_CLOCK = (
    f"( compositor name=both sink_1::zorder=2 ! {_ENCODED} "
    f"{_LIVE.format('circular', *SIZE)} ! both.sink_0 {_LIVE.format('snow', *CLOCK[2:])} ! both.sink_1 )"
)
"""A view in which nothing moves but a corner, which is another one in each frame."""


def rtsp_is_there() -> bool:
    """Return whether the system has GStreamer's RTSP server."""
    if not Path(SYSTEM_PYTHON).exists():
        return False
    script = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst; Gst.init(None)"
    script += "; import sys; sys.exit(not Gst.ElementFactory.find('x264enc'))"
    return subprocess.run([SYSTEM_PYTHON, "-c", script], capture_output=True, check=False).returncode == 0


class RtspCamera:
    """A camera over RTSP, which may be switched off and on."""

    def __init__(self, launch: str = H264, login: str = "", password: str = "") -> None:
        self.port = free_port()
        self._words = [str(self.port), login, password, launch]
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}/stream"

    def on(self) -> None:
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, "-c", _RTSP, *self._words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def off(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@contextmanager
def rtsp_camera(launch: str = H264, login: str = "", password: str = "") -> Iterator[RtspCamera]:
    """Run a camera; skip the test where the system has no server for it."""
    if not rtsp_is_there():
        pytest.skip("no RTSP server: Debian has it as gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-ugly")
    camera = RtspCamera(launch, login, password)
    try:
        camera.on()
        yield camera
    finally:
        camera.off()
