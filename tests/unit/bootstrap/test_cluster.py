"""What is said where there is no Ray cluster, and what is made of Ray's errors; `make check-ray` has the rest."""

import sys
from unittest.mock import patch

import pytest

from bootstrap.cluster import _CLIENT_ATTEMPTS, _connect, _differing, _installed, _reason, _translated, ray_engine
from neardup.errors import Misconfigured


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("127.0.0.1:1", "no Ray cluster at 127.0.0.1:1: .*refused"),
        ("ray://127.0.0.1:1", "no Ray cluster at ray://127.0.0.1:1: .*refused"),
        ("nonsense", "no Ray cluster at nonsense: "),
    ],
)
def test_no_cluster(address: str, told: str) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    with pytest.raises(Misconfigured, match=told), ray_engine(address):
        raise AssertionError


def test_without_the_package() -> None:
    with (
        patch.dict(sys.modules, {"ray": None}),
        pytest.raises(Misconfigured, match=r"pip install 'neardup\[ray\]'"),
        ray_engine("127.0.0.1:6379"),
    ):
        raise AssertionError


class Failing:
    """In place of Ray: to connect fails some times with the words of an error, then does not.

    That of Ray itself fails so by chance alone (docs/behaviours.md).
    """

    def __init__(self, times: int, words: str) -> None:
        self.left, self.words = times, words

    def init(self, _address: str, **_settings: object) -> None:
        if self.left:
            self.left -= 1
            raise RuntimeError(self.words)


NO_PROCESS = "Starting Ray client server failed. See ray_client_server_23000.err for detailed logs."


@pytest.mark.parametrize("times", [1, _CLIENT_ATTEMPTS - 1])
def test_a_client_that_got_no_process_tries_again(times: int, caplog: pytest.LogCaptureFixture) -> None:
    ray = Failing(times, NO_PROCESS)
    _connect(ray, "ray://there:10001")
    assert not ray.left
    assert [record.getMessage() for record in caplog.records] == [
        f"ray: ray://there:10001 gave no process to this client, trying again: {NO_PROCESS}"
    ] * times


@pytest.mark.parametrize(
    ("address", "times", "words", "tried"),
    [
        ("ray://there:10001", _CLIENT_ATTEMPTS, NO_PROCESS, _CLIENT_ATTEMPTS),
        ("ray://there:10001", 2, "Version mismatch", 1),
        ("there:6379", 2, NO_PROCESS, 1),
    ],
)
def test_a_client_gives_up(address: str, times: int, words: str, tried: int) -> None:
    ray = Failing(times, words)
    with pytest.raises(RuntimeError, match=words):
        _connect(ray, address)
    assert times - ray.left == tried


def test_what_differs_is_named_and_what_is_missing() -> None:
    here = _installed()
    assert {"Python", "neardup", "numpy", "pillow"} <= here.keys()
    assert not _differing(here)
    other = {name: release for name, release in here.items() if name != "pillow"} | {"numpy": "1", "codec": "2"}
    assert _differing(other).split("; ") == [
        f"numpy {here['numpy']}, the job 1",
        "codec not installed, the job 2",
        f"pillow {here['pillow']}, the job none",
    ]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "\x1b[36mray::_differing()\x1b[39m (pid=1)\n  File x\nModuleNotFoundError: No module named 'neardup'\n",
            "ModuleNotFoundError: No module named 'neardup'",
        ),
        (
            "Version mismatch: The cluster was started with:\n    Ray: 2.9\n    Python: 3.12",
            "Version mismatch: The cluster was started with: Ray: 2.9 Python: 3.12",
        ),
        ("", "ValueError"),
    ],
)
def test_an_error_of_ray_is_told_in_one_line(said: str, reason: str) -> None:
    assert _reason(ValueError(said)) == reason


def test_a_machine_without_neardup_is_named() -> None:
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    told = (
        "The remote function failed to import on the worker. ...\n\nModuleNotFoundError: No module named 'bootstrap'\n"
    )
    with (
        pytest.raises(Misconfigured, match=r"--engine ray: 10\.0\.0\.2 cannot run neardup, install .*'bootstrap'$"),
        _translated(ray),
    ):
        raise ray.exceptions.RayTaskError(
            "_called", f"ray::_called() (pid=7, ip=10.0.0.2)\nRuntimeError: {told}", RuntimeError(told)
        )
    with pytest.raises(ray.exceptions.RayTaskError), _translated(ray):
        raise ray.exceptions.RayTaskError("_called", "ray::_called() (pid=7, ip=10.0.0.2)\nKeyError: 3", KeyError(3))
