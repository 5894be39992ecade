"""The short form of ``make fuzz``, and that it would find something."""

import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz.__main__ import _at_random, mutated
from tests.fuzz.targets import ROOT, TARGETS, Target

pytestmark = pytest.mark.slow

SECONDS = "4"


@pytest.mark.parametrize(("engine", "targets"), [("random", list(TARGETS)), ("atheris", ["record"])])
def test_nothing_is_found_in_some_seconds(engine: str, targets: list[str], tmp_path: Path) -> None:
    if engine == "atheris" and not find_spec("atheris"):
        pytest.skip("atheris is not installed")
    command = [sys.executable, "-m", "tests.fuzz", "--seconds", SECONDS, "--engine", engine, "--kept", str(tmp_path)]
    chosen = ["--target", *targets] if len(targets) == 1 else []
    ended = subprocess.run([*command, *chosen], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == targets
    assert all("nothing was found in" in line for line in lines)


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_seeds_pass(target: Target) -> None:
    seeds = list(target.seeds())
    assert len(seeds) >= 7
    for data in (b"", *seeds[:: max(1, len(seeds) // 40)]):
        target.run(data)


def test_what_breaks_is_found_and_kept(tmp_path: Path) -> None:
    def breaks(data: bytes) -> None:
        if b"\0\0" in data:
            raise ZeroDivisionError

    assert _at_random(Target("record", breaks, TARGETS["record"].seeds), tmp_path, 5.0) == 1
    (found,) = tmp_path.iterdir()
    assert b"\0\0" in found.read_bytes()


def test_mutations_are_the_same_on_every_run() -> None:
    one, other = (random.Random(1), random.Random(1))  # noqa: S311 - no secrets
    made = [mutated(one, [b"seed" * 10]) for _ in range(50)]
    assert made == [mutated(other, [b"seed" * 10]) for _ in range(50)]
    assert len(set(made)) > 40
