"""Whether the service lives and is ready, and the small HTTP server that tells."""

import json
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from neardup.errors import Misconfigured

STALLED_AFTER_S = 120.0
"""Without a turn of the loop for this long the process is stuck: longer than any wait that the loop allows itself."""


class Health:
    """What the loop says of itself.

    Parameters
    ----------
    monotonic
        Clock in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last_turn = monotonic()
        self._not_ready = "starting"

    def turned(self) -> None:
        """Say that the loop turns."""
        self._last_turn = self._monotonic()

    def ready(self) -> None:
        """Say that both servers were reached and the index is loaded."""
        self._not_ready = ""

    def not_ready(self, why: str) -> None:
        """Say what is missing; in words that may be shown to anybody."""
        self._not_ready = why

    def liveness(self) -> tuple[bool, str]:
        """Return whether the loop turns, and a word on it."""
        idle_s = self._monotonic() - self._last_turn
        return idle_s < STALLED_AFTER_S, f"last turn {idle_s:.1f} s ago"

    def readiness(self) -> tuple[bool, str]:
        """Return whether images are being judged, and what is missing if not."""
        return not self._not_ready, self._not_ready or "ready"


class HealthServer:
    """Serves ``/metrics``, ``/healthz`` and ``/readyz``, by GET only, on a thread of its own.

    Parameters
    ----------
    host, port
        Where it listens; port 0 takes a free one.
    registry
        Whose metrics are shown.
    health
        What the loop says.

    Raises
    ------
    Misconfigured
        The address cannot be listened on.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(registry, health))
        except (OSError, OverflowError) as exc:
            raise Misconfigured(f"cannot serve metrics on {host}:{port}: {exc}") from exc
        self._server.daemon_threads = True
        # Looks this often whether it is to end: a shutdown waits for it.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="health", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(registry: CollectorRegistry, health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "neardup"
        sys_version = ""
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._send(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif path == "/healthz":
                self._send_state(*health.liveness())
            elif path == "/readyz":
                self._send_state(*health.readiness())
            else:
                self._send(HTTPStatus.NOT_FOUND, "text/plain", b"try /metrics, /healthz or /readyz\n")

        def _send_state(self, good: bool, detail: str) -> None:  # noqa: FBT001 - what the two questions answer
            status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
            self._send(status, "application/json", json.dumps({"ok": good, "detail": detail}).encode())

        def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
            """Log no scrapes."""

    return Handler
