"""Real https hosts of a test's own: what they answer stands in a function."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.certificates import Authority


class Answer(BaseHTTPRequestHandler):
    """What a page may use to answer: http.server's own methods, and `reply`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def reply(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        """Answer with a body and its length; underscores in names of headers are hyphens."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Note the request, and let the page answer."""
        assert isinstance(self.server, _Server)
        host = self.server.host
        host.requests.append((self.path, dict(self.headers)))
        page = host.pages.get(self.path.partition("?")[0])
        if page is None:
            self.reply(b"", 404)
        else:
            page(self)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


Page = Callable[[Answer], None]


@dataclass
class Host:
    """A running host.

    Attributes
    ----------
    url
        By its name: ``https://NAME:PORT``.
    port
        Its port.
    pages
        What answers which path.
    requests
        Path and headers of all requests so far.
    connections
        How many there have been.
    stopped
        Set when it ends: pages that dawdle wait on it.
    """

    url: str
    port: int
    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    connections: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    host: Host
    tls: ssl.SSLContext

    def get_request(self) -> tuple[socket.socket, object]:
        self.host.connections += 1
        return super().get_request()

    def finish_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        # In the connection's own thread: who does not shake hands holds up nobody else.
        with self.tls.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients that refuse hang up."""


@contextmanager
def https_host(folder: Path, authority: Authority, name: str, address: str = "127.0.0.1") -> Iterator[Host]:
    """Run a host with a certificate for its name, or for its address if that is its name."""
    made = authority.issue(f"host-{name}", name)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made.certificate, made.key)
    assert folder.exists()
    server = _Server((address, 0), Answer)
    server.tls = tls
    server.host = host = Host(f"https://{name}:{server.server_port}", server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        host.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port(address: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on."""
    with closing(socket.create_server((address, 0))) as listening:
        port: int = listening.getsockname()[1]
        return port
