"""A primary and a replica that a Redis Sentinel watches over."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import redis

from demo.services import RedisProgram, RedisServer
from tests.support.processes import eventually

NAME = "photos-primary"
_UNSEEN_MS = 500
"""For so long the primary does not answer before the sentinel calls it down."""
LASTING = {"appendonly": "yes", "appendfsync": "always"}


class SentinelServer(RedisServer):
    """A Redis in the mode of a sentinel, alone in its vote.

    Parameters
    ----------
    program
        What to run.
    primary
        What it watches over.
    password
        Of the primary; None where it lets in anybody.
    """

    def __init__(self, program: RedisProgram, primary: RedisServer, password: str | None = None) -> None:
        super().__init__(program)
        host, port = primary.address
        self._settings = {
            "port": str(self.address[1]),
            "bind": host,
            "dir": f'"{self.folder}"',
            "sentinel monitor": f"{NAME} {host} {port} 1",
            "sentinel down-after-milliseconds": f"{NAME} {_UNSEEN_MS}",
            "sentinel failover-timeout": f"{NAME} 5000",
            **({} if password is None else {"sentinel auth-pass": f"{NAME} {password}"}),
        }

    def _command(self) -> list[str]:
        return [*super()._command(), "--sentinel"]


@dataclass(frozen=True)
class Watched:
    """The servers, and what clients are told of them.

    Attributes
    ----------
    first, second
        The primary at the start, and its replica.
    sentinel
        Watches over both.
    """

    first: RedisServer
    second: RedisServer
    sentinel: SentinelServer

    @property
    def url(self) -> str:
        """What a client is told: the first sentinel of it is away."""
        host, port = self.sentinel.address
        return f"redis+sentinel://127.0.0.1:1,{host}:{port}/{NAME}/0"


@contextmanager
def watched(program: RedisProgram) -> Iterator[Watched]:
    """Yield a primary and a replica that is in step, and a sentinel that knows both."""
    with ExitStack() as stack:
        first, second = (stack.enter_context(RedisServer(program, LASTING)) for _ in range(2))
        replica = stack.enter_context(redis.Redis(*second.address))
        replica.replicaof(*first.address)
        eventually(lambda: replica.info("replication")["master_link_status"] == "up", "the replica in step")
        sentinel = stack.enter_context(SentinelServer(program, first))
        asked = stack.enter_context(redis.Redis(*sentinel.address))
        eventually(lambda: asked.sentinel_masters()[NAME]["num-slaves"] == 1, "the sentinel knowing the replica")
        yield Watched(first, second, sentinel)
