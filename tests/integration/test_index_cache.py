"""An index opened from what the process before left on disk: real Redis, and a real consumer."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import redis

from consumer.health import Health
from demo.services import RedisProgram, RedisServer
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.shared.folder import lasting_folder
from neardup.index.shared.views import SharedViews
from neardup.index.stored import scripts
from neardup.index.stored.connection import connect
from neardup.types import Verdict
from tests.support.indexes import CELLS, build_generation, member, point, query
from tests.support.processes import eventually, photo
from tests.support.stage import Stage, bootstrap, seed_folder

pytestmark = pytest.mark.redis
ROOM = 1 << 20

_read_view = RedisIndex._read_view


class Readings:
    """Opens an index one time after another, and counts how often all of it was read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.count = 0

    def open(self, client: redis.Redis, name: str) -> RedisIndex:
        shared = SharedViews(lasting_folder(self._folder, name, ROOM), lasting=True)
        return RedisIndex(client, name, options=RedisIndexOptions(cache_bytes=ROOM, shared=shared))


@pytest.fixture
def readings(tmp_path: Path) -> Iterator[Readings]:
    counted = Readings(tmp_path / "cache")

    def read_view(index: RedisIndex) -> None:
        counted.count += 1
        _read_view(index)

    with patch.object(RedisIndex, "_read_view", read_view):
        yield counted


def seeded(client: redis.Redis, name: str) -> None:
    build_generation(client, name, members=[member(f"seed-{cell}", point(cell)) for cell in range(CELLS)])


def verdict(index: RedisIndex, key: str, cell: int, angle: float) -> Verdict:
    return index.decide([query(key, point(cell, angle))])[0].verdict


def test_who_comes_later_goes_on_from_what_was_left(readings: Readings, client: redis.Redis, name: str) -> None:
    seeded(client, name)
    first = readings.open(client, name)
    assert verdict(first, "a", 0, 0.3) is Verdict.UNIQUE
    first.leave()
    stranger = RedisIndex(client, name)  # keeps nothing
    assert verdict(stranger, "b", 1, 0.3) is Verdict.UNIQUE
    assert readings.count == 2
    later = readings.open(client, name)
    assert readings.count == 2
    assert later.stats().cluster_sizes == stranger.stats().cluster_sizes
    assert [each.key for each in later.members()] == [each.key for each in stranger.members()]
    assert verdict(later, "c", 0, 0.31) is Verdict.DUPLICATE
    assert verdict(later, "d", 1, 0.31) is Verdict.DUPLICATE


def test_a_process_that_is_killed_has_left_what_it_knew_at_the_start(
    readings: Readings, client: redis.Redis, name: str
) -> None:
    seeded(client, name)
    assert verdict(readings.open(client, name), "a", 0, 0.3) is Verdict.UNIQUE  # and does not leave
    assert verdict(readings.open(client, name), "b", 0, 0.31) is Verdict.DUPLICATE
    assert readings.count == 1


def test_what_the_log_no_longer_reaches_is_read_anew(readings: Readings, client: redis.Redis, name: str) -> None:
    seeded(client, name)
    readings.open(client, name)
    with patch.object(scripts, "LOG_EVENTS", 2):
        stranger = RedisIndex(client, name)
        for cell in range(CELLS):
            assert verdict(stranger, f"a{cell}", cell, 0.3) is Verdict.UNIQUE
    assert readings.count == 2
    assert verdict(readings.open(client, name), "copy", 0, 0.31) is Verdict.DUPLICATE
    assert readings.count == 3


def test_a_new_generation_is_read(readings: Readings, client: redis.Redis, name: str) -> None:
    seeded(client, name)
    readings.open(client, name)
    build_generation(client, name, members=[member("new", point(2, 0.3))])
    assert verdict(readings.open(client, name), "copy", 2, 0.31) is Verdict.DUPLICATE
    assert readings.count == 2


def test_who_ends_when_a_new_generation_has_come_ends_in_peace(
    readings: Readings, client: redis.Redis, name: str
) -> None:
    seeded(client, name)
    first = readings.open(client, name)
    assert verdict(first, "a", 0, 0.3) is Verdict.UNIQUE
    assert first.stats().members == CELLS + 1  # so that it knows more than it has left
    build_generation(client, name, members=[member("new", point(2, 0.3))])
    first.leave()
    assert verdict(readings.open(client, name), "copy", 2, 0.31) is Verdict.DUPLICATE


def test_after_the_server_was_started_again_the_index_is_read_anew(
    readings: Readings, redis_program: RedisProgram, name: str
) -> None:
    with RedisServer(redis_program, {"appendonly": "yes", "appendfsync": "always"}) as server:
        client = connect(server.url)
        seeded(client, name)
        readings.open(client, name).leave()
        readings.open(client, name).leave()
        assert readings.count == 1
        server.kill()
        server.start()
        assert verdict(readings.open(client, name), "copy", 0, 0.01) is Verdict.DUPLICATE
        assert readings.count == 2
        client.close()


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_consumer_goes_on_where_the_one_before_ended(
    kafka_address: str, redis_url: str, tmp_path: Path, name: str, workers: str
) -> None:
    bootstrap(seed_folder(tmp_path / "seeds"), redis_url, name)
    stage = Stage(kafka_address, redis_url, name, partitions=2)
    options = ("--index-cache", str(tmp_path / "cache"), "--workers", workers)
    with stage.stack:
        for number in range(2):
            with stage.service(*options) as service:
                for seed in (1000 + number, 1000):
                    stage.publish(photo(seed))
                stage.flush()
                stage.await_outcomes()
                eventually(service.is_ready, "all workers, of which one may have judged all")
                assert service.program.stop() == 0
                told = [line["message"] for line in service.program.log() if "events later" in line["message"]]
            assert len(told) == (int(workers) if number else int(workers) - 1)
        verdicts = [document["verdict"] for document in stage.documents().values()]
    assert sorted(verdicts) == ["duplicate", "duplicate", "unique", "unique"]
    assert len(list((tmp_path / "cache").rglob("*.view"))) == 1


def test_whoever_asks_whether_it_lives_is_told_while_much_is_read_or_left(
    client: redis.Redis, name: str, tmp_path: Path
) -> None:
    health, done = Health(), list[str]()

    def told(what: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def telling(*arguments: object) -> Any:  # noqa: ANN401 - what it wraps returns
            assert health.liveness()[1].startswith("reads the index")
            done.append(what)
            return do(*arguments)

        return telling

    def told_outgrown(*_: object) -> bool:
        done.append("asked")
        return True

    seeded(client, name)
    shared = SharedViews(lasting_folder(tmp_path, name, ROOM), lasting=True)
    with (
        patch.object(RedisIndex, "_read_view", told("read", _read_view)),
        patch.object(SharedViews, "put", told("left", SharedViews.put)),
        patch.object(SharedViews, "is_outgrown", told_outgrown),
    ):
        index = RedisIndex(client, name, options=RedisIndexOptions(cache_bytes=ROOM, shared=shared, busy=health.busy))
        assert done == ["read", "left"]
        assert verdict(index, "one", 0, 0.3) is Verdict.UNIQUE
        assert done[2:] == ["asked", "left"]
        build_generation(client, name, members=[member("again", point(0))])
        assert verdict(index, "two", 0, 0.0) is Verdict.DUPLICATE
        assert done[4:6] == ["read", "left"]
    assert health.liveness()[1].startswith("last turn")
