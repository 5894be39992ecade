"""Redis Clusters: primaries that share the slots, and replicas of the first ones."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from redis.crc import key_slot

from demo.services import RedisProgram, RedisServer
from demo.services.process import free_port
from neardup.index.stored.keys import IndexKeys
from tests.support.processes import eventually

_SLOTS = 16_384
VOTING = {"cluster-node-timeout": "1000", "cluster-replica-validity-factor": "0"}
"""Settings of a cluster that soon puts a replica in a dead primary's place, if it has three primaries to vote."""


_OF_A_NODE = {
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    "cluster-node-timeout": "15000",
    "repl-diskless-sync-delay": "0",
}


@dataclass(frozen=True)
class Cluster:
    """Its servers, and what clients are told of them.

    Attributes
    ----------
    primaries
        Who has slots at the start.
    replicas
        Of the first primaries, one each.
    """

    primaries: list[RedisServer]
    replicas: list[RedisServer]

    @property
    def nodes(self) -> list[RedisServer]:
        """All servers."""
        return [*self.primaries, *self.replicas]

    @property
    def url(self) -> str:
        """What a client is told: the first primary."""
        return cluster_url(self.primaries[0].address)

    @contextmanager
    def moving(self, key: str) -> Iterator[None]:
        """Have the slot of a key on its way from one of two primaries to the other; at the end it has moved."""
        slot = tell(self.primaries[0], "CLUSTER KEYSLOT", key)
        source, target = sorted(self.primaries, key=lambda node: -tell(node, "CLUSTER COUNTKEYSINSLOT", slot))
        told = {node: tell(node, "CLUSTER MYID").decode() for node in (target, source)}
        tell(target, "CLUSTER SETSLOT", slot, "IMPORTING", told[source])
        tell(source, "CLUSTER SETSLOT", slot, "MIGRATING", told[target])
        keys = tell(source, "CLUSTER GETKEYSINSLOT", slot, 1000)
        tell(source, "MIGRATE", *target.address, "", 0, 5000, "KEYS", *keys)
        yield
        for node in told:
            tell(node, "CLUSTER SETSLOT", slot, "NODE", told[target])


def cluster_url(address: tuple[str, int], login: str = "") -> str:
    """Return the URL of a cluster that has a node at an address."""
    host, port = address
    return f"redis+cluster://{login}{host}:{port}/0"


@contextmanager
def two_nodes(program: RedisProgram) -> Iterator[str]:
    """Yield the URL of two nodes in cluster mode, with half of the slots each."""
    with running_cluster(program) as cluster:
        yield cluster.url


@contextmanager
def running_cluster(
    program: RedisProgram, primaries: int = 2, replicas: int = 0, settings: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """Yield a cluster that is up, with its replicas in step."""
    given = {**_OF_A_NODE, **(settings or {})}
    # By itself a node takes its port plus 10,000 for the others: among those that any connection may have been given.
    buses = [free_port() for _ in range(primaries + replicas)]
    with ExitStack() as stack:
        servers = [stack.enter_context(RedisServer(program, {**given, "cluster-port": str(bus)})) for bus in buses]
        nodes = [stack.enter_context(redis.Redis(*server.address)) for server in servers]
        for number, node in enumerate(nodes[:primaries]):
            part = range(number * _SLOTS // primaries, (number + 1) * _SLOTS // primaries)
            _told(node, "CLUSTER ADDSLOTS", *part)
        for server, bus in zip(servers[1:], buses[1:], strict=True):
            _told(nodes[0], "CLUSTER MEET", *server.address, bus)
        eventually(lambda: all(_agrees(node, len(nodes)) for node in nodes), "the cluster")
        for node, primary in zip(nodes[primaries:], nodes, strict=False):
            _told(node, "CLUSTER REPLICATE", _told(primary, "CLUSTER MYID").decode())
        for primary, replica in zip(servers, servers[primaries:], strict=False):
            await_step(primary, replica)
        yield Cluster(servers[:primaries], servers[primaries:])


@contextmanager
def joined(program: RedisProgram, cluster: Cluster) -> Iterator[RedisServer]:
    """Yield a node that has joined a cluster, and has no slot yet."""
    bus = free_port()
    with RedisServer(program, {**_OF_A_NODE, "cluster-port": str(bus)}) as newcomer:
        tell(cluster.primaries[0], "CLUSTER MEET", *newcomer.address, bus)
        every = [*cluster.nodes, newcomer]
        with ExitStack() as stack:
            nodes = [stack.enter_context(redis.Redis(*server.address)) for server in every]
            eventually(lambda: all(_agrees(node, len(every)) for node in nodes), "the node in the cluster")
        yield newcomer


def await_step(primary: RedisServer, replica: RedisServer) -> None:
    """Wait until a replica has heard all that its primary was told."""

    def in_step() -> bool:
        there, here = (_replication(server) for server in (primary, replica))
        return bool(here.get("master_link_status") == "up" and there["master_repl_offset"] == here["slave_repl_offset"])

    eventually(in_step, "the replica in step")


def _replication(server: RedisServer) -> Any:  # noqa: ANN401 - values of several types
    with redis.Redis(*server.address) as node:
        return node.info("replication")


def _agrees(node: redis.Redis, nodes: int) -> bool:
    told = _told(node, "CLUSTER INFO")
    return bool(told["cluster_state"] == "ok" and told["cluster_known_nodes"] == str(nodes))


def name_at(node: RedisServer) -> str:
    """Return the name of an index whose keys would lie on a primary that has been there from the start."""
    [(first, last)] = [part[:2] for part in tell(node, "CLUSTER SLOTS") if part[2][1] == node.address[1]]
    names = (f"at-{number}" for number in itertools.count())
    return next(name for name in names if first <= key_slot(IndexKeys(name).live.encode()) <= last)


def tell(server: RedisServer, *words: object) -> Any:  # noqa: ANN401 - whatever Redis answers
    """Have one node run a command as its administrator, and return the answer."""
    with redis.Redis(*server.address) as node:
        return _told(node, *words)


def _told(node: redis.Redis, *words: object) -> Any:  # noqa: ANN401 - as above
    return node.execute_command(*words)  # type: ignore[no-untyped-call]
