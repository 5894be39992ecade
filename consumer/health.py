"""Whether the service is alive and ready, and the small HTTP server that says so.

Not `http.server`, which reads megabytes of headers, restarts its timeout at each byte, and reveals its version.
"""

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from socketserver import BaseRequestHandler, ThreadingTCPServer
from types import TracebackType
from typing import Any, Protocol, Self

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from neardup.errors import Misconfigured

STALLED_AFTER_S = 120.0
"""If the loop has not turned for this long, the process is stuck: nothing takes longer, but what is `busy`."""
BUSY_AT_MOST_S = 3600.0
"""The same for the reading of an index, by its size: a hundred million members take minutes."""
REQUEST_TIMEOUT_S = 5.0
"""For reading the whole request, and again for the response; a scrape takes milliseconds."""
MAX_REQUEST_BYTES = 8192
"""For the request line and all headers; Prometheus sends 300."""
MAX_CONNECTIONS = 32
"""Above it the oldest is closed: idle clients must not block a health check."""

_log = logging.getLogger(__name__)


class Health:
    """The state that the loop reports.

    Parameters
    ----------
    monotonic
        Clock in seconds.

    Attributes
    ----------
    last_turn_s
        When the loop last turned, by that clock.
    missing
        Why no images are judged, in words that anybody may see; empty when they are.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.last_turn_s = monotonic()
        self.missing = "starting"
        self._is_busy = False

    def turned(self) -> None:
        """Note that the loop has turned."""
        self.last_turn_s = self._monotonic()

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Say meanwhile that the loop stands for good reason: with what takes long, and ends by itself."""
        self.turned()
        self._is_busy = True
        try:
            yield
        finally:
            self.turned()
            self._is_busy = False

    def ready(self) -> None:
        """Note that both servers were reached and the index is loaded."""
        self.missing = ""

    def not_ready(self, why: str) -> None:
        """Note what is missing, in words that anybody may see."""
        self.missing = why

    def liveness(self) -> tuple[bool, str]:
        """Return whether the loop turns, and how long ago it last did."""
        is_busy = self._is_busy  # before the time: another thread may end it
        idle_s = self._monotonic() - self.last_turn_s
        if is_busy:
            return idle_s < BUSY_AT_MOST_S, f"reads the index, since {idle_s:.1f} s"
        return idle_s < STALLED_AFTER_S, f"last turn {idle_s:.1f} s ago"

    def readiness(self) -> tuple[bool, str]:
        """Return whether images are being judged, and what is missing if not."""
        return not self.missing, self.missing or "ready"


class State(Protocol):
    """What is asked about: a `Health`, or those of several workers."""

    def liveness(self) -> tuple[bool, str]:
        """See `Health`."""

    def readiness(self) -> tuple[bool, str]:
        """See `Health`."""


class HealthServer:
    """Serves ``/metrics``, ``/healthz`` and ``/readyz``, by GET only, on its own threads.

    Parameters
    ----------
    host, port
        Where it listens; port 0 takes a free one.
    registry
        The metrics to serve.
    health
        The state to serve.

    Raises
    ------
    Misconfigured
        It cannot listen on this address.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: State) -> None:
        try:
            self._server = _Server((host, port), _Pages(registry, health))
        except (OSError, OverflowError) as exc:
            raise Misconfigured(f"cannot serve metrics on {host}:{port}: {exc}") from exc
        self._host = host
        # Checks this often whether to stop; a shutdown waits for it.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="health", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        _log.info("serving /metrics, /healthz and /readyz on http://%s:%d", self._host, self.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Pages:
    """The response for each path."""

    def __init__(self, registry: CollectorRegistry, health: State) -> None:
        self._registry = registry
        self._health = health

    def answer(self, path: str) -> bytes:
        """Return the whole response to a GET."""
        if path == "/metrics":
            return _answer(HTTPStatus.OK, generate_latest(self._registry), CONTENT_TYPE_LATEST)
        if path == "/healthz":
            return _state(*self._health.liveness())
        if path == "/readyz":
            return _state(*self._health.readiness())
        return _answer(HTTPStatus.NOT_FOUND, b"try /metrics, /healthz or /readyz\n")


class _Server(ThreadingTCPServer):
    """Gives each connection a thread, and closes the oldest when there are too many."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int], pages: _Pages) -> None:
        self.pages = pages
        self._open: dict[int, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base class's own
        """Close the oldest connection if there are too many, and serve this one on a thread."""
        with self._lock:
            self._open[id(request)] = request
            oldest = next(iter(self._open)) if len(self._open) > MAX_CONNECTIONS else None
            if oldest is not None:
                with contextlib.suppress(OSError):  # it may have ended meanwhile
                    self._open.pop(oldest).shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as above
        """Close a served connection."""
        with self._lock:
            self._open.pop(id(request), None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002 - as above
        """Log our own fault; the base class would print the client's address."""
        _log.exception("a request to the metrics port was not answered")


class _Handler(BaseRequestHandler):
    """Answers one request, then closes the connection."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        """Read one request and answer it."""
        with contextlib.suppress(OSError):  # too slow, or gone
            answer = self._answer_to(self._read())
            self.request.settimeout(REQUEST_TIMEOUT_S)
            self.request.sendall(answer)

    def _read(self) -> bytes:
        """Return a request to the end of its headers, or as much of it as is allowed."""
        received = b""
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        while b"\r\n\r\n" not in received and len(received) <= MAX_REQUEST_BYTES:
            self.request.settimeout(max(0.001, deadline - time.monotonic()))
            more = self.request.recv(MAX_REQUEST_BYTES)
            if not more:
                raise ConnectionError("the client left")
            received += more
        return received

    def _answer_to(self, request: bytes) -> bytes:
        line, end, _ = request.partition(b"\r\n")
        words = line.split(b" ")
        if not end or len(request) > MAX_REQUEST_BYTES:
            return _answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, b"a GET needs no more than a few headers\n")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):  # noqa: PLR2004 - method, path, version
            return _answer(HTTPStatus.BAD_REQUEST, b"not an HTTP/1 request\n")
        if words[0] != b"GET":
            return _answer(HTTPStatus.METHOD_NOT_ALLOWED, b"GET only\n", more="Allow: GET\r\n")
        return self.server.pages.answer(words[1].partition(b"?")[0].decode("latin-1"))


def _state(good: bool, detail: str) -> bytes:  # noqa: FBT001 - as `liveness` and `readiness` return it
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return _answer(status, json.dumps({"ok": good, "detail": detail}).encode(), "application/json")


def _answer(status: HTTPStatus, body: bytes, content_type: str = "text/plain", *, more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{more}Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
