"""What the parent says of its workers, before any of them runs."""

import time

import pytest

from consumer.health import STALLED_AFTER_S, Health
from consumer.settings import ServiceSettings
from consumer.workers.parent import FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S, Crew, Worker
from consumer.workers.report import Report


def health(missing: str = "", idle_s: float = 0.0) -> Health:
    state = Health(lambda: time.monotonic() - idle_s)
    state.not_ready(missing)
    return state


@pytest.fixture
def crew() -> Crew:
    return Crew([ServiceSettings(), ServiceSettings()])


def tell(crew: Crew, *states: Health) -> None:
    for worker, state in zip(crew._workers, states, strict=True):
        state._monotonic = time.monotonic
        worker.report = Report(state)


def test_workers_that_have_not_told_anything_are_starting(crew: Crew) -> None:
    assert crew.readiness() == (False, "worker 1: starting; worker 2: starting")
    assert crew.liveness()[0]


def test_all_have_to_be_ready(crew: Crew) -> None:
    tell(crew, health(), health("redis is away"))
    assert crew.readiness() == (False, "worker 2: redis is away")
    tell(crew, health(), health())
    assert crew.readiness() == (True, "ready")


def test_every_loop_has_to_turn(crew: Crew) -> None:
    tell(crew, health(), health(idle_s=STALLED_AFTER_S + 1))
    alive, detail = crew.liveness()
    assert not alive
    assert detail.startswith("worker 2: last turn 121")


def test_one_that_reads_the_index_hides_none_that_is_stuck(crew: Crew) -> None:
    reading = health(idle_s=STALLED_AFTER_S + 9)
    reading._is_busy = True
    tell(crew, reading, health())
    assert crew.liveness()[0]
    tell(crew, reading, health(idle_s=STALLED_AFTER_S + 1))
    alive, detail = crew.liveness()
    assert not alive
    assert detail.startswith("worker 2: last turn 121")


def test_pauses_grow_until_one_has_lived_for_long() -> None:
    worker = Worker(1, ServiceSettings(), None, None)  # type: ignore[arg-type]  # it never runs
    worker._started_s = 0.0
    pauses = [worker.pause_s(1.0) for _ in range(12)]
    assert pauses[0] <= FIRST_PAUSE_S < pauses[4] <= LONGEST_PAUSE_S
    assert LONGEST_PAUSE_S / 2 <= pauses[-1] <= LONGEST_PAUSE_S
    assert worker.due_s == 1.0 + pauses[-1]
    assert worker.pause_s(STEADY_S + 1.0) <= FIRST_PAUSE_S
