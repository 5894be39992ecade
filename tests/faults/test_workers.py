"""Several workers under one parent: they share the work, and whoever dies costs nothing."""

import json
import os
import secrets
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.harness import audit, children_of, fatal_line
from tests.support.processes import Program, eventually, photo, running
from tests.support.stage import Service, Stage, fresh

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]

PARTITIONS = 4
MakeStage = Callable[[int], Stage]


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    return make_stage(PARTITIONS)


def two_workers(*more: str) -> list[str]:
    """Return what is said of two workers, each with one decoding process."""
    return ["--workers", "2", "--decode-workers", "1", "--batch-size", "4", *more]


def feed(stage: Stage, count: int) -> None:
    """Publish new images, and each of them to every partition."""
    for _ in range(count):
        image = photo(fresh())
        for partition in range(stage.partitions):
            stage.publish(image, partition=partition)
    stage.flush()


def told_by_worker(program: Program) -> Counter[int]:
    """Count the verdicts in the log by the worker that wrote the line."""
    lines = [json.loads(line) for line in tuple(program.lines) if line.startswith("{")]
    return Counter(line["worker"] for line in lines if line["message"] == "verdict")


def family_of(pid: int) -> list[int]:
    """Return all processes below one."""
    found = [pid]
    for each in found:  # grows meanwhile
        found += children_of(each)
    return found[1:]


def mapped_by(pid: int) -> set[Path]:
    """Return the files of the index that a worker has mapped; at least one."""
    lines = Path(f"/proc/{pid}/maps").read_text("utf-8", "replace").splitlines()
    found = {Path(line.split(maxsplit=5)[5]) for line in lines if "/neardup-workers-" in line}
    assert found
    return found


def gone(pid: int) -> bool:
    """Say whether a process has ended; it stays as a zombie where nobody waits for it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:  # noqa: PTH123 - it may go while it is read
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def await_ready(service: Service) -> None:
    """Wait until both workers have partitions and judge."""
    everywhere = {str(partition) for partition in range(PARTITIONS)}
    eventually(lambda: service.is_ready() and service.partitions() == everywhere, "ready, with all partitions")


def test_two_workers_share_the_work_and_are_seen_as_one(stage: Stage) -> None:
    with stage.service(*two_workers()) as service:
        await_ready(service)
        while len(told_by_worker(service.program)) < 2:  # both have partitions by then
            feed(stage, 1)
            stage.await_outcomes()
        shared = {path for pid in children_of(service.program.process.pid) for path in mapped_by(pid)}
        assert len(shared) == 1, "not the same memory of the index"
        feed(stage, 4)
        stage.await_outcomes()
        total = stage.published.total()
        eventually(lambda: service.images() == total, "the sum of both")
        sizes = service.metrics()
        assert sum(told_by_worker(service.program).values()) == total
        assert sizes["neardup_index_members", ()] < total
        assert sizes["neardup_worker_restarts_total", ()] == 0
        assert service.status("/healthz")[0] == 200
        assert service.program.stop() == 0
    assert not shared.pop().parent.exists()
    audit(stage)
    assert stage.committed() == stage.published
    verdicts = Counter(document["verdict"] for document in stage.documents().values())
    # Every image stood in each partition, and one of them alone is unique, whoever judged it.
    assert verdicts == {"unique": total // PARTITIONS, "duplicate": total - total // PARTITIONS}


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(stage: Stage) -> None:
    # By its name its successor is known: its partitions need not wait for the end of a session, which is short here.
    names = ("--group-instance-id", f"crew-{secrets.token_hex(4)}", "--session-timeout-s", "10")
    with stage.service(*two_workers(*names)) as service:
        await_ready(service)
        feed(stage, 8)
        eventually(lambda: service.images() > 0, "work under way")
        before = service.images()
        killed = children_of(service.program.process.pid)[0]
        os.kill(killed, signal.SIGKILL)
        service.program.await_line("was ended by SIGKILL; another one starts")
        eventually(lambda: service.metrics()["neardup_worker_restarts_total", ()] == 1, "counted")
        assert service.images() >= before
        feed(stage, 8)
        stage.await_outcomes()
        await_ready(service)
        assert len(children_of(service.program.process.pid)) == 2
        assert service.program.stop() == 0
    audit(stage)
    assert stage.committed() == stage.published


def test_who_is_killed_takes_the_workers_along(stage: Stage) -> None:
    with stage.service(*two_workers()) as service:
        await_ready(service)
        feed(stage, 1)
        stage.await_outcomes()  # so that the decoding processes have begun, too
        below = family_of(service.program.process.pid)
        assert len(below) == 4
        service.program.process.kill()
        service.program.wait()
        eventually(lambda: all(map(gone, below)), "all below have ended")


def test_a_second_signal_ends_all_at_once(stage: Stage) -> None:
    with stage.service(*two_workers()) as service:
        await_ready(service)
        below = family_of(service.program.process.pid)
        for pid in children_of(service.program.process.pid):
            os.kill(pid, signal.SIGSTOP)  # they cannot finish
        service.program.process.send_signal(signal.SIGTERM)
        service.program.await_line("finishing what is in hand")
        assert service.program.stop() == 128 + signal.SIGTERM
        eventually(lambda: all(map(gone, below)), "all below have ended")


def test_a_signal_to_all_processes_is_one_signal(stage: Stage) -> None:
    # As systemd and terminals send it.
    with stage.service(*two_workers()) as service:
        await_ready(service)
        feed(stage, 4)
        for pid in family_of(service.program.process.pid):
            os.kill(pid, signal.SIGTERM)
        assert service.program.stop() == 0
    told = {**stage.documents()}
    assert len(told) == sum(stage.committed().values())


def test_what_no_worker_can_go_on_with_is_said_once(stage: Stage) -> None:
    with running(stage.arguments(*two_workers("--index", "missing"))) as program:
        assert "there is no index 'missing'" in fatal_line(program)
