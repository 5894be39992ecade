"""The batch job on a real Ray cluster of two machines, on a real Redis: the index is the same to the bit.

Only `make check-ray` runs it: where more runs at the same time than there are cores, Ray itself gives up on machines
that begin slowly, or takes them for dead. `test_engine.py` has the same job with all of its work pickled, without Ray.
"""

import os
import signal
import threading
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from importlib import import_module
from itertools import count
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
import pytest
import redis
from numpy.typing import NDArray

from bootstrap import cluster
from bootstrap.cluster import RayEngine, ray_engine
from bootstrap.generation.job import run
from bootstrap.seeds import spread
from bootstrap.settings import RAY
from neardup.errors import BadInput, Misconfigured, RedisUnavailable, UnreadableFile
from neardup.index import build
from neardup.search import rounds
from tests.support.bootstrapping import SCENES, content, settings, twice_each
from tests.support.processes import eventually, photo
from tests.support.processes import run as run_python
from tests.support.ray_cluster import MACHINE, SECOND, RayCluster, kill_this_machine, ray_cluster

pytestmark = [
    pytest.mark.redis,
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("CHECK_RAY") != "1", reason="make check-ray runs it, alone"),
]


@pytest.fixture(scope="module")
def machines() -> Iterator[RayCluster]:
    pytest.importorskip("ray", reason="needs the extra ray")
    with ray_cluster() as made:
        yield made


@pytest.fixture
def both(machines: RayCluster) -> RayCluster:
    machines.with_second()
    return machines


@pytest.fixture(scope="module")
def engine(machines: RayCluster) -> Iterator[RayEngine]:
    """Connect for several jobs: to begin one, and the processes that do its work, takes most of its seconds."""
    with ray_engine(machines.address) as connected:
        yield connected


@pytest.fixture
def connected(engine: RayEngine) -> Iterator[RayEngine]:
    with patch.object(cluster, "ray_engine", lambda *_: nullcontext(engine)):
        yield engine


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return twice_each(tmp_path_factory.mktemp("seeds"))


@pytest.fixture
def index() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "killed"


@pytest.fixture
def few_a_round() -> Iterator[None]:
    with patch.multiple(rounds, ROUND=40, _PIECE=10):
        yield


@pytest.mark.parametrize(
    "relation",
    [{"agreement": 0.3, "match_flips": True, "local_change": 40.0, "match_parts": True}, {"project": 32}],
    ids=["all that is compared", "projected"],
)
@pytest.mark.usefixtures("few_a_round", "connected")
def test_the_index_is_the_same_to_the_bit(  # noqa: PLR0917 - fixtures
    client: redis.Redis, index: str, both: RayCluster, seeds: Path, tmp_path: Path, relation: dict[str, object]
) -> None:
    for number in range(SCENES - 10, SCENES + 20):
        (tmp_path / f"{number:03d}-more.jpg").write_bytes(photo(number, 75))
    for name, where in ((index, {}), (f"{index}-ray", {"engine": RAY, "ray_address": both.address})):
        run(settings(client, name, seeds, **relation, **where))
        run(settings(client, name, tmp_path, **where))
    assert content(client, f"{index}-ray") == content(client, index)


@pytest.mark.parametrize("by_client", [False, True], ids=["as a part of it", "through Ray's client"])
def test_on_the_command_line(
    client: redis.Redis, index: str, both: RayCluster, seeds: Path, *, by_client: bool
) -> None:
    asked = settings(client, index, seeds)
    ran = run_python(
        ["-m", "neardup", "bootstrap", str(seeds), "--engine", "ray", "--radius", "0.2", "--index", index],
        {
            "NEARDUP_REDIS_URL": asked.redis_url,
            "RAY_ADDRESS": "" if by_client else both.address,
            "NEARDUP_RAY_ADDRESS": both.client_address if by_client else "",
        },
    )
    assert ran.returncode == 0, ran.stderr
    assert f"unique      {SCENES}" in ran.stdout
    assert "ray: 2 machines, 2 processors" in ran.stderr


class Deadly:
    """A function of the job that kills the second machine, the first time that it is called there."""

    def __init__(self, module: ModuleType, name: str, marker: Path) -> None:
        self._place = module.__name__, name
        self._marker = str(marker)

    def __call__(self, *arguments: object, **others: object) -> object:
        marker = Path(self._marker)
        if os.environ.get(MACHINE) == SECOND and not marker.exists():
            marker.touch()
            kill_this_machine()
        eventually(marker.exists, "the second machine called")
        module, name = self._place
        return getattr(import_module(module), name)(*arguments, **others)


@pytest.mark.parametrize(
    "deadly", [(spread, "_described"), (rounds, "_nearest"), (build, "_write")], ids=lambda each: each[1]
)
@pytest.mark.usefixtures("few_a_round", "connected")
def test_a_machine_that_dies_changes_nothing(  # noqa: PLR0917 - fixtures
    client: redis.Redis, index: str, both: RayCluster, seeds: Path, marker: Path, deadly: tuple[ModuleType, str]
) -> None:
    run(settings(client, index, seeds))
    with (
        patch.object(build, "_PUSH_RECORDS", 5),
        patch.object(spread, "BATCH", 4),
        patch.object(*deadly, Deadly(*deadly, marker)),
    ):
        run(settings(client, f"{index}-ray", seeds, engine=RAY, ray_address=both.address))
    assert marker.exists(), "the second machine was asked, and died"
    assert content(client, f"{index}-ray") == content(client, index)


def test_what_a_dead_machine_held_is_made_again(both: RayCluster, engine: RayEngine, tmp_path: Path) -> None:
    folder = engine.hold(tmp_path)
    parts = [engine.made(_made_on_both, engine.hold(number), folder) for number in range(2)]
    assert list(engine.map(_sum, [1], *parts)) == [_NUMBERS + 1]
    both.kill_second()
    assert list(engine.map(_sum, [2, 3], *parts)) == [_NUMBERS + 2, _NUMBERS + 3]


_NUMBERS = 1_000_000
"""What is smaller is not held where it was made."""


def _made_on_both(number: int, folder: Path) -> NDArray[np.uint8]:
    """Return an array when both machines have begun one."""
    (folder / os.environ[MACHINE]).touch()
    eventually(lambda: len(list(folder.iterdir())) == 2, "the other machine making the other one")
    return np.full(_NUMBERS, number, dtype=np.uint8)


def _sum(piece: int, *parts: NDArray[np.uint8]) -> int:
    return piece + sum(int(part.sum()) for part in parts)


def _refused(piece: int) -> int:
    raise UnreadableFile(f"no {piece}")


def _ends(piece: int) -> int:
    os._exit(piece)


def test_an_error_comes_back_as_what_it_is(engine: RayEngine) -> None:
    with pytest.raises(BadInput, match="no 3"):
        list(engine.map(_refused, [3]))
    with patch.object(cluster, "_ATTEMPTS", 1), pytest.raises(cluster.ClusterUnavailable, match="died"):
        list(RayEngine(engine._ray).map(_ends, [7]))


@pytest.mark.usefixtures("connected")
def test_what_was_begun_is_removed_when_redis_goes(client: redis.Redis, index: str, seeds: Path) -> None:
    run(settings(client, index, seeds))
    before = content(client, index)
    with patch.object(build, "_write", _lost), pytest.raises(RedisUnavailable, match="gone"):
        run(settings(client, index, seeds, fresh=True, engine=RAY))
    after = content(client, index)
    assert {name: after[name] for name in before if not name.endswith(":last")} == {
        name: value for name, value in before.items() if not name.endswith(":last")
    }
    assert after.keys() == before.keys(), "nothing of the generation that was begun"


def _lost(*_: object, **__: object) -> None:
    raise RedisUnavailable("gone")


def test_other_packages_are_refused(engine: RayEngine) -> None:
    with patch.object(cluster, "_installed", lambda: {"numpy": "2"}):
        with pytest.raises(Misconfigured, match=r"has numpy .*, the job 2; .*: install the same packages"):
            cluster._check(engine._ray)
        later = RayEngine(engine._ray)
    with pytest.raises(Misconfigured, match=r"has numpy .*, the job 2; .*: install the same packages"):
        list(later.map(abs, [-1]))


WITHOUT_NEARDUP = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name == "bootstrap":
            raise ModuleNotFoundError("no such package here")

sys.meta_path.insert(0, Without())
"""


def test_a_machine_that_joins_later_without_neardup_is_refused(
    machines: RayCluster, engine: RayEngine, tmp_path: Path
) -> None:
    machines.kill_second()
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_NEARDUP)
    machines.with_second(str(tmp_path))
    try:
        with pytest.raises(Misconfigured, match=r"cannot run neardup, install the same packages .*no such package"):
            deque(engine.map(abs, count()), maxlen=0)
    finally:
        machines.kill_second()


def test_no_more_tasks_run_than_asked_for(engine: RayEngine) -> None:
    taken: list[int] = []
    numbers = (taken.append(number) or number for number in range(5))  # type: ignore[func-returns-value]
    asked = RayEngine(engine._ray, width=1).map(abs, numbers)
    for number, found in enumerate(asked):
        assert found == number
        assert len(taken) <= number + 1


@pytest.mark.usefixtures("connected")
def test_an_interrupt_leaves_nothing_of_what_was_begun(
    client: redis.Redis, index: str, seeds: Path, marker: Path
) -> None:
    run(settings(client, index, seeds))
    before = content(client, index)

    def interrupt() -> None:
        eventually(marker.exists, "a task that writes")
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with patch.object(build, "_write", Late(marker)), pytest.raises(KeyboardInterrupt):
        run(settings(client, index, seeds, fresh=True, engine=RAY))
    interrupting.join()
    marker.unlink()  # whatever still waited would write now
    after = content(client, index)
    assert after.keys() == before.keys()


class Late:
    """Writes members once a marker that it sets is gone."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __call__(self, *arguments: object, **others: object) -> None:
        self._marker.touch()
        eventually(lambda: not self._marker.exists(), "the marker gone")
        build._write(*arguments, **others)  # type: ignore[arg-type]
