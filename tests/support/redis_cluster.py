"""A Redis Cluster of two nodes."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import redis

from demo.services import RedisProgram, RedisServer
from demo.services.process import free_port
from tests.support.processes import DEADLINE_S

_SLOTS = 16_384


@contextmanager
def two_nodes(program: RedisProgram) -> Iterator[str]:
    """Yield the URL of two nodes in cluster mode, with half of the slots each."""
    settings = {"cluster-enabled": "yes", "cluster-config-file": "nodes.conf", "cluster-node-timeout": "15000"}
    # By itself a node takes its port plus 10,000 for the others: among those that any connection may have been given.
    buses = [free_port() for _ in range(2)]
    with ExitStack() as stack:
        servers = [stack.enter_context(RedisServer(program, {**settings, "cluster-port": str(bus)})) for bus in buses]
        nodes = [stack.enter_context(redis.Redis(*server.address)) for server in servers]
        for number, node in enumerate(nodes):
            half = range(number * _SLOTS // 2, (number + 1) * _SLOTS // 2)
            _command(node, "CLUSTER ADDSLOTS", *half)
        _command(nodes[0], "CLUSTER MEET", *servers[1].address, buses[1])
        deadline_s = time.monotonic() + DEADLINE_S
        while not all(_agrees(node) for node in nodes):
            assert time.monotonic() < deadline_s, "the cluster does not come up"
            time.sleep(0.05)
        yield servers[0].url.replace("redis://", "redis+cluster://")


def _agrees(node: redis.Redis) -> bool:
    told = _command(node, "CLUSTER INFO")
    return bool(told["cluster_state"] == "ok" and told["cluster_known_nodes"] == "2")


def _command(node: redis.Redis, *words: object) -> Any:  # noqa: ANN401 - whatever Redis answers
    return node.execute_command(*words)  # type: ignore[no-untyped-call]
