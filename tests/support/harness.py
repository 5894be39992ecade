"""What the fault tests share: a consumer that runs while its servers fail, and what must hold in every fault."""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import Program, eventually, photo
from tests.support.stage import Service, Stage, fresh

WATCH_S = 2.0
"""How long an outage is watched at least."""
RETRIES = 3
"""How many attempts are waited for in an outage."""
LONGEST_WAIT_S = 5.0
MOST_CPU = 0.2
"""Of a core, while a server is away: an idle consumer takes about a fiftieth."""

_WAIT = re.compile(r"retrying in (\d+\.\d) s")


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and that live, where /proc tells."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text("ascii").split()] if path.exists() else []


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process and its children have used, in user and in kernel mode."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("CPU time is read from /proc, which only Linux has")
    return sum(map(_cpu_seconds_of, (pid, *children_of(pid))))


def _cpu_seconds_of(pid: int) -> float:
    # The name of the program stands in parentheses, and may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waits_of(program: Program, since: int = 0) -> list[float]:
    """Return the pauses in seconds that a consumer has announced, from a line of its log on."""
    return [float(found[1]) for line in program.lines[since:] if (found := _WAIT.search(line))]


def sources_of_dead_letters(stage: Stage) -> list[str]:
    """Return the coordinates of the messages that are dead letters by now."""
    return [dict(letter.headers)["error.source"].decode() for letter in stage.dead_reader.read_to_end()]


def audit(stage: Stage) -> None:
    """Check that every message published has exactly one verdict or one dead letter, for read_committed readers."""
    documents = stage.documents()
    told = Counter([*documents, *sources_of_dead_letters(stage)])
    wanted = {
        f"{stage.images}-{partition}-{offset}" for partition, end in stage.published.items() for offset in range(end)
    }
    assert {place: count for place, count in told.items() if count != 1} == {}, "told more than once"
    assert told.keys() == wanted


class Fault:
    """One fault of one server, seen from outside the consumer.

    Parameters
    ----------
    stage, service
        Where the consumer works, and the consumer.
    server
        ``redis`` or ``kafka``: the one that fails.
    retries
        How many attempts are waited for.
    """

    def __init__(self, stage: Stage, service: Service, server: str, retries: int = RETRIES) -> None:
        self._stage, self._service, self._server, self._retries = stage, service, server, retries
        self._since = len(service.program.lines)
        self._errors = self._count(f"neardup_{server}_errors_total")
        self._shown: list[tuple[str, str, str]] = []

    def show(self, *, flush: bool = True) -> None:
        """Publish an image never seen before, a near-duplicate of it, and something that is no image."""
        stage, new = self._stage, fresh()
        self._shown.append(
            (stage.publish(photo(new)), stage.publish(photo(new, quality=60)), stage.publish(b"no image"))
        )
        if flush:
            stage.flush()

    def endure(self) -> None:
        """Wait until the consumer says that the server is away; watch it wait, alive and nearly idle."""
        service = self._service
        eventually(lambda: service.status("/readyz") == (503, f"{self._server} is away"), "not ready")
        assert service.metrics()["neardup_ready", ()] == 0
        began_s, began_cpu_s = time.monotonic(), cpu_seconds(service.program.process.pid)
        eventually(
            lambda: time.monotonic() > began_s + WATCH_S and len(self.waits) >= self._retries,
            "attempts and pauses",
        )
        used = (cpu_seconds(service.program.process.pid) - began_cpu_s) / (time.monotonic() - began_s)
        assert used < MOST_CPU, f"{used:.0%} of a core while {self._server} was away"
        assert service.status("/healthz")[0] == 200
        assert service.status("/readyz")[0] == 503

    @property
    def waits(self) -> list[float]:
        """The pauses since the fault began, in seconds."""
        return waits_of(self._service.program, self._since)

    @property
    def said(self) -> str:
        """The messages of the consumer's log since the fault began."""
        return lines_of(self._service.program, self._since)

    def recover(self) -> None:
        """Wait until all is as it was, and check that the fault has cost nothing."""
        stage, service = self._stage, self._service
        stage.await_outcomes()
        eventually(service.is_ready, "ready again")
        assert service.metrics()["neardup_ready", ()] == 1
        self.check_verdicts()
        audit(stage)

    def check_verdicts(self) -> None:
        """Check what was published during the fault."""
        documents, dead = self._stage.documents(), Counter(sources_of_dead_letters(self._stage))
        for unique, duplicate, garbage in self._shown:
            assert documents[unique]["verdict"] == "unique"
            assert documents[duplicate]["duplicate_of"] == documents[unique]["image_id"]
            assert dead[garbage] == 1

    def check_told(self) -> None:
        """Check that counters and log tell of the fault, and that the pauses were bounded and differ."""
        assert self._count(f"neardup_{self._server}_errors_total") >= self._errors + self._retries
        assert max(self.waits) <= LONGEST_WAIT_S
        assert len(self.waits) < RETRIES or len(set(self.waits)) > 1
        # kafka-python calls errors what it meets on its way; what we say of ourselves is that we wait.
        ours = [line for line in self._service.program.log()[self._since :] if not line["logger"].startswith("kafka")]
        assert {line["level"] for line in ours} <= {"info", "warning"}

    def _count(self, metric: str) -> float:
        return self._service.metrics()[metric, ()]


@contextmanager
def outage(stage: Stage, service: Service, server: str, retries: int = RETRIES) -> Iterator[Fault]:
    """Begin a fault that the consumer notices; what the body broke it must have mended again at its end."""
    eventually(service.is_ready, "ready before the fault")
    fault = Fault(stage, service, server, retries)
    yield fault
    fault.recover()
    fault.check_told()


def fatal_line(program: Program) -> str:
    """Wait for the end of a consumer that cannot go on; return the one line that says why."""
    assert program.wait() == 2, "".join(program.lines)
    (line,) = [line for line in program.lines if line.startswith("consumer: ")]
    assert "Traceback" not in "".join(program.lines)
    return line


def verdict_of(stage: Stage, place: str) -> str:
    """Return the verdict on a message."""
    return str(stage.documents()[place]["verdict"])


def lines_of(program: Program, since: int) -> str:
    """Return the messages of a log from one of its lines on."""
    return "\n".join(json.loads(line)["message"] for line in program.lines[since:] if line.startswith("{"))
