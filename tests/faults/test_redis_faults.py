"""Redis fails in every way it can, under a consumer that runs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import pytest
import redis

from demo.services import RedisProgram, RedisServer
from neardup.index.stored.keys import IndexKeys
from tests.support.harness import audit, fatal_line, lines_of, outage
from tests.support.processes import eventually, photo
from tests.support.proxy import FaultProxy
from tests.support.stage import Service, Stage, bootstrap, fresh, seed_folder

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]

INDEX = "faults"
LASTING = {"appendonly": "yes", "appendfsync": "always"}
TIMEOUT = "socket_timeout=0.5&socket_connect_timeout=0.5"
"""A tenth of the timeouts that a consumer has by itself: a stall of three seconds is as one of thirty."""


@pytest.fixture(scope="module")
def server(redis_program: RedisProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a Redis with an index; tests leave it as it was."""
    with RedisServer(redis_program, LASTING) as running:
        bootstrap(seed_folder(tmp_path_factory.mktemp("redis-faults") / "seeds"), running.url, INDEX)
        yield running


@pytest.fixture(scope="module")
def proxy(server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.address) as between:
        yield between


@pytest.fixture(scope="module")
def stage(kafka_address: str, proxy: FaultProxy) -> Iterator[Stage]:
    place = Stage(kafka_address, url_of(proxy), INDEX, partitions=1)
    with place.stack:
        yield place


@pytest.fixture(scope="module")
def service(stage: Stage) -> Iterator[Service]:
    """Run the one consumer that lives through all that passes."""
    with stage.service() as running:
        yield running
        assert running.program.stop() == 0
    assert stage.committed() == stage.published


@pytest.fixture
def own_stage(kafka_address: str) -> Iterator[Stage]:
    """Give topics of a test's own; its consumers are told where Redis is."""
    place = Stage(kafka_address, "redis://nowhere", INDEX, partitions=1)
    with place.stack:
        yield place


def url_of(proxy: FaultProxy) -> str:
    host, port = proxy.address
    return f"redis://{host}:{port}/0?{TIMEOUT}"


@contextmanager
def client_of(url: str) -> Iterator[Any]:
    """Give a client; redis-py's types of what it returns are of no use."""
    with redis.Redis.from_url(url) as client:
        yield client


def copy_index(source: str, target: str) -> None:
    with client_of(source) as here, client_of(target) as there:
        for key in cast("Iterator[bytes]", here.scan_iter(match=IndexKeys(INDEX).pattern)):
            there.restore(key, 0, here.dump(key))


def judge_one(stage: Stage) -> None:
    stage.publish(photo(fresh()))
    stage.flush()
    stage.await_outcomes()


# What passes: one consumer lives through it all.


def test_a_stalled_redis_is_waited_for(stage: Stage, service: Service, proxy: FaultProxy) -> None:
    with outage(stage, service, "redis") as fault:
        proxy.stall()
        fault.show()
        fault.endure()
        proxy.resume()


def test_a_refused_connection_is_tried_again(stage: Stage, service: Service, proxy: FaultProxy) -> None:
    with outage(stage, service, "redis") as fault:
        proxy.refuse()
        fault.show()
        fault.endure()
        proxy.listen()


def test_a_reply_cut_once_is_asked_for_again_unseen(stage: Stage, service: Service, proxy: FaultProxy) -> None:
    # Whatever the reply is: what is new, or that a commit is done. Then the commit is sent twice.
    judge_one(stage)
    eventually(service.is_ready, "ready")
    for after_bytes in (0, 1, 5, 11, 30, 60):
        proxy.cut_replies(after_bytes)
        judge_one(stage)
        eventually(lambda: proxy.cuts_left == 0, "the cut")
    audit(stage)
    assert {document["verdict"] for document in list(stage.documents().values())[-6:]} == {"unique"}


def test_replies_cut_again_and_again_are_an_outage(stage: Stage, service: Service, proxy: FaultProxy) -> None:
    with outage(stage, service, "redis") as fault:
        proxy.cut_replies(5, times=1_000_000)
        fault.show()
        fault.endure()
        proxy.cut_replies(0, times=0)


def test_a_redis_without_its_scripts_is_told_them_again(stage: Stage, service: Service, server: RedisServer) -> None:
    judge_one(stage)
    since = len(service.program.lines)
    with client_of(server.url) as client:
        client.script_flush()
    judge_one(stage)
    audit(stage)
    assert service.is_ready()
    assert "NOSCRIPT" not in lines_of(service.program, since)


def test_a_restart_that_keeps_the_data_and_forgets_the_scripts(
    stage: Stage, service: Service, server: RedisServer, proxy: FaultProxy
) -> None:
    with outage(stage, service, "redis") as fault:
        fault.show()
        server.kill()
        fault.show()
        fault.endure()
        proxy.refuse()
        server.start()
        with client_of(server.url) as client:
            # Looked at before the service can tell them again.
            assert client.info("memory")["number_of_cached_scripts"] == 0
        proxy.listen()


def test_a_full_redis_is_waited_for_until_there_is_room(stage: Stage, service: Service, server: RedisServer) -> None:
    with outage(stage, service, "redis") as fault, client_of(server.url) as client:
        client.config_set("maxmemory", 1)
        fault.show()
        fault.endure()
        assert "used memory > 'maxmemory'" in fault.said
        client.config_set("maxmemory", 0)


def test_a_redis_made_a_replica_is_left_for_the_new_primary(
    stage: Stage, service: Service, server: RedisServer, proxy: FaultProxy, redis_program: RedisProgram
) -> None:
    # The proxy is what a name is in a network: after a failover it stands for another server, and connections that
    # are open stay with the old one.
    with (
        RedisServer(redis_program) as other,
        client_of(server.url) as old,
        client_of(other.url) as new,
        outage(stage, service, "redis") as fault,
    ):
        new.replicaof(*server.address)
        eventually(lambda: new.info("replication")["master_link_status"] == "up", "the replica in step")
        new.replicaof("NO", "ONE")
        old.replicaof(*other.address)
        fault.show()
        fault.endure()
        assert "read only replica" in fault.said
        proxy.target = other.address
        fault.recover()
        # And back again, for the tests to come.
        eventually(lambda: old.info("replication")["master_link_status"] == "up", "the replica in step")
        old.replicaof("NO", "ONE")
        new.replicaof(*server.address)
        proxy.target = server.address
        fault.show()


# What does not pass.


def test_a_redis_that_comes_back_without_the_index_ends_the_consumer(
    own_stage: Stage, server: RedisServer, redis_program: RedisProgram
) -> None:
    with ExitStack() as stack:
        forgetful = stack.enter_context(RedisServer(redis_program))
        copy_index(server.url, forgetful.url)
        service = stack.enter_context(own_stage.service("--redis", forgetful.url))
        judge_one(own_stage)
        forgetful.stop()
        own_stage.publish(photo(fresh()))
        own_stage.flush()
        eventually(lambda: not service.is_ready(), "not ready")
        forgetful.start()
        assert f"there is no index '{INDEX}' in this Redis" in fatal_line(service.program)
        assert own_stage.committed() == {0: 1}
        assert len(own_stage.documents()) == 1


@pytest.mark.parametrize("login", ["", ":wrong@", "nobody:wrong@"])
def test_a_wrong_password_ends_a_consumer_at_its_start(
    own_stage: Stage, redis_program: RedisProgram, login: str
) -> None:
    with RedisServer(redis_program, {"requirepass": "right"}) as locked:
        host, port = locked.address
        with own_stage.service("--redis", f"redis://{login}{host}:{port}/0") as service:
            said = fatal_line(service.program)
    assert "Redis rejected the client" in said
    assert ("invalid username-password pair" if login else "it requires a password, and none was given") in said
    assert "wrong@" not in said


def test_a_password_that_is_changed_ends_a_consumer_that_runs(
    own_stage: Stage, server: RedisServer, redis_program: RedisProgram
) -> None:
    with RedisServer(redis_program, {"requirepass": "right"}) as locked:
        copy_index(server.url, locked.url)
        with own_stage.service("--redis", locked.url) as service:
            judge_one(own_stage)
            with client_of(locked.url) as client:
                client.config_set("requirepass", "another")
                client.client_kill_filter(_type="normal", skipme=True)
            own_stage.publish(photo(fresh()))
            own_stage.flush()
            assert "Redis rejected the client" in fatal_line(service.program)
            assert own_stage.committed() == {0: 1}
            assert len(own_stage.documents()) == 1
