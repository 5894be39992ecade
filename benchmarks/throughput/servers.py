"""A Kafka and a Redis for one run: their CPU time is part of what is measured, so nobody else uses them."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from kafka.admin import KafkaAdminClient, NewTopic

from demo.services import KafkaServer, RedisServer, ServiceUnavailable, find_kafka_program, find_redis_program
from neardup.index.stored.connection import connect
from neardup.index.stored.keys import IndexKeys

LARGEST_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Servers:
    """Where they listen, and the broker's process; None where somebody else runs it."""

    kafka: str
    redis_url: str
    kafka_pid: int | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """Topics, group and index of one run."""

    topic: str
    verdicts: str
    dead_letters: str
    group: str
    index: str

    @property
    def topics(self) -> list[str]:
        """All of them."""
        return [self.topic, self.verdicts, self.dead_letters]


def new_names() -> Names:
    """Return names that nobody else has."""
    run = secrets.token_hex(4)
    return Names(f"images-{run}", f"verdicts-{run}", f"dead-{run}", f"group-{run}", f"throughput-{run}")


@contextmanager
def own_servers() -> Iterator[Servers]:
    """Start both, and end them afterwards."""
    with ExitStack() as stack:
        try:
            kafka = stack.enter_context(KafkaServer(find_kafka_program(os.environ, _say)))
            redis = stack.enter_context(RedisServer(find_redis_program(os.environ, _say)))
        except ServiceUnavailable as error:
            sys.exit(f"nothing can be measured without both servers: {error}")
        yield Servers(kafka.bootstrap_servers, redis.url, kafka.pid)


@contextmanager
def topics(address: str, names: list[str], partitions: int = 1) -> Iterator[None]:
    """Give new topics, the first of so many partitions and the others of one, and delete them afterwards."""
    with KafkaAdminClient(bootstrap_servers=address) as admin:
        admin.create_topics([NewTopic(name, 1 if number else partitions, 1) for number, name in enumerate(names)])
        try:
            yield
        finally:
            admin.delete_topics(names)


@contextmanager
def removed_afterwards(redis_url: str, index: str) -> Iterator[None]:
    """Remove all keys of an index afterwards."""
    try:
        yield
    finally:
        client = connect(redis_url)
        for key in list(client.scan_iter(match=IndexKeys(index).pattern, count=1000)):
            client.unlink(key)


def redis_cpu_s(redis_url: str) -> float:
    """Return the CPU seconds of Redis, which counts them finer than the kernel tells."""
    with connect(redis_url) as client:
        told = client.info("cpu")
    return float(told["used_cpu_user"] + told["used_cpu_sys"])


def bytes_kept(redis_url: str, index: str) -> tuple[float, float]:
    """Return the bytes in Redis of a member and of a decision of an index, keys included."""
    client = connect(redis_url)
    members = member_bytes = decisions = decision_bytes = 0
    for key in client.scan_iter(match=IndexKeys(index).pattern, count=1000):
        if b":cell:" in key:
            members += client.llen(key)
            member_bytes += client.memory_usage(key, samples=0) or 0
        elif b":decided:" in key:
            decisions += 1
            decision_bytes += client.memory_usage(key) or 0
    return member_bytes / max(1, members), decision_bytes / max(1, decisions)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
