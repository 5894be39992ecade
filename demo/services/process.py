"""One server process: its folder, port and life cycle; it ends even if we are killed."""

import secrets
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from demo.services.errors import ServiceFailed

HOST = "127.0.0.1"
# Below the ranges that Linux (32768 up) and macOS (49152 up) give to outgoing connections: a client that
# keeps trying a port there while its server is down can be given that very port, connect to itself, and so
# keep the server from ever coming back to it.
_PORTS = range(20_000, 32_000)
_POLL_S = 0.05
_LOG_TAIL_LINES = 15


def free_port() -> int:
    """Return a port of this machine that nobody listens on, and keep it from others while this process runs.

    On Linux it is held: by a socket that is bound to it and does not listen, beside which a server with
    SO_REUSEADDR may (all that we start set it), while nobody else is given the port before that server is up.

    Raises
    ------
    OSError
        A hundred ports in a row were taken.
    """
    for _ in range(100):
        port = secrets.choice(_PORTS)  # test libraries seed `random` alike in every process
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) and _take(port):
                return port
    raise OSError("no free port found")


def _take(port: int) -> bool:
    """Bind `port`, and hold it where a server may still listen on it; say whether that was possible."""
    holder = socket.socket()
    try:
        holder.bind((HOST, port))
    except OSError:
        holder.close()
        return False
    if sys.platform == "linux":
        # After the bind, which is so refused to the second of two processes that try the same port at once.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.detach()  # open until this process ends
    else:
        holder.close()
    return True


class Server(ABC):
    """A server process that can be stopped, killed, and started again on its data and its port.

    A context manager: started on entry; on exit stopped, and its folder removed. A server that is killed or
    stopped inside keeps its folder until then. Should this process itself be killed, a guard ends the server.

    Parameters
    ----------
    start_timeout_s, stop_timeout_s
        How long the server may take to answer, and to end when asked to.
    """

    service: ClassVar[str]

    def __init__(self, *, start_timeout_s: float = 150.0, stop_timeout_s: float = 15.0) -> None:
        self.start_timeout_s = start_timeout_s
        self.stop_timeout_s = stop_timeout_s
        self.address = (HOST, free_port())
        self._temp = tempfile.TemporaryDirectory(prefix=f"neardup-{self.service.lower()}-")
        self.folder = Path(self._temp.name)
        self.log_path = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: _Guard | None = None

    @property
    def running(self) -> bool:
        """Whether the process is there, ready or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError(f"{self.service} is not started")
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the server, for the first time or again; return once it answers.

        Raises
        ------
        ServiceFailed
            It ended, or did not answer in time: the end of its log is in the message.
        """
        if self.running:
            raise RuntimeError(f"{self.service} runs already")
        self._prepare()
        self._spawn()
        try:
            self._await_answer()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End the server as it should end; kill it should it take too long."""
        try:
            if self._process is not None:
                self._process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(self.stop_timeout_s)
        finally:
            self.kill()

    def kill(self) -> None:
        """End the server at once (SIGKILL), as a crash would."""
        if self._process is not None:
            # Safe for a process that has ended: Popen never signals a pid that it has waited for.
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._guard is not None:
            self._guard.release()
            self._guard = None

    def close(self) -> None:
        """Stop the server and remove its folder: the end of this object."""
        try:
            self.stop()
        finally:
            self._temp.cleanup()

    @abstractmethod
    def _prepare(self) -> None:
        """Write what the process reads at its start; called before every start."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the command line of the server, which must stay in the foreground."""

    @abstractmethod
    def _environment(self) -> Mapping[str, str]:
        """Return the whole environment of the process."""

    @abstractmethod
    def _answers(self, timeout_s: float) -> bool:
        """Say whether a real request is answered; wait `timeout_s` for the answer at most."""

    def _spawn(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.folder,
                env=dict(self._environment()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C at a terminal goes to all of our process group: the server must outlive it until our
                # own orderly end.
                start_new_session=True,
            )
        self._guard = _Guard(self._process.pid, self.folder)

    def _await_answer(self) -> None:
        deadline_s = time.monotonic() + self.start_timeout_s
        # A request is given seconds, not all of the time left, so that a process that died is seen.
        while not self._answers(timeout_s=2.0):
            if self._process is not None and self._process.poll() is not None:
                raise self._failed(f"ended at its start with status {self._process.returncode}")
            if time.monotonic() > deadline_s:
                raise self._failed(f"did not answer within {self.start_timeout_s:g} s")
            time.sleep(_POLL_S)

    def _failed(self, what: str) -> ServiceFailed:
        lines = self.log_path.read_text("utf-8", "replace").splitlines()[-_LOG_TAIL_LINES:]
        return ServiceFailed(self.service, "\n  ".join([f"{what}; the end of its log:", *lines]))


def accepts(address: tuple[str, int], timeout_s: float = 1.0) -> bool:
    """Say whether anybody listens at `address`: the cheap question before the real one."""
    try:
        socket.create_connection(address, timeout_s).close()
    except OSError:
        return False
    return True


class _Guard:
    """Ends a server, and removes its folder, when this process is gone without having done so itself.

    A shell waits at a pipe whose other end only this process holds: the kernel closes it with us, even on
    `kill -9`. Not PR_SET_PDEATHSIG: Linux alone has it, it needs our code between fork and exec (unsafe
    beside the threads of TensorFlow), and it fires when the *thread* that started the server ends.
    """

    _WAIT_THEN_END = 'read -r _; kill -9 "$0"; rm -rf "$1"'

    def __init__(self, pid: int, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", self._WAIT_THEN_END, str(pid), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """Call the guard off: the server has ended, and its pid may soon be somebody else's."""
        # The kill comes before the pipe closes, so that the shell never gets to read its end.
        self._process.kill()
        self._process.communicate()
