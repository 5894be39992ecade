"""The service between its parts, without servers."""

import io
import logging
import signal
import sys
import threading

import pytest

from consumer import ending
from consumer.ending import stopped_by_signals
from consumer.handler import OutputTopics
from consumer.health import Health
from consumer.messages import ImageMessage, OutgoingMessage
from consumer.metrics import Metrics
from consumer.service import run, suited_to_threads
from consumer.settings import ServiceSettings
from consumer.transport.at_least_once import AtLeastOnceDelivery
from consumer.transport.exactly_once import transactional_id_of
from consumer.transport.memory import MemorySink, MemorySource
from neardup.descriptors import DEFAULT, load_descriptor
from neardup.descriptors.pca import Pca
from neardup.errors import RedisUnavailable
from neardup.index.base import IndexMeta
from neardup.index.memory import MemoryIndex
from tests.support.processes import photo
from tests.support.processes import run as run_python


class Absent(MemoryIndex):
    """An index that was opened, and whose server then goes away for the next two questions."""

    absences = 2

    def pca(self) -> Pca | None:
        if self.absences:
            self.absences -= 1
            raise RedisUnavailable("Redis does not answer: connection refused")
        return super().pca()


def test_no_two_groups_have_a_transactional_id_in_common() -> None:
    members = [("cams", "eu-1"), ("cams-eu", "1"), ("cams-instance", "eu-1"), ("cams", "instance-eu-1")]
    ids = [transactional_id_of(ServiceSettings(group=group, group_instance_id=name)) for group, name in members]
    assert len(set(ids)) == len(members)
    assert all(one.startswith(f"neardup-{group}-") for one, (group, _) in zip(ids, members, strict=True))
    assert transactional_id_of(ServiceSettings()) != transactional_id_of(ServiceSettings())


def test_a_server_that_goes_away_between_opening_and_judging_is_waited_for() -> None:
    descriptor = load_descriptor(DEFAULT, None)
    meta = IndexMeta("absent", 0, descriptor.spec, descriptor.fingerprint, descriptor.dimension, radius=0.3)
    published: list[OutgoingMessage] = []
    source = MemorySource([ImageMessage("images", 0, 0, 0, None, photo(1))])
    metrics, health = Metrics(), Health()
    delivery = AtLeastOnceDelivery(source, MemorySink(published.append))
    settings = ServiceSettings()
    run(
        settings,
        Absent(meta),
        source,
        delivery,
        topics=OutputTopics("verdicts", "dead"),
        claim_checks=settings,
        metrics=metrics,
        health=health,
        stop=threading.Event(),
    )
    (verdict,) = published
    assert verdict.topic == "verdicts"
    assert metrics.registry.get_sample_value("neardup_redis_errors_total") == 2
    assert metrics.registry.get_sample_value("neardup_retries_total", {"operation": "connect"}) == 2


def test_told_to_stop_while_the_server_is_away_it_ends_with_nothing_published() -> None:
    descriptor = load_descriptor(DEFAULT, None)
    meta = IndexMeta("absent", 0, descriptor.spec, descriptor.fingerprint, descriptor.dimension, radius=0.3)
    published: list[OutgoingMessage] = []
    source = MemorySource([ImageMessage("images", 0, 0, 0, None, photo(1))])
    stop = threading.Event()
    stop.set()
    delivery = AtLeastOnceDelivery(source, MemorySink(published.append))
    settings = ServiceSettings()
    run(
        settings,
        Absent(meta),
        source,
        delivery,
        topics=OutputTopics("verdicts", "dead"),
        claim_checks=settings,
        metrics=Metrics(),
        health=Health(),
        stop=stop,
    )
    assert published == []


class Interrupted(io.RawIOBase):
    """What a log is written to, with a signal in the middle of the first line."""

    def __init__(self) -> None:
        self.said = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        first, line = not self.said, bytes(data)  # type: ignore[call-overload]
        self.said += line
        if first:
            signal.raise_signal(signal.SIGTERM)
        return len(line)


def test_told_to_stop_in_the_middle_of_a_line_of_its_log_it_stops_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    raw, stop = Interrupted(), threading.Event()
    stream = io.TextIOWrapper(io.BufferedWriter(raw), write_through=True)
    monkeypatch.setattr(sys, "stderr", stream)
    log, handler = logging.getLogger("consumer.ending"), logging.StreamHandler(stream)
    monkeypatch.setattr(log, "level", logging.INFO)
    log.addHandler(handler)
    try:
        with stopped_by_signals(stop):
            log.info("a line")
            assert stop.wait(10.0)
    finally:
        log.removeHandler(handler)
    assert raw.said.decode().splitlines() == ["a line", "SIGTERM: finishing what is in hand"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (ending.CONSUMER, "consumer: SIGTERM again: exiting now, what is in hand will be delivered again"),
        (ending.FOLDER, "folder: SIGTERM again: exiting now, what is in hand is judged by the next run"),
        (ending.FEED, "feed: SIGTERM again: exiting now, what is in hand may not have been published"),
    ],
)
def test_who_is_told_a_second_time_says_who_it_is_and_what_becomes_of_what_is_in_hand(name: str, told: str) -> None:
    program = (
        "import os, signal, sys, threading\n"
        "from consumer.ending import stopped_by_signals\n"
        "stop = threading.Event()\n"
        "with stopped_by_signals(stop, sys.argv[1]):\n"
        "    for _ in range(2):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        stop.wait(10.0)\n"
    )
    ran = run_python(["-c", program, name])
    assert (ran.returncode, ran.stderr) == (128 + signal.SIGTERM, f"{told}\n")


class Told(threading.Event):
    """An event that remembers who set it."""

    by: threading.Thread | None = None

    def set(self) -> None:
        self.by = threading.current_thread()
        super().set()


def test_a_signal_does_not_set_the_event_in_the_thread_that_may_be_waiting_for_it() -> None:
    stop = Told()
    with stopped_by_signals(stop):
        signal.raise_signal(signal.SIGINT)
        assert stop.wait(10.0)
    assert stop.by is not threading.main_thread()


def test_threads_take_turns_more_often_while_the_service_works_and_no_longer() -> None:
    before_s = sys.getswitchinterval()
    with suited_to_threads():
        assert sys.getswitchinterval() < before_s
    assert sys.getswitchinterval() == before_s
