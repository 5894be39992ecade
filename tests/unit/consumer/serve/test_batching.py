"""What is asked at the same time goes together; what there is no room for is told so."""

import asyncio
import gc
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from consumer.health import Health
from consumer.metrics import Metrics
from consumer.serve.admission import Admission, Ticket
from consumer.serve.batching import Batcher
from consumer.serve.judging import _FETCHED_AT_ONCE, Judging
from consumer.serve.problems import Problem
from consumer.serve.service import _until_stopped
from neardup.errors import Misconfigured
from tests.support.processes import eventually


class Work:
    """Doubles numbers, batch by batch, when it is let."""

    def __init__(self, size: int = 3, at_once: int = 1) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()
        self.batcher = Batcher(self.double, size, at_once)

    async def double(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        await self.go.wait()
        if 13 in numbers:
            raise ValueError("thirteen")
        return [2 * number for number in numbers]

    async def of(self, *numbers: int) -> list[int | BaseException]:
        asking = asyncio.gather(*map(self.batcher.ask, numbers), return_exceptions=True)
        await asyncio.sleep(0)
        self.go.set()
        return await asking


@pytest.mark.parametrize(("at_once", "batches"), [(1, [[1], [2, 3, 4], [5, 6, 7]]), (2, [[1], [2], [3, 4, 5], [6, 7]])])
def test_the_first_goes_at_once_and_what_comes_meanwhile_together(at_once: int, batches: list[list[int]]) -> None:
    async def run() -> None:
        work = Work(at_once=at_once)
        assert await work.of(1, 2, 3, 4, 5, 6, 7) == [2, 4, 6, 8, 10, 12, 14]
        assert work.batches == batches

    asyncio.run(run())


def test_what_goes_wrong_is_told_to_all_of_the_batch_and_to_no_other() -> None:
    async def run() -> None:
        answers = await Work().of(1, 13, 3, 4, 5)
        assert [type(answer) for answer in answers] == [int, ValueError, ValueError, ValueError, int]

    asyncio.run(run())


def test_who_has_stopped_waiting_spoils_nothing() -> None:
    async def run() -> None:
        work = Work()
        gone = asyncio.ensure_future(work.batcher.ask(1))
        await asyncio.sleep(0)
        gone.cancel()
        assert await work.of(2, 3) == [4, 6]

    asyncio.run(run())


@pytest.fixture
def admission() -> Admission:
    return Admission(2, 100, Metrics())


def test_above_the_limit_of_images_others_are_told_to_come_again(admission: Admission) -> None:
    tickets = [Ticket(admission) for _ in range(3)]
    for ticket in tickets[:2]:
        ticket.enter()
    with pytest.raises(Problem, match="2 images are in work") as refused:
        tickets[2].enter()
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
    with pytest.raises(Problem):
        Ticket(admission)
    tickets[0].close()
    tickets[2].enter()
    for ticket in tickets:
        ticket.close()
        ticket.close()
    assert admission.in_work == 0


def test_bytes_are_counted_as_they_come(admission: Admission) -> None:
    one, other = Ticket(admission), Ticket(admission)
    one.carry(60)
    other.carry(40)
    with pytest.raises(Problem, match="100 bytes of images") as full:
        other.carry(1)
    assert full.value.status == 503
    one.close()
    other.carry(20)
    other.close()
    assert admission._bytes == 0


def test_what_is_in_work_is_shown() -> None:
    metrics = Metrics()
    ticket = Ticket(Admission(1, 1, metrics))
    ticket.enter()
    assert metrics.registry.get_sample_value("neardup_http_in_flight") == 1
    ticket.close()
    assert metrics.registry.get_sample_value("neardup_http_in_flight") == 0


def test_an_end_waits_for_what_has_begun_and_for_no_more() -> None:
    nothing: Any = None
    release = threading.Event()

    async def run() -> None:
        judging = Judging(
            index=nothing, handler=nothing, uris=nothing, metrics=Metrics(), health=Health(), batch_size=1
        )
        begun = [judging._fetchers.submit(release.wait, 60) for _ in range(_FETCHED_AT_ONCE)]
        behind = judging._fetchers.submit(int)
        ending = threading.Thread(target=judging.__exit__, args=(None, None, None))
        ending.start()
        try:
            eventually(behind.cancelled, "given up", 10)
        finally:
            release.set()
            ending.join(60)
        assert all(each.result() for each in begun)

    asyncio.run(run())


def test_two_errors_at_once_leave_none_unseen(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise Misconfigured("it is gone")

    async def run() -> None:
        judging: Any = SimpleNamespace(failed=asyncio.ensure_future(fail()))
        watching = asyncio.ensure_future(fail())
        await asyncio.wait([judging.failed, watching])
        with pytest.raises(Misconfigured, match="it is gone"):
            await _until_stopped(threading.Event(), judging, watching)

    for _ in range(5):  # which of both is looked at first is chance
        asyncio.run(run())
    gc.collect()
    assert caplog.records == []
