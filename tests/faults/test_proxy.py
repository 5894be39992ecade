"""The proxy does what it says: seen by a socket that talks to an echo."""

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.support.proxy import FaultProxy

SHORT_S = 0.2
LONG_S = 20.0


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield ("127.0.0.1", server.server_address[1])
        server.shutdown()


@pytest.fixture
def proxy(echo: tuple[str, int]) -> Iterator[FaultProxy]:
    with FaultProxy(echo) as between:
        yield between


def connected(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(proxy.address, LONG_S)


def received(client: socket.socket, size: int) -> bytes:
    """Return so many bytes, or what came before the end."""
    got = b""
    while len(got) < size and (more := client.recv(size - len(got))):
        got += more
    return got


def has_ended(client: socket.socket) -> bool:
    try:
        return not client.recv(1)
    except ConnectionError:
        return True


def test_bytes_pass_both_ways(proxy: FaultProxy) -> None:
    with connected(proxy) as client:
        client.sendall(b"x" * 200_000)
        assert received(client, 200_000) == b"x" * 200_000


def test_a_stall_holds_bytes_and_loses_none(proxy: FaultProxy) -> None:
    with connected(proxy) as client:
        proxy.stall()
        client.sendall(b"held")
        client.settimeout(SHORT_S)
        with pytest.raises(TimeoutError):
            client.recv(4)
        proxy.resume()
        client.settimeout(LONG_S)
        assert received(client, 4) == b"held"


def test_a_cut_ends_connections_and_takes_new_ones(proxy: FaultProxy) -> None:
    with connected(proxy) as client:
        client.sendall(b"a")
        assert received(client, 1) == b"a"
        proxy.cut()
        assert has_ended(client)
    with connected(proxy) as client:
        client.sendall(b"b")
        assert received(client, 1) == b"b"


def test_replies_are_cut_after_so_many_bytes_so_many_times(proxy: FaultProxy) -> None:
    proxy.cut_replies(3, times=2)
    for _ in range(2):
        with connected(proxy) as client:
            client.sendall(b"0123456789")
            assert received(client, 10) == b"012"
    assert proxy.cuts_left == 0
    with connected(proxy) as client:
        client.sendall(b"0123456789")
        assert received(client, 10) == b"0123456789"


def test_who_is_refused_is_welcome_later(proxy: FaultProxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    proxy.listen()
    with connected(proxy) as client:
        client.sendall(b"a")
        assert received(client, 1) == b"a"


def test_a_server_that_is_away_ends_the_connection(proxy: FaultProxy) -> None:
    proxy.target = ("127.0.0.1", 1)
    with connected(proxy) as client:
        assert has_ended(client)


def test_latency_and_rate_slow_replies_down(echo: tuple[str, int]) -> None:
    paused_s: list[float] = []

    async def pause(seconds: float) -> None:
        paused_s.append(seconds)

    with FaultProxy(echo, pause) as proxy, connected(proxy) as client:
        proxy.latency_s = 0.1
        client.sendall(b"a")
        received(client, 1)
        assert paused_s == [0.1, 0.1]
        paused_s.clear()
        proxy.latency_s, proxy.bytes_per_s = 0.0, 10_000.0
        client.sendall(bytes(2_000))
        received(client, 2_000)
        assert sum(paused_s) == pytest.approx(0.2)
