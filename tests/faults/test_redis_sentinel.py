"""The primary dies, and the replica that Sentinel puts in its place goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from demo.services import RedisProgram, RedisServer
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect
from neardup.index.stored.keys import IndexKeys
from tests.support.harness import audit, lines_of
from tests.support.processes import eventually, photo
from tests.support.redis_sentinel import NAME, Watched, watched
from tests.support.stage import Stage, bootstrap, fresh, seed_folder

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]

INDEX = "watched"
TIMEOUT = "?socket_timeout=2&socket_connect_timeout=0.5"
IMAGES = 40


@pytest.fixture
def servers(redis_program: RedisProgram, tmp_path: Path) -> Iterator[Watched]:
    """Give the servers, with an index that the replica has, too."""
    with watched(redis_program) as running:
        bootstrap(seed_folder(tmp_path / "seeds"), running.url, INDEX)
        eventually(lambda: holds_index(running.second), "the index at the replica")
        yield running


@pytest.fixture
def stage(kafka_address: str, servers: Watched) -> Iterator[Stage]:
    place = Stage(kafka_address, f"{servers.url}{TIMEOUT}", INDEX, partitions=1)
    with place.stack:
        yield place


def holds_index(server: RedisServer) -> bool:
    with redis.Redis(*server.address) as client:
        return bool(client.exists(IndexKeys(INDEX).live))


def publish(stage: Stage, count: int) -> list[tuple[str, int]]:
    shown = [(stage.publish(photo(number)), number) for number in (fresh() for _ in range(count))]
    stage.flush()
    return shown


def every_copy_is_known(stage: Stage, shown: list[tuple[str, int]]) -> None:
    """Check that each is unique, its member is there, and so a copy of it is a duplicate of it."""
    copies = {stage.publish(photo(number, quality=60)): place for place, number in shown}
    stage.flush()
    stage.await_outcomes()
    documents = stage.documents()
    for copy, place in copies.items():
        assert documents[place]["verdict"] == "unique"
        assert documents[copy]["duplicate_of"] == documents[place]["image_id"]


@pytest.mark.parametrize("replicas", [0, 1])
def test_a_primary_that_is_killed_under_load_is_replaced(stage: Stage, servers: Watched, replicas: int) -> None:
    with stage.service("--batch-size", "4", "--wait-replicas", str(replicas)) as service:
        shown = publish(stage, IMAGES)
        eventually(lambda: stage.verdict_reader.read() >= IMAGES // 4, "some verdicts")
        servers.first.kill()
        if replicas:
            # The only server that is left has nobody to keep what it is told: nothing is published meanwhile.
            eventually(lambda: "replicas of Redis that are waited for" in lines_of(service.program, 0), "it waiting")
            servers.first.start()  # as a replica of the other, once Sentinel sees it
        stage.await_outcomes()
        audit(stage)
        if replicas:
            every_copy_is_known(stage, shown)
        assert service.program.stop() == 0
    with connect(servers.url) as client:
        assert client.info("replication")["role"] == "master"
        assert client.connection_pool.get_master_address() == servers.second.address
        assert RedisIndex(client, INDEX).stats().members > IMAGES // 2


def test_a_primary_that_is_replaced_as_planned_is_followed(stage: Stage, servers: Watched) -> None:
    with stage.service("--batch-size", "4", "--wait-replicas", "1") as service:
        shown = publish(stage, IMAGES)
        eventually(lambda: stage.verdict_reader.read() >= IMAGES // 4, "some verdicts")
        with redis.Redis(*servers.sentinel.address) as sentinel:
            sentinel.sentinel_failover(NAME)
        stage.await_outcomes()
        audit(stage)
        every_copy_is_known(stage, shown)
        assert service.program.stop() == 0
    with connect(servers.url) as client:
        assert client.connection_pool.get_master_address() == servers.second.address


def test_a_password_in_a_file_may_be_rotated(kafka_address: str, redis_program: RedisProgram, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    with RedisServer(redis_program, {"requirepass": "first"}) as locked:
        bootstrap(seed_folder(tmp_path / "seeds"), locked.url, INDEX)
        place = Stage(kafka_address, locked.url.replace(":first@", ""), INDEX, partitions=1)
        with place.stack, place.service("--redis-password-file", str(file)) as service:
            judge_one(place)
            rotate(locked, file, "second")
            judge_one(place)
            assert service.is_ready()
            assert {each["verdict"] for each in place.documents().values()} == {"unique"}
            assert service.program.stop() == 0


def judge_one(stage: Stage) -> None:
    publish(stage, 1)
    stage.await_outcomes()


def rotate(server: RedisServer, file: Path, password: str) -> None:
    """Change the password, in the file first, and end all connections that the old one opened."""
    with redis.Redis.from_url(server.url) as client:
        file.write_text(f"{password}\n")
        client.config_set("requirepass", password)
        client.client_kill_filter(_type="normal", skipme=True)
