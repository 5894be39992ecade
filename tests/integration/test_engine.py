"""The batch job by an engine that pickles all that goes in and out, on a real Redis: the index is the same to the bit.

`test_ray.py` has it on a real cluster.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import redis

from bootstrap.generation import job
from bootstrap.generation.job import run
from neardup.errors import RedisUnavailable
from neardup.index import build
from neardup.search import rounds
from tests.support.bootstrapping import SCENES, content, settings, twice_each
from tests.support.engines import Pickling
from tests.support.processes import photo

pytestmark = [pytest.mark.redis, pytest.mark.slow]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return twice_each(tmp_path_factory.mktemp("seeds"))


@pytest.fixture
def index() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def engine() -> Iterator[Pickling]:
    made = Pickling()
    with patch.multiple(rounds, ROUND=40, _PIECE=10), patch.object(build, "_PUSH_RECORDS", 20):
        yield made


@contextmanager
def by(engine: Pickling | None) -> Iterator[None]:
    with patch.object(job, "_engine", lambda _: nullcontext(engine)):
        yield


@pytest.mark.parametrize(
    "relation",
    [{}, {"agreement": 0.3, "match_flips": True, "local_change": 40.0, "match_parts": True}, {"project": 32}],
    ids=["plain", "all that is compared", "projected"],
)
def test_the_index_is_the_same_to_the_bit(  # noqa: PLR0917 - fixtures
    client: redis.Redis, index: str, seeds: Path, tmp_path: Path, relation: dict[str, object], engine: Pickling
) -> None:
    for number in range(SCENES - 10, SCENES + 20):
        (tmp_path / f"{number:03d}-more.jpg").write_bytes(photo(number, 75))
    for name, does in ((index, None), (f"{index}-engine", engine)):
        with by(does):
            run(settings(client, name, seeds, **relation))
            run(settings(client, name, tmp_path))
    assert content(client, f"{index}-engine") == content(client, index)
    assert engine.pieces > 20


def test_an_imported_index_is_the_same_to_the_bit(
    client: redis.Redis, index: str, seeds: Path, tmp_path: Path, engine: Pickling
) -> None:
    file = tmp_path / "index.json"
    run(settings(client, f"{index}-first", seeds, export=file))
    for name, does in ((index, None), (f"{index}-engine", engine)):
        with by(does):
            run(replace(settings(client, name, seeds, import_from=file), seeds=(), clusters=None))
    assert content(client, f"{index}-engine") == content(client, index)


def test_what_was_begun_is_removed_when_redis_goes(
    client: redis.Redis, index: str, seeds: Path, engine: Pickling
) -> None:
    run(settings(client, index, seeds))
    before = content(client, index)
    with by(engine), patch.object(build, "_write", _lost), pytest.raises(RedisUnavailable, match="gone"):
        run(settings(client, index, seeds, fresh=True))
    assert content(client, index).keys() == before.keys(), "nothing of the generation that was begun"


def _lost(*_: object, **__: object) -> None:
    raise RedisUnavailable("gone")


_LATE: list[tuple[tuple[object, ...], dict[str, object]]] = []


def _kept(*arguments: object, **others: object) -> None:
    _LATE.append((arguments, others))
    raise RedisUnavailable("gone")


def test_what_is_written_too_late_is_not_written(
    client: redis.Redis, index: str, seeds: Path, engine: Pickling
) -> None:
    run(settings(client, index, seeds))
    before = content(client, index)
    with by(engine), patch.object(build, "_write", _kept), pytest.raises(RedisUnavailable):
        run(settings(client, index, seeds, fresh=True))
    [(arguments, others)] = _LATE
    build._write(*arguments, **others)  # type: ignore[arg-type]
    assert content(client, index).keys() == before.keys()
