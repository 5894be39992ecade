"""Whether the service lives and is ready, asked over real HTTP."""

import contextlib
import http.client
import json
import select
import socket
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from consumer.health import BUSY_AT_MOST_S, MAX_CONNECTIONS, MAX_REQUEST_BYTES, STALLED_AFTER_S, Health, HealthServer
from consumer.settings import ServiceSettings
from neardup.errors import Misconfigured, RedisUnavailable
from tests.support.processes import eventually, get


class Clock:
    """Time that passes when it is told to."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("things", "Things counted", registry=registry).inc(3)
    return registry


@pytest.fixture
def server(registry: CollectorRegistry, health: Health) -> Iterator[HealthServer]:
    with HealthServer("127.0.0.1", 0, registry, health) as server:
        yield server


def ask(server: HealthServer, path: str, method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def test_the_loop_lives_as_long_as_it_turns(health: Health, clock: Clock) -> None:
    assert health.liveness() == (True, "last turn 0.0 s ago")
    clock.now_s += STALLED_AFTER_S - 1
    assert health.liveness()[0]
    clock.now_s += 1
    assert health.liveness() == (False, f"last turn {STALLED_AFTER_S:.1f} s ago")
    health.turned()
    assert health.liveness()[0]


def test_a_loop_that_reads_the_index_may_stand(health: Health, clock: Clock) -> None:
    with health.busy():
        clock.now_s += 10 * STALLED_AFTER_S
        assert health.liveness() == (True, f"reads the index, since {10 * STALLED_AFTER_S:.1f} s")
    assert health.liveness() == (True, "last turn 0.0 s ago")
    with health.busy():
        clock.now_s += BUSY_AT_MOST_S
        assert not health.liveness()[0]


def test_a_loop_that_failed_to_read_the_index_may_stand_no_longer(health: Health, clock: Clock) -> None:
    with pytest.raises(RedisUnavailable), health.busy():
        raise RedisUnavailable("gone")
    clock.now_s += STALLED_AFTER_S
    assert not health.liveness()[0]


def test_readiness_says_what_is_missing(health: Health) -> None:
    assert health.readiness() == (False, "starting")
    health.ready()
    assert health.readiness() == (True, "ready")
    health.not_ready("redis is away")
    assert health.readiness() == (False, "redis is away")


def test_healthz_follows_liveness(server: HealthServer, clock: Clock) -> None:
    status, content_type, body = ask(server, "/healthz")
    assert (status, content_type) == (200, "application/json")
    assert json.loads(body) == {"ok": True, "detail": "last turn 0.0 s ago"}
    clock.now_s += STALLED_AFTER_S
    assert ask(server, "/healthz")[0] == 503


def test_readyz_follows_readiness(server: HealthServer, health: Health) -> None:
    status, _, body = ask(server, "/readyz?verbose")
    assert (status, json.loads(body)) == (503, {"ok": False, "detail": "starting"})
    health.ready()
    assert ask(server, "/readyz")[0] == 200


def test_metrics_are_prometheus_text(server: HealthServer) -> None:
    status, content_type, body = ask(server, "/metrics")
    assert status == 200
    assert content_type.startswith("text/plain; version=")
    assert "things_total 3.0" in body.splitlines()


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthz/x", "/../metrics", "/debug"])
def test_any_other_path_is_not_found(server: HealthServer, path: str) -> None:
    assert ask(server, path)[0] == 404


def answer_to(server: HealthServer, request: bytes) -> bytes:
    """Return all that comes back for what is no proper client's request."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "get", "PURGE"])
@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/"])
def test_nothing_can_be_done_but_get(server: HealthServer, method: str, path: str) -> None:
    answer = answer_to(server, f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert b"\r\nAllow: GET\r\n" in answer


@pytest.mark.parametrize("path", ["/healthz", "/nothing"])
def test_the_server_does_not_tell_what_it_runs_on(server: HealthServer, path: str) -> None:
    head = answer_to(server, f"GET {path} HTTP/1.1\r\n\r\n".encode()).partition(b"\r\n\r\n")[0]
    names = {line.partition(b":")[0] for line in head.split(b"\r\n")[1:]}
    assert names == {b"Content-Type", b"Content-Length", b"Cache-Control", b"X-Content-Type-Options", b"Connection"}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /healthz\r\n\r\n", 400),
        (b"GET /healthz HTTP/2\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xa5\x01\x00\r\n\r\n", 400),
        (b"GET /\xff\x00 HTTP/1.1\r\n\r\n", 404),
        (b"GET /" + b"a" * MAX_REQUEST_BYTES, 431),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_REQUEST_BYTES, 431),
        (b"GET / HTTP/1.1\r\n" + b"A: a\r\n" * MAX_REQUEST_BYTES, 431),
    ],
)
def test_what_is_no_request_is_refused_and_not_repeated(server: HealthServer, request_: bytes, status: int) -> None:
    try:
        answer = answer_to(server, request_)
    except ConnectionResetError:  # it was not read to its end
        assert status == 431
    else:
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()) or (status == 431 and not answer)
        assert b"aaaa" not in answer
        assert len(answer) < 300
    assert ask(server, "/healthz")[0] == 200


def test_clients_that_say_nothing_hold_up_nobody(server: HealthServer) -> None:
    with contextlib.ExitStack() as stack:
        mute = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            for _ in range(2 * MAX_CONNECTIONS)
        ]
        assert ask(server, "/healthz")[0] == 200
        # The oldest were closed for it: threads do not add up.
        assert mute[0].recv(1) == b""
        # A thread whose client was closed ends when it is next given the processor.
        eventually(lambda: _serving() <= MAX_CONNECTIONS + 1, "threads of closed connections to end")


def _serving() -> int:
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


def test_a_client_that_trickles_is_not_waited_for(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.health.REQUEST_TIMEOUT_S", 0.3)
    trickled = 0
    address = ("127.0.0.1", server.port)
    # Each byte would begin a timeout of its own anew.
    with socket.create_connection(address, timeout=30) as client, contextlib.suppress(ConnectionError):
        while select.select([client], [], [], 0.02)[0] == []:
            client.sendall(b"G")
            trickled += 1
            assert trickled < 1000, "it is waited for"
        assert client.recv(1) == b""
    assert ask(server, "/healthz")[0] == 200


def test_a_failure_of_ours_is_logged_without_the_client(
    server: HealthServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: CollectorRegistry) -> bytes:
        raise RuntimeError("broken collector")

    monkeypatch.setattr("consumer.health.generate_latest", broken)
    assert answer_to(server, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
    assert "broken collector" in caplog.text
    assert "127.0.0.1" not in caplog.text


def test_it_listens_on_this_machine_alone_unless_told_otherwise(registry: CollectorRegistry, health: Health) -> None:
    with HealthServer(ServiceSettings().metrics_host, 0, registry, health) as server:
        assert ask(server, "/healthz")[0] == 200
        # Another address of the loopback is this machine's, too, and nobody listens there.
        with (
            pytest.raises(OSError, match=r"refused|timed out"),
            socket.create_connection(("127.0.0.2", server.port), 10),
        ):
            pass


def test_a_port_in_use_is_a_wrong_setting(server: HealthServer, registry: CollectorRegistry, health: Health) -> None:
    with pytest.raises(Misconfigured, match=f"cannot serve metrics on 127.0.0.1:{server.port}"):
        HealthServer("127.0.0.1", server.port, registry, health)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "256.0.0.1", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_a_wrong_setting(host: str, registry: CollectorRegistry, health: Health) -> None:
    with pytest.raises(Misconfigured, match="cannot serve metrics"):
        HealthServer(host, 0, registry, health)


def test_the_port_is_free_again_afterwards(registry: CollectorRegistry, health: Health) -> None:
    with HealthServer("127.0.0.1", 0, registry, health) as first:
        port = first.port
    with HealthServer("127.0.0.1", port, registry, health):
        assert get(f"http://127.0.0.1:{port}/metrics")[0] == 200
