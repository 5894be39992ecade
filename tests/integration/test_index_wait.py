"""Waiting for an index that somebody makes meanwhile, on a real Redis."""

import json
from collections.abc import Iterator

import pytest
import redis

from bootstrap.index import main
from neardup.cli.running import EXIT_MISCONFIGURED, EXIT_UNAVAILABLE
from neardup.index.stored.keys import IndexKeys
from tests.support.live_index import build, remove_keys
from tests.support.processes import running

pytestmark = pytest.mark.redis


@pytest.fixture
def index(client: redis.Redis) -> Iterator[str]:
    name = build(client)
    yield name
    remove_keys(client, name)


def test_it_ends_once_the_index_is_there(client: redis.Redis, index: str, redis_url: str) -> None:
    keys = IndexKeys(index)
    client.rename(keys.live, f"{keys.live}:aside")
    with running(["-m", "bootstrap.index", "wait", "--redis", redis_url, "--index", index]) as waits:
        assert waits.await_line("waiting: ") == (
            f"waiting: there is no index '{index}' in this Redis: run neardup bootstrap first\n"
        )
        client.rename(f"{keys.live}:aside", keys.live)
        assert waits.wait() == 0


def test_it_tells_which_index_it_found(index: str, redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"NEARDUP_REDIS_URL": redis_url, "NEARDUP_INDEX": index}
    assert main(["wait"], given) == 0
    assert capsys.readouterr().out.startswith(f"index       {index}, generation 1, made")
    assert main(["wait", "--json"], given) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["index"], told["generation"]) == (index, 1)
    assert told.keys() == {"index", "generation", "descriptor", "radius", "created_at"}


def test_it_ends_when_nobody_makes_one(name: str, redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"NEARDUP_REDIS_URL": redis_url, "NEARDUP_INDEX": name}
    assert main(["wait", "--timeout", "1s"], given) == EXIT_UNAVAILABLE
    assert capsys.readouterr().err.endswith(
        f"waited for 1 s: there is no index '{name}' in this Redis: run neardup bootstrap first\n"
    )


def test_it_does_not_wait_for_an_index_that_is_broken(
    client: redis.Redis, index: str, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    client.delete(IndexKeys(index).metadata(1))
    assert main(["wait"], {"NEARDUP_REDIS_URL": redis_url, "NEARDUP_INDEX": index}) == EXIT_MISCONFIGURED
    assert "it is live and has no metadata" in capsys.readouterr().err
