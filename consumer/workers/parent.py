"""The parent of several workers: it starts them, replaces who dies, ends them together, and answers for all of them."""

import contextlib
import logging
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from consumer.backoff import Backoff
from consumer.ending import EXIT_UNEXPECTED, stopped_by_signals
from consumer.health import HealthServer
from consumer.metrics import Metrics
from consumer.settings import ServiceSettings
from consumer.workers.merging import counted, merged
from consumer.workers.report import Report, families_of
from neardup.cli.running import EXIT_MISCONFIGURED
from neardup.errors import Misconfigured
from neardup.index.shared.folder import folder_in_memory
from neardup.processes import framed, read_message

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Before a worker is replaced: one that dies as soon as it starts must not take the cores from the others."""
STEADY_S = 300.0
"""Who has lived so long begins again with the first pause."""
_LOOK_S = 0.1
"""How often the parent looks for signals, and for who is to be replaced."""

_log = logging.getLogger(__name__)


def supervise(settings: ServiceSettings, shares: Sequence[ServiceSettings]) -> int:
    """Run a worker with each share of the settings until SIGTERM or SIGINT; return the exit code.

    Raises
    ------
    Misconfigured
        The endpoint cannot be served, or a worker says that no worker can go on.
    """
    stop = threading.Event()
    with folder_or_none(settings) as folder, Crew(shares, folder) as crew, stopped_by_signals(stop):
        registry = CollectorRegistry()
        registry.register(crew)
        with HealthServer(settings.metrics_host, settings.metrics_port, registry, crew):
            return crew.run(stop)


@contextlib.contextmanager
def folder_or_none(settings: ServiceSettings) -> Iterator[Path | None]:
    """Give a folder in which workers share what they know of the index; None where they have one, or none can be."""
    with contextlib.ExitStack() as stack:
        folder = None
        try:
            if settings.index_cache is None:
                folder = stack.enter_context(folder_in_memory())
        except OSError as error:
            _log.warning("the workers cannot share the memory of the index: %s", error)
        yield folder


class Crew(Collector):
    """All workers; leaving the block kills those that still run.

    Parameters
    ----------
    shares
        The settings of each.
    folder
        What they share.
    monotonic
        Clock in seconds.
    """

    def __init__(
        self,
        shares: Sequence[ServiceSettings],
        folder: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._ended: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._workers = [Worker(number, share, folder, self._ended) for number, share in enumerate(shares, start=1)]
        self._metrics = Metrics()
        self._past: list[Metric] = []
        self._adding = threading.Lock()
        self._refused = ""
        self._code = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.kill()

    # -- running ------------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> int:
        """Keep all of them running until told to stop or one cannot go on, and until all have ended.

        Raises
        ------
        Misconfigured
            One cannot go on, and none could.
        """
        while not stop.is_set() and not self._refused:
            self._start_who_is_due()
            self._bury_who_ended()
        for worker in self._workers:
            worker.finish()
        while any(worker.runs for worker in self._workers):
            self._bury_who_ended(finishing=True)
        if self._refused:
            raise Misconfigured(self._refused)
        return self._code

    def _start_who_is_due(self) -> None:
        for worker in self._workers:
            if not worker.runs and worker.due_s <= self._monotonic():
                try:
                    worker.start(self._monotonic())
                except OSError as error:
                    wait_s = worker.pause_s(self._monotonic())
                    _log.warning("worker %d cannot be started: %s; trying in %.1f s", worker.number, error, wait_s)

    def _bury_who_ended(self, *, finishing: bool = False) -> None:
        try:
            worker = self._ended.get(timeout=_LOOK_S)
        except queue.Empty:
            return
        code = worker.wait()
        self._refused = self._refused or _refusal(worker, code)
        with self._adding:
            self._past = merged([self._past, counted(worker.report.families)])
            worker.report = Report()
        if finishing:
            self._code = max(self._code, _code_at_the_end(code))
        elif not self._refused:
            self._metrics.worker_restarts.inc()
            pause_s = worker.pause_s(self._monotonic())
            _log.error("worker %d %s; another one starts in %.1f s", worker.number, _ending(code), pause_s)

    # -- answering for all --------------------------------------------------------------------------------------------

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all workers as those of one, with what workers counted that have ended."""
        with self._adding:
            every = [worker.report.families for worker in self._workers]
            families = merged([*every, self._past, counted(families_of(self._metrics))])
        yield from families

    def liveness(self) -> tuple[bool, str]:
        """Return whether every worker's loop turns, and how long ago the one last did that has not for longest."""
        told = [(each.report.health.liveness(), each.report.health.last_turn_s, each.number) for each in self._workers]
        (alive, detail), _, number = min(told, key=lambda each: (each[0][0], each[1]))  # one that is stuck comes first
        return alive, f"worker {number}: {detail}"

    def readiness(self) -> tuple[bool, str]:
        """Return whether every worker judges images, and what is missing of each that does not."""
        missing = {worker.number: worker.report.health.missing for worker in self._workers}
        told = "; ".join(f"worker {number}: {what}" for number, what in missing.items() if what)
        return not told, told or "ready"


class Worker:
    """A process, the socket to it, and what it last told.

    Parameters
    ----------
    number
        Counted from 1.
    settings
        Its own.
    folder
        What it shares with the others.
    ended
        Gets it once it says nothing more.

    Attributes
    ----------
    report
        The last one.
    runs
        Whether there is a process.
    due_s
        When the next process may start, by the clock of whoever starts it.
    """

    def __init__(
        self, number: int, settings: ServiceSettings, folder: Path | None, ended: "queue.SimpleQueue[Worker]"
    ) -> None:
        self.number = number
        self.report = Report()
        self.runs = False
        self.due_s = float("-inf")
        self._order = pickle.dumps((number, settings, folder))
        self._ended = ended
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)

    def start(self, now_s: float) -> None:
        """Start a process.

        Raises
        ------
        OSError
            The system has none to give.
        """
        self._started_s = now_s
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as stack:
            stack.enter_context(ours)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "consumer.workers.worker"],
                stdin=theirs.fileno(),
                process_group=0,  # a Ctrl-C on the terminal is not for it, from its first moment on
            )
            stack.pop_all()
        self._channel, self.runs = ours, True
        stream = cast("IO[bytes]", self._channel.makefile("rb"))
        threading.Thread(target=self._listen, args=(stream,), name=f"worker {self.number}", daemon=True).start()
        with contextlib.suppress(OSError):  # it has ended already, and its listener says so
            self._channel.sendall(b"".join(framed(self._order)))

    def _listen(self, stream: IO[bytes]) -> None:
        with stream, contextlib.suppress(OSError):
            while (message := read_message(stream)) is not None:
                self.report = pickle.loads(message)  # noqa: S301 - from the process that we started
        self._ended.put(self)

    def finish(self) -> None:
        """Have it finish what is in hand, and end."""
        if self.runs:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                self._channel.shutdown(socket.SHUT_WR)

    def wait(self) -> int:
        """Return its exit code once it has ended; negative is the number of a signal."""
        code = self._process.wait()
        self._channel.close()
        self.runs = False
        return code

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self.runs:
            self._process.kill()
            self.wait()

    def pause_s(self, now_s: float) -> float:
        """Return how long to wait before another process takes its place, and note when that is."""
        if now_s - self._started_s >= STEADY_S:
            self._backoff.reset()
        wait_s = self._backoff.next_wait_s()
        self.due_s = now_s + wait_s
        return wait_s


def _refusal(worker: Worker, code: int) -> str:
    """Return why no worker can go on, if this one says so."""
    if worker.report.refused or code != EXIT_MISCONFIGURED:
        return worker.report.refused
    return f"worker {worker.number} ended with exit code {code}"


def _code_at_the_end(code: int) -> int:
    """Return what the exit code of a worker that was to finish means for all."""
    if code in {-signal.SIGTERM, -signal.SIGINT}:  # an orchestrator's, before it had begun
        return 0
    return EXIT_UNEXPECTED if code < 0 else code


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
