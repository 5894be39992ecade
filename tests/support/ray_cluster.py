"""A Ray cluster of two machines, as far as Ray can tell: each with processes of its own, and killed at once."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.services.process import free_port
from tests.support.processes import ROOT, Program

MACHINE = "NEARDUP_TEST_MACHINE"
"""In the environment of what runs there: which machine it is."""
FIRST, SECOND = "first", "second"
_MEMORY_BYTES = 80 * 1024 * 1024
"""Of each object store: the least that Ray takes."""
_BEGUN = "Ray runtime started."
_DEADLINE_S = 240.0


class RayCluster:
    """The first machine, and room for a second one.

    Attributes
    ----------
    address, client_address
        As ``--ray-address`` takes them.
    """

    def __init__(self, folder: str) -> None:
        port, client_port = free_port(), free_port()
        self.address = f"127.0.0.1:{port}"
        self.client_address = f"ray://127.0.0.1:{client_port}"
        first = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}"]
        first += [f"--ray-client-server-port={client_port}", f"--dashboard-port={free_port()}"]
        self._second: Program | None = None
        self._first = _begun(FIRST, first)

    def with_second(self, path: str = str(ROOT)) -> None:
        """Start the second machine, unless it runs; Python looks for modules in `path` first."""
        if self._second is None or self._second.process.poll() is not None:
            self._second = _begun(SECOND, [f"--address={self.address}"], path)

    def kill_second(self) -> None:
        """Kill all processes of the second machine, if it runs."""
        if self._second is not None:
            _kill(self._second)

    def close(self) -> None:
        """Kill what runs."""
        self.kill_second()
        _kill(self._first)


def _kill(machine: Program) -> None:
    if machine.process.poll() is None:
        os.killpg(machine.process.pid, signal.SIGKILL)
    machine.wait()


def kill_this_machine() -> None:
    """Kill all processes of the machine that calls this, at once."""
    os.killpg(0, signal.SIGKILL)


def _begun(machine: str, arguments: list[str], path: str = str(ROOT)) -> Program:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *arguments),
            *("--node-ip-address=127.0.0.1", "--num-cpus=1", "--disable-usage-stats"),
            *(f"--object-store-memory={_MEMORY_BYTES}", f"--dashboard-agent-listen-port={free_port()}"),
        ],
        cwd=ROOT,
        env={**os.environ, MACHINE: machine, "PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    program = Program(process)
    program.await_line(_BEGUN, _DEADLINE_S)
    return program


@contextmanager
def ray_cluster() -> Iterator[RayCluster]:
    """Yield a cluster of one machine; it ends with all that was started."""
    # Ray's sockets lie in this folder, and no path of a socket may be long.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    try:
        cluster = RayCluster(folder)
        try:
            yield cluster
        finally:
            cluster.close()
    finally:
        shutil.rmtree(Path(folder), ignore_errors=True)
