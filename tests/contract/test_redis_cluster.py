"""A Redis Cluster that refuses its client, moves, or loses a node; on real servers."""

from collections.abc import Iterator

import pytest

from demo.services import RedisProgram, RedisServer
from neardup.errors import Misconfigured, RedisUnavailable
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect
from neardup.index.stored.keys import IndexKeys
from neardup.types import Decision, Verdict
from tests.support.indexes import RedisBackend, build_generation, member, new_name, point, query
from tests.support.processes import eventually
from tests.support.proxy import FaultProxy
from tests.support.redis_cluster import (
    VOTING,
    Cluster,
    await_step,
    cluster_url,
    joined,
    name_at,
    running_cluster,
    tell,
)

pytestmark = pytest.mark.redis

USERS = {
    "user judge": "on >right ~* &* +@all",
    "user stranger": "on >right ~* &* +@all -cluster",
    "user newcomer": "on >right ~* &* +@all -command",
}
WRONG = "Redis rejected the client: invalid username-password pair"
LACKS = "Redis rejected the client: .*no permissions to run the '{}' command"


@pytest.fixture(scope="module")
def guarded(redis_program: RedisProgram) -> Iterator[Cluster]:
    """Give a cluster with some users."""
    with running_cluster(redis_program, settings=USERS) as cluster:
        yield cluster


def decided(index: RedisIndex, key: str, cell: int) -> Decision:
    """Return the decision on an image once there is one; nothing but an outage may keep it away."""

    def answer() -> list[Decision]:
        try:
            return index.decide([query(key, point(cell))])
        except RedisUnavailable:
            return []

    return eventually(answer, "a decision")[0]


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ("judge:wrong@", WRONG),
        ("nobody:right@", WRONG),
        ("stranger:right@", LACKS.format("cluster.slots")),
        ("newcomer:right@", LACKS.format("command")),
    ],
)
def test_who_is_refused_is_told_why(guarded: Cluster, login: str, said: str) -> None:
    with pytest.raises(Misconfigured, match=said) as caught:
        connect(cluster_url(guarded.primaries[0].address, login))
    assert "wrong" not in str(caught.value)


def test_a_cluster_that_wants_a_password(redis_program: RedisProgram) -> None:
    with running_cluster(redis_program, settings=USERS) as cluster:
        for node in cluster.nodes:
            tell(node, "ACL SETUSER", "default", "resetpass", ">right")
        with pytest.raises(Misconfigured, match="it requires a password, and none was given"):
            connect(cluster.url)


def test_a_password_that_changes_under_a_client_is_no_outage(guarded: Cluster) -> None:
    index = RedisBackend(cluster_url(guarded.primaries[0].address, "judge:right@")).make()
    assert decided(index, "a", 0).verdict is Verdict.UNIQUE
    for node in guarded.nodes:
        tell(node, "ACL SETUSER", "judge", "resetpass", ">another")
        tell(node, "CLIENT KILL", "USER", "judge")
    try:
        with pytest.raises(Misconfigured, match=WRONG):
            index.decide([query("b", point(0))])
    finally:
        for node in guarded.nodes:
            tell(node, "ACL SETUSER", "judge", "resetpass", ">right")


def test_a_server_that_is_in_no_cluster(redis_program: RedisProgram) -> None:
    with RedisServer(redis_program) as server, pytest.raises(Misconfigured, match="cluster support disabled"):
        connect(cluster_url(server.address))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+cluster://one/1", "a URL for a Redis Cluster has no number of a database"),
        ("redis+cluster://one?db=1", "a URL for a Redis Cluster has no number of a database"),
        ("rediss+cluster://one?ssl_cert_reqs=maybe", "a value that does not work: .*: maybe"),
        ("redis+cluster://one?socket_timeout=soon", "its socket_timeout does not work"),
        ("unix+cluster:///run/redis.sock", "not a Redis URL: .*: after redis or rediss and a plus"),
        ("unix+sentinel:///run/redis.sock", "not a Redis URL: .*: after redis or rediss and a plus"),
    ],
)
def test_what_is_no_url_of_a_cluster(url: str, said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        connect(url)


def test_nodes_that_were_all_replaced_are_found_by_the_name_in_the_url(redis_program: RedisProgram) -> None:
    photos = new_name()
    with running_cluster(redis_program) as first, running_cluster(redis_program) as second:
        for cluster in (first, second):
            with connect(cluster.url) as client:
                build_generation(client, photos, members=[member("s", point(0))])
        # The proxy is what a name is in a network.
        with FaultProxy(first.primaries[0].address) as name:
            index = RedisIndex(connect(cluster_url(name.address)), photos)
            assert decided(index, "a", 1).verdict is Verdict.UNIQUE
            for node in first.nodes:
                node.kill()
            with pytest.raises(RedisUnavailable, match="does not answer"):
                index.decide([query("b", point(0))])
            name.target = second.primaries[0].address
            assert decided(index, "b", 0).duplicate_of == "id of s"
            # There is no such member now.
            assert decided(index, "c", 1).verdict is Verdict.UNIQUE


def test_a_primary_that_dies_is_replaced_by_its_replica(redis_program: RedisProgram) -> None:
    with running_cluster(redis_program, primaries=3, replicas=1, settings=VOTING) as cluster:
        primary, [replica] = cluster.primaries[0], cluster.replicas
        name = name_at(primary)
        with connect(cluster.url) as client:
            build_generation(client, name)
        index = RedisIndex(connect(cluster.url), name)
        assert decided(index, "a", 0).verdict is Verdict.UNIQUE
        await_step(primary, replica)
        primary.kill()
        with pytest.raises(RedisUnavailable, match="does not answer"):
            index.decide([query("b", point(0))])
        assert decided(index, "b", 0).duplicate_of == "id of a"
        assert tell(replica, "ROLE")[0] == b"master"
        # What was the primary comes back as a replica, and is one that may take over in its turn.
        primary.start()
        await_step(replica, primary)
        replica.kill()
        assert decided(index, "c", 0).duplicate_of == "id of a"


def test_a_slot_that_moves_to_a_new_node_is_an_outage_that_passes(redis_program: RedisProgram) -> None:
    with running_cluster(redis_program, primaries=1) as cluster, joined(redis_program, cluster) as newcomer:
        index = RedisBackend(cluster.url).make()
        assert decided(index, "a", 0).verdict is Verdict.UNIQUE
        both = Cluster([*cluster.primaries, newcomer], [])
        with both.moving(IndexKeys(index.meta.name).live), pytest.raises(RedisUnavailable):
            index.decide([query("b", point(0))])
        assert decided(index, "b", 0).verdict is Verdict.DUPLICATE
        assert tell(newcomer, "DBSIZE") > 0
