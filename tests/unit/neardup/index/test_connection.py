"""What is asked of a server, or of each primary of a cluster."""

from typing import Any

import pytest
from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError

from neardup.errors import Misconfigured, RedisUnavailable
from neardup.index.stored.connection import connect, require_no_eviction, run_of, translated_errors
from neardup.secrets import FileSecret

INFO: dict[str, dict[str, object]] = {
    "server": {"run_id": "run 1", "hz": 10},
    "replication": {"master_replid": "history 1", "role": "master"},
    "memory": {"maxmemory": 100, "maxmemory_policy": "allkeys-lru"},
}


class Server:
    """A single server."""

    def __init__(self, info: dict[str, dict[str, object]]) -> None:
        self._info = info

    def info(self, section: str) -> dict[str, object]:
        return self._info[section]


class Primaries(RedisCluster):
    """A cluster, which answers as redis-py's does."""

    def __init__(self, count: int) -> None:
        self._count = count

    def info(self, section: str | None = None, *args: str, **kwargs: object) -> dict[str, Any]:
        assert (args, kwargs) == ((), {"target_nodes": RedisCluster.PRIMARIES})
        told = INFO[section or ""]
        return told if self._count == 1 else {f"node {node}": told for node in range(self._count)}

    def __del__(self) -> None:
        """There is nothing to close."""


def test_a_server_that_was_a_replica_meanwhile_has_another_history() -> None:
    before = run_of(Server(INFO))
    assert "run 1" in before
    assert run_of(Server(INFO)) == before
    assert run_of(Server({**INFO, "replication": {"master_replid": "history 2"}})) != before
    assert run_of(Server({**INFO, "server": {"run_id": "run 2"}})) != before


@pytest.mark.parametrize("count", [1, 3])
def test_a_cluster_is_asked_at_each_primary_however_few(count: int) -> None:
    client: Any = Primaries(count)
    assert run_of(client) == " ".join(["history 1"] * count + ["run 1"] * count)
    with pytest.raises(Misconfigured, match="allkeys-lru"):
        require_no_eviction(client)


@pytest.mark.parametrize(
    ("url", "where", "user"),
    [
        ("unix:///run/redis.sock", {"path": "/run/redis.sock"}, None),
        ("unix:///run/redis.sock?db=2&username=a", {"path": "/run/redis.sock", "db": 2}, "a"),
        (
            "redis://a%40b@redis:6380/1?client_name=c",
            {"host": "redis", "port": 6380, "db": 1, "client_name": "c"},
            "a@b",
        ),
        ("redis://redis?username=a&username=b", {"host": "redis"}, "a"),
    ],
)
def test_a_password_from_a_file_goes_with_every_url(url: str, where: dict[str, object], user: str | None) -> None:
    pool: Any = connect(url, FileSecret("secret", "/nowhere")).connection_pool
    options = pool.connection_kwargs
    assert {name: options.get(name) for name in where} == where
    assert options["credential_provider"].get_credentials() == ((user, "secret") if user else ("secret",))


def test_a_server_that_took_over_within_an_attempt_is_asked_again() -> None:
    with pytest.raises(RedisUnavailable, match="cannot serve right now"), translated_errors():
        raise NoScriptError("No matching script.")
