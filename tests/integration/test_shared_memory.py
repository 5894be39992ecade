"""What a further worker takes of memory, and how it follows the index: real processes on a real Redis."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import numpy as np
import pytest
import redis

from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.shared import views
from neardup.index.shared.folder import folder_in_memory
from neardup.index.shared.views import SharedViews
from neardup.index.stored import scripts
from neardup.index.view import GenerationView
from neardup.search.sketches import fit_sketcher
from neardup.types import Member, Verdict
from tests.support.indexes import CELLS, build_anew, build_generation, member, point, query
from tests.support.processes import ROOT, environment

pytestmark = pytest.mark.redis

MEMBERS, NUMBERS, CENTRES, NEAR = 50_000, 64, 200, 0.3
LEAST_SHARED = 0.8

_CLIENT = """
import json, sys
import numpy as np
from pathlib import Path
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.shared.views import SharedViews
from neardup.index.stored.connection import connect
from neardup.types import Query

def own_bytes():
    lines = (line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines())
    return sum(1024 * int(words[1]) for words in lines if words[0] in ("Private_Clean:", "Private_Dirty:"))

url, name, folder = sys.argv[1:]
client = connect(url)
before = own_bytes()
index = RedisIndex(client, name, options=RedisIndexOptions(shared=SharedViews(Path(folder)) if folder else None))
rows = np.random.default_rng(7).normal(size=(64, index.meta.dimension))
rows = (rows / np.linalg.norm(rows, axis=1)[:, np.newaxis]).astype(np.float16)
index._view.within(rows, index._view.sketch(rows))  # looks at all sketches
for cell in index._view.tree.leaves:
    index._view.block(cell).descriptors()  # and at all records
print(json.dumps({"members": index.stats().members, "own_bytes": own_bytes() - before}), flush=True)
sys.stdin.read()
"""


class Client:
    """A process that has opened an index, and looked at all of it."""

    def __init__(self, url: str, name: str, folder: Path | None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CLIENT, url, name, str(folder or "")],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        self.told: dict[str, int] = json.loads(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


@pytest.fixture
def large(client: redis.Redis, name: str) -> str:
    """Name of an index of fifty thousand members."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(CENTRES, NUMBERS))
    rows = np.repeat(centres, MEMBERS // CENTRES, axis=0) + NEAR * rng.normal(size=(MEMBERS, NUMBERS))
    rows = (rows / np.linalg.norm(rows, axis=1)[:, np.newaxis]).astype(np.float16)
    members = [Member(f"images-0-{number}", f"image {number}", row) for number, row in enumerate(rows)]
    means = rows.reshape(CENTRES, -1, NUMBERS).astype(np.float32).mean(axis=1)
    build_anew(client, name, 0.2, means, fit_sketcher(rows), members)
    return name


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory by kind is read from /proc")
def test_a_further_worker_takes_a_fraction_of_the_memory(redis_url: str, large: str) -> None:
    with Client(redis_url, large, None) as one:
        alone = one.told
    with folder_in_memory() as folder, Client(redis_url, large, folder), Client(redis_url, large, folder) as further:
        assert further.told["members"] == alone["members"] == MEMBERS
        assert further.told["own_bytes"] < (1 - LEAST_SHARED) * alone["own_bytes"]


class Counted:
    """Clients that share memory, and how often one of them has read the index."""

    def __init__(self, client: redis.Redis, name: str, folder: Path) -> None:
        self._client, self._name = client, name
        self._options = RedisIndexOptions(shared=SharedViews(folder))
        self.readings = 0

    def open(self) -> RedisIndex:
        return RedisIndex(self._client, self._name, options=self._options)


_read_view = RedisIndex._read_view


@pytest.fixture
def crew(client: redis.Redis, name: str) -> Iterator[Counted]:
    build_generation(client, name, members=[member(f"seed-{cell}", point(cell)) for cell in range(CELLS)])
    with folder_in_memory() as folder:
        counted = Counted(client, name, folder)

        def read_view(index: RedisIndex) -> None:
            counted.readings += 1
            _read_view(index)

        with patch.object(RedisIndex, "_read_view", read_view):
            yield counted


def verdict(index: RedisIndex, key: str, cell: int, angle: float) -> Verdict:
    return index.decide([query(key, point(cell, angle))])[0].verdict


def test_one_reads_the_index_for_all(crew: Counted) -> None:
    one, other = crew.open(), crew.open()
    assert crew.readings == 1
    assert verdict(one, "a", 0, 0.3) is Verdict.UNIQUE
    assert verdict(other, "b", 0, 0.31) is Verdict.DUPLICATE
    third = crew.open()
    assert crew.readings == 1
    assert verdict(third, "c", 0, 0.29) is Verdict.DUPLICATE


def test_what_the_log_no_longer_reaches_is_read_anew(crew: Counted) -> None:
    with patch.object(scripts, "LOG_EVENTS", 3):
        one = crew.open()
        for number in range(6):
            assert verdict(one, f"a{number}", number % CELLS, 0.3 + 0.3 * (number // CELLS)) is Verdict.UNIQUE
        later = crew.open()
        assert crew.readings == 2
        assert later.stats().cluster_sizes == one.stats().cluster_sizes
        assert verdict(later, "copy", 0, 0.3) is Verdict.DUPLICATE
        crew.open()
        assert crew.readings == 2


def test_a_new_generation_is_read_once(crew: Counted, client: redis.Redis, name: str) -> None:
    one, other = crew.open(), crew.open()
    build_generation(client, name, members=[member("new", point(2, 0.3))])
    assert verdict(one, "a", 2, 0.31) is Verdict.DUPLICATE
    assert verdict(other, "b", 2, 0.29) is Verdict.DUPLICATE
    assert crew.readings == 2


def test_what_was_added_is_shared_again_once_it_is_much(crew: Counted) -> None:
    one, other = crew.open(), crew.open()
    with patch.object(views, "_LEAST", 4):
        for number in range(8):
            assert verdict(one, f"a{number}", number % CELLS, 0.3 + 0.3 * (number // CELLS)) is Verdict.UNIQUE
        assert one._view.filter.untouched > CELLS
        assert verdict(other, "copy", 0, 0.3) is Verdict.DUPLICATE
        assert other._view.filter.untouched == one._view.filter.untouched
    assert crew.readings == 1


def test_a_generation_that_comes_before_sharing_again_is_followed(
    crew: Counted, client: redis.Redis, name: str
) -> None:
    one = crew.open()

    def flip(_: GenerationView) -> None:
        build_generation(client, name, members=[member("new", point(2))])

    # What is done between following the events and sharing again, which is due at once.
    with patch.object(GenerationView, "tidy", flip), patch.object(views, "_much", lambda _: -1):
        assert views.is_outgrown(one._view)
        assert verdict(one, "copy", 2, 0.01) is Verdict.DUPLICATE
    assert one.meta.generation == 2
    assert [each.key for each in one.members()] == ["new"]


def test_without_room_in_memory_each_has_its_own(
    crew: Counted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:  # noqa: ANN401
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neardup.index.shared.views.write_mapped", full)
    one, other = crew.open(), crew.open()
    assert crew.readings == 2
    assert caplog.text.count("cannot be left for other processes") == 2
    assert verdict(one, "a", 0, 0.3) is Verdict.UNIQUE
    assert verdict(other, "b", 0, 0.31) is Verdict.DUPLICATE
    assert caplog.text.count("cannot be left for other processes") == 2
