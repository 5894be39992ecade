import os
import sys
from pathlib import Path

import pytest

from neardup.cores import cores, count_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process may always use all cores")


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let this process be bound to eight cores, whatever the machine has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    return 8


def machine(root: Path, groups: str, **limits: str) -> Path:
    """Write what a machine says of the groups of this process; two underscores in a name are a slash."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for group, limit in limits.items():
        place = root / "sys/fs/cgroup" / group.strip("_").replace("__", "/")
        place.mkdir(parents=True, exist_ok=True)
        (place / "cpu.max").write_text(limit)
    return root


def test_what_it_is_bound_to_counts() -> None:
    bound_to = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(bound_to)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, bound_to)
    assert 1 <= cores() <= len(bound_to)


@pytest.mark.parametrize(
    ("limit", "count"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1), ("9999999 1", 8)],
)
def test_a_share_of_time_counts_as_so_many_cores(tmp_path: Path, allowed: int, limit: str, count: int) -> None:
    assert cores(machine(tmp_path, "0::/\n", _=limit)) == count <= allowed


def test_a_group_above_may_allow_less(tmp_path: Path, allowed: int) -> None:
    root = machine(
        tmp_path, "0::/system/ours\n", system="300000 100000", system__ours="max 100000", others="100000 100000"
    )
    assert cores(root) == 3 < allowed


@pytest.mark.parametrize("groups", ["", "12:cpu:/ours\n", "0::/gone\n"])
def test_without_groups_of_this_kind_all_it_is_bound_to_count(tmp_path: Path, allowed: int, groups: str) -> None:
    assert cores(machine(tmp_path, groups, others="100000 100000")) == allowed
    assert cores(tmp_path / "nowhere") == allowed


def test_a_number_that_was_said_counts_alone(allowed: int) -> None:
    assert (count_of(3), count_of(200)) == (3, 200)
    assert count_of(None) <= allowed
