"""What a worker tells its parent over the socket between them: how it is, and what it has counted.

The parent sends the worker's number, its settings and the folder that all of them share, and closes its side when the
worker is to finish.
"""

import contextlib
import pickle
import socket
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from prometheus_client import Metric

from consumer.health import Health
from consumer.metrics import Metrics
from neardup.processes import framed

EVERY_S = 1.0
"""Prometheus asks every 15 seconds or so; a worker that is killed takes with it what it counted since the last one."""


@dataclass(frozen=True, slots=True)
class Report:
    """The state of a worker at one moment; by default of one that has yet to begin.

    Attributes
    ----------
    health
        Its health; all processes of a machine have the same monotonic clock.
    families
        Its metrics.
    refused
        Why it cannot go on, if settings or an index are to blame, and no other worker could either.
    """

    health: Health = field(default_factory=Health)
    families: list[Metric] = field(default_factory=lambda: families_of(Metrics()))
    refused: str = ""


def families_of(metrics: Metrics) -> list[Metric]:
    """Return what is counted and shown now."""
    return list(metrics.registry.collect())


class Reporter:
    """Reports every second, on a thread, and once more at the end.

    Parameters
    ----------
    channel
        To the parent.
    metrics, health
        What is told of.

    Attributes
    ----------
    refused
        See `Report`.
    """

    def __init__(self, channel: socket.socket, metrics: Metrics, health: Health) -> None:
        self._channel = channel
        self._metrics = metrics
        self._health = health
        self.refused = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._report_on, name="report", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._report()

    def _report_on(self) -> None:
        while not self._end.wait(EVERY_S):
            self._report()

    def _report(self) -> None:
        report = Report(self._health, families_of(self._metrics), self.refused)
        with contextlib.suppress(OSError):  # a parent that is gone has nobody to tell
            self._channel.sendall(b"".join(framed(pickle.dumps(report, pickle.HIGHEST_PROTOCOL))))
