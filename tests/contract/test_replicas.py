"""A commit that has to be with a replica, and how Sentinel is named; on real servers."""

import itertools
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
import redis

from demo.services import RedisProgram, RedisServer
from neardup.errors import Misconfigured, RedisUnavailable
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.stored.connection import connect, masked, translated_errors
from neardup.index.stored.keys import IndexKeys
from neardup.types import Decision, Verdict
from tests.support.indexes import RedisBackend, point, query
from tests.support.processes import eventually
from tests.support.redis_sentinel import NAME, watched

pytestmark = pytest.mark.redis

ONE = RedisIndexOptions(replicas=1)


@contextmanager
def stopped(server: RedisServer) -> Iterator[None]:
    """Let a server stand still: connections to it stay."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def decide(index: RedisIndex) -> Decision:
    [decision] = index.decide([query("a", point(0))])
    return decision


def test_a_commit_counts_once_a_replica_has_it(redis_program: RedisProgram) -> None:
    with RedisServer(redis_program) as first, RedisServer(redis_program) as second:
        name = RedisBackend(first.url).make().meta.name
        with redis.Redis(*second.address) as replica:
            replica.replicaof(*first.address)
            eventually(lambda: replica.info("replication")["master_link_status"] == "up", "the replica in step")
        indexes = [RedisIndex(connect(first.url), name, options=ONE) for _ in range(2)]
        with stopped(second):
            # The second client finds it decided, and writes nothing of its own.
            for index in indexes:
                with pytest.raises(RedisUnavailable, match="of the 1 replicas of Redis that are waited for, 0 have"):
                    decide(index)
        assert [decide(index).verdict for index in indexes] == [Verdict.UNIQUE] * 2
        assert RedisIndex(connect(first.url), name).stats().members == 1


def test_a_primary_that_is_made_a_replica_while_it_is_waited_for_may_be_asked_again(
    redis_program: RedisProgram,
) -> None:
    with RedisServer(redis_program) as first, RedisServer(redis_program) as second:
        index = RedisIndex(connect(first.url), RedisBackend(first.url).make().meta.name, options=ONE)
        with redis.Redis(*first.address) as primary, ThreadPoolExecutor(1) as pool:
            decided = pool.submit(decide, index)
            eventually(lambda: primary.info("clients")["blocked_clients"] == 1 or decided.done(), "it waiting")
            primary.replicaof(*second.address)
            with pytest.raises(RedisUnavailable):
                decided.result()


def test_without_a_replica_there_is_nothing_to_wait_for(redis_program: RedisProgram) -> None:
    with RedisServer(redis_program) as server:
        name = RedisBackend(server.url).make().meta.name
        with pytest.raises(RedisUnavailable, match="0 have the latest"):
            decide(RedisIndex(connect(server.url), name, options=ONE))


def test_a_primary_that_lacks_replicas_in_step_is_waited_for(redis_program: RedisProgram) -> None:
    at_once = {"repl-diskless-sync-delay": "0"}
    with RedisServer(redis_program, at_once) as first, RedisServer(redis_program) as second:
        index = RedisBackend(first.url).make()
        with redis.Redis(*first.address) as primary, redis.Redis(*second.address) as replica:
            primary.config_set("min-replicas-to-write", 1)
            primary.config_set("min-replicas-max-lag", 2)
            with pytest.raises(RedisUnavailable, match="cannot serve right now: NOREPLICAS"):
                decide(index)
            replica.replicaof(*first.address)
            # Nothing of what was refused has been done.
            assert eventually(lambda: answered(index, "a"), "a replica in step").verdict is Verdict.UNIQUE
            with stopped(second):
                # Until it has lagged for so long, commits go on.
                numbers = itertools.count()
                eventually(lambda: answered(index, f"{next(numbers)}") is None, "it refusing")
            assert eventually(lambda: answered(index, "b"), "the replica in step again").verdict is Verdict.DUPLICATE
        assert index.stats().members == 1


def answered(index: RedisIndex, key: str) -> Decision | None:
    """Return the decision on an image, or None while Redis is away."""
    try:
        return index.decide([query(key, point(0))])[0]
    except RedisUnavailable:
        return None


def test_a_cluster_has_no_replicas_to_wait_for(redis_cluster_url: str) -> None:
    name = RedisBackend(redis_cluster_url).make().meta.name
    with pytest.raises(Misconfigured, match="Redis Cluster there is no waiting for replicas"):
        RedisIndex(connect(redis_cluster_url), name, options=ONE)


def test_sentinel_tells_where_the_primary_is(redis_program: RedisProgram) -> None:
    with watched(redis_program) as servers:
        index = RedisBackend(servers.url).make()
        assert decide(index).verdict is Verdict.UNIQUE
        with redis.Redis(*servers.first.address) as primary:
            assert primary.exists(IndexKeys(index.meta.name).live)
        other = servers.url.replace(NAME, "another")
        with pytest.raises(RedisUnavailable, match="No master found for 'another'"):
            RedisIndex(connect(other), index.meta.name)
        # These sentinels know of no such user.
        with pytest.raises(Misconfigured, match="the sentinels rejected the login of the URL"):
            RedisIndex(connect(f"{servers.url}?sentinel_username=nobody&sentinel_password=wrong"), index.meta.name)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://localhost:26379",
        "redis+sentinel://localhost:26379/",
        "redis+sentinel:///mymaster",
        "redis+sentinel://one,,two/mymaster",
    ],
)
def test_what_names_no_sentinel_or_no_primary(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"names sentinels and after them the primary: write redis\+sentinel://"):
        connect(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel://one:port/mymaster", "not a Redis URL"),
        ("redis+sentinel://one/mymaster?socket_timeout=soon", "its socket_timeout does not work"),
        (
            "redis+sentinel://one/mymaster?sentinel_name=a",
            "the parameter 'sentinel_name', which is none of: .*sentinel_user",
        ),
        ("redis://one?sentinel_password=a", "the parameter 'sentinel_password', which is none of: "),
        ("redis+sentinel://one/mymaster/first", "the number of a database"),
        ("redis+elsewhere://one", "not a Redis URL"),
    ],
)
def test_a_wrong_part_is_named(url: str, said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        connect(url)


def test_what_sentinels_do_not_know_is_told_in_a_short_line(redis_program: RedisProgram) -> None:
    with watched(redis_program) as servers, connect(servers.url.replace(NAME, "wrong")) as client:
        with pytest.raises(RedisUnavailable) as caught, translated_errors():
            client.ping()
        assert str(caught.value) == (
            "Redis: No master found for 'wrong': 1 sentinel did not answer, and no other knows a primary of that name "
            "that is up"
        )
        host, port = servers.sentinel.address
        alone = connect(f"redis+sentinel://{host}:{port}/wrong")
        with closing(alone), pytest.raises(RedisUnavailable) as caught, translated_errors():
            alone.ping()
        assert str(caught.value) == (
            "Redis: No master found for 'wrong': the sentinels know no primary of that name that is up"
        )


def test_passwords_of_sentinels_are_not_shown() -> None:
    url = "rediss+sentinel://user:secret@one:1,two:2/mymaster?sentinel_password=secret"
    assert masked(url) == "rediss+sentinel://user:***@one:1,two:2/mymaster?sentinel_password=***"
    assert "secret" not in masked("redis+sentinel://one,two/mymaster?sentinel_password=secret")
    connect(url).close()
