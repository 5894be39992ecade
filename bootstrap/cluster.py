"""The batch job on a Ray cluster: pieces of work are tasks, and what they share is in Ray's object store.

When a machine dies, its tasks are done again on others, and what it held is made again. Who reaches the cluster's ports
can run anything there, unless it wants a token, and reads what the job knows, the password of Redis among it
(docs/ray.md).

Source: Moritz et al., Ray: A Distributed Framework for Emerging AI Applications (2018).
"""

import logging
import os
import platform
import re
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from neardup.engine import Held, Piece
from neardup.errors import Misconfigured, NeardupError, Unavailable

Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)
_AHEAD = 2
"""Pieces handed in for each processor: one is there when another is done."""
_ATTEMPTS = 10
"""How often a piece is begun anew because what did it died."""
_SAME = (
    *("neardup", "numpy", "pillow", "pillow-heif", "simplejpeg", "scikit-learn", "scipy", "threadpoolctl"),
    *("ai-edge-litert", "tensorflow", "tensorflow-cpu", "keras"),
)
"""Packages that decode or compute: another release may give another bit, and without one some images cannot be read."""
_SILENT_S = 60.0
_CONNECT_S = 10.0
_CLIENT = "ray://"
_CLIENT_ATTEMPTS = 4
_CLIENT_FAILED = "Starting Ray client server failed", "Initialization failure from server"
"""What Ray says where the process for one client did not start at the cluster (ray-project/ray#63202)."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ADDRESS = re.compile(r"\bip=([0-9a-fA-F.:]+)")
_NOT_IMPORTED = "failed to import on the worker"
"""What Ray says of a machine that cannot load `_called`, which would have compared packages there."""
_INSTALL = "install the same packages on all machines"


class ClusterUnavailable(Unavailable):
    """The Ray cluster does not answer, or lost too many machines."""

    service = "ray"


class RayEngine:
    """Does pieces of work as tasks of a Ray cluster.

    Parameters
    ----------
    ray
        The module, connected.
    width
        Tasks at a time, at most; None for as many as the cluster has processors, and as many ready to follow.
    """

    def __init__(self, ray: Any, width: int | None = None) -> None:  # noqa: ANN401 - Ray has no types for itself
        self._ray = ray
        self._width = width
        self._task = ray.remote(num_cpus=1, max_retries=_ATTEMPTS)(_called)
        self._here = self.hold(_installed())

    def hold(self, value: object) -> Held:
        """See `neardup.engine.Engine`."""
        with _translated(self._ray):
            return self._ray.put(value)

    def made(self, function: Callable[..., object], *held: Held) -> Held:
        """See `neardup.engine.Engine`."""
        with _translated(self._ray):
            return self._task.remote(self._here, function, *held)

    def map(self, function: Callable[..., Result], pieces: Iterable[Piece], *held: Held) -> Iterator[Result]:
        """See `neardup.engine.Engine`.

        Raises
        ------
        ClusterUnavailable
            What did a piece died, again and again.
        NeardupError
            The function raised one.
        """
        waiting: deque[Any] = deque()
        there = self.hold(function)
        try:
            for piece in pieces:
                waiting.append(self.made(there, piece, *held))  # type: ignore[arg-type]
                if len(waiting) >= self._most():
                    yield self._next(waiting)
            while waiting:
                yield self._next(waiting)
        finally:
            self._end(waiting)

    def _most(self) -> int:
        # Asked for each time: machines come and go.
        with _translated(self._ray):
            return self._width or _AHEAD * max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def _next(self, waiting: deque[Any]) -> Any:  # noqa: ANN401 - what the function returned
        with _translated(self._ray):
            while not self._ray.wait([waiting[0]], timeout=_SILENT_S)[0]:
                _LOG.info("ray: %d tasks wait for the cluster, or take long", len(waiting))
            got = self._ray.get(waiting[0])
        waiting.popleft()  # not before: what ends this early has to find it
        return got

    def _end(self, tasks: Iterable[Any]) -> None:
        """Wait until none of these goes on: a generation that is given up is not to be written to."""
        left = list(tasks)
        with suppress(self._ray.exceptions.RayError, ConnectionError):
            # To cancel what has just ended can end this process (docs/behaviours.md).
            left = self._unready(left, 0.0)
        for task in left:
            with suppress(self._ray.exceptions.RayError, ConnectionError):
                self._ray.cancel(task, force=True)
        with suppress(self._ray.exceptions.RayError, ConnectionError):
            self._unready(left, _SILENT_S)

    def _unready(self, tasks: list[Any], timeout_s: float) -> list[Any]:
        """Wait for tasks; return those that go on."""
        if not tasks:
            return tasks
        return list(self._ray.wait(tasks, num_returns=len(tasks), timeout=timeout_s, fetch_local=False)[1])


_like: Mapping[str, str] | None = None
"""What this process was found to be like."""


def _called(here: Mapping[str, str], function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function; each process compares its packages with the job's before its first one."""
    global _like  # noqa: PLW0603 - once a process
    if here != _like:
        if differing := _differing(here):
            raise Misconfigured(f"--engine ray: {socket.gethostname()} has {differing}: {_INSTALL}")
        _like = here
    return function(*arguments)


@contextmanager
def _translated(ray: Any) -> Iterator[None]:  # noqa: ANN401 - as above
    """Raise our errors as they were raised, and `ClusterUnavailable` for those of Ray."""
    try:
        yield
    except ray.exceptions.RayTaskError as exc:
        if isinstance(exc.cause, NeardupError):
            raise exc.cause from None
        if _NOT_IMPORTED in str(exc):
            where = _ADDRESS.search(str(exc))
            name = where[1] if where else "a machine"
            raise Misconfigured(f"--engine ray: {name} cannot run neardup, {_INSTALL}: {_reason(exc)}") from exc
        raise
    except (ray.exceptions.RayError, ConnectionError) as exc:
        raise ClusterUnavailable(f"Ray: {_reason(exc)}") from exc


def _reason(error: Exception) -> str:
    """Return what an error of Ray says, in one line: of what a task raised, the end of its traceback."""
    lines = [line.strip() for line in _COLOURS.sub("", str(error)).splitlines() if line.strip()]
    is_traceback = any(line.startswith(("Traceback", "ray::")) for line in lines)
    return (lines[-1] if is_traceback else " ".join(lines)) if lines else type(error).__name__


@contextmanager
def ray_engine(address: str | None, width: int | None = None) -> Iterator[RayEngine]:
    """Connect to a Ray cluster; leave it at the end.

    Parameters
    ----------
    address
        As `ray.init` takes it: HOST:PORT of the cluster, or ``ray://HOST:PORT``; None takes that of RAY_ADDRESS, or of
        the cluster that runs on this machine.
    width
        As for `RayEngine`.

    Raises
    ------
    Misconfigured
        Ray is not installed, there is no cluster at that address, or its machines have other packages than this one.
    """
    try:
        import ray  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as exc:
        raise Misconfigured("--engine ray needs an extra: pip install 'neardup[ray]'") from exc
    if ray.is_initialized():  # by whoever uses the job as a function
        yield RayEngine(ray, width)
        return
    address = address or os.environ.get("RAY_ADDRESS") or None
    where = f"at {address}" if address else "on this machine, and RAY_ADDRESS names none"
    try:
        _require_answer(address)
        with _handlers_kept():
            _connect(ray, address or "auto")
    except (ConnectionError, RuntimeError, ValueError, OSError, ImportError) as exc:
        raise Misconfigured(f"--ray-address: no Ray cluster {where}: {_reason(exc)}") from exc
    try:
        _check(ray)
        yield RayEngine(ray, width)
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str) -> None:  # noqa: ANN401 - as above
    """Connect, through Ray's client several times: in about one of five its process hangs before it starts."""
    for left in reversed(range(_CLIENT_ATTEMPTS)):
        try:
            ray.init(address, logging_level=logging.WARNING, log_to_driver=False, namespace="neardup")
        except (ConnectionError, RuntimeError) as exc:
            if not (left and address.startswith(_CLIENT) and any(words in str(exc) for words in _CLIENT_FAILED)):
                raise
            _LOG.warning("ray: %s gave no process to this client, trying again: %s", address, _reason(exc))
        else:
            return


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Give signals back their handlers: Ray takes SIGTERM for itself, and ends the process without a word."""
    is_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if is_main else {}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _require_answer(address: str | None) -> None:
    """Raise an error where nobody listens: Ray itself tries for minutes."""
    host, colon, port = (address or "").removeprefix(_CLIENT).rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()


def _check(ray: Any) -> None:  # noqa: ANN401 - as above
    """Refuse machines that would compute something else."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415 - as above

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    if not nodes:
        raise Misconfigured("--ray-address: no machine of the Ray cluster has a processor to give")
    _LOG.info("ray: %d machines, %d processors", len(nodes), sum(node["Resources"]["CPU"] for node in nodes))
    ask, here = ray.remote(num_cpus=0)(_differing), _installed()
    strategies = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    asked = [ask.options(scheduling_strategy=strategy).remote(here) for strategy in strategies]
    for node, answer in zip(nodes, asked, strict=True):
        name = node["NodeManagerAddress"]
        try:
            differing = ray.get(answer, timeout=_SILENT_S)
        except (ray.exceptions.TaskUnschedulableError, ray.exceptions.NodeDiedError):
            _LOG.warning("ray: %s has gone meanwhile", name)
            continue
        except ray.exceptions.GetTimeoutError as exc:
            raise Misconfigured(f"--engine ray: {name} gave no answer within {_SILENT_S:g} s") from exc
        except ray.exceptions.RayError as exc:
            raise Misconfigured(f"--engine ray: {name} cannot run neardup, {_INSTALL}: {_reason(exc)}") from exc
        if differing:
            raise Misconfigured(f"--engine ray: {name} has {differing}: {_INSTALL}")


def _differing(here: Mapping[str, str]) -> str:
    """Return which packages are others where this is called than in the job; nothing if none is."""
    there = _installed()
    names = [name for name in (*here, *(there.keys() - here.keys())) if there.get(name) != here.get(name)]
    return "; ".join(f"{name} {there.get(name, 'not installed')}, the job {here.get(name, 'none')}" for name in names)


def _installed() -> dict[str, str]:
    """Return the releases that are installed where this is called."""
    found = {"Python": platform.python_version()}
    for package in _SAME:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
