"""Whether the service lives and is ready, asked over real HTTP."""

import http.client
import json
import socket
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from consumer.health import STALLED_AFTER_S, Health, HealthServer
from neardup.errors import Misconfigured
from tests.acceptance.processes import get


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


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/"])
def test_nothing_can_be_done_but_get(server: HealthServer, method: str, path: str) -> None:
    assert ask(server, path, method)[0] == 501


def test_the_server_does_not_tell_what_it_runs_on(server: HealthServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
        assert "Python" not in str(answer.headers)
    finally:
        connection.close()


def test_a_client_that_says_nothing_holds_up_nobody(server: HealthServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)):
        assert ask(server, "/healthz")[0] == 200


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
