"""Consumers that come to grief at a named step: the real command line, in a process of its own, with our hand in it."""

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import consumer.__main__
import consumer.logs
import consumer.loop
import consumer.service
import consumer.transport.at_least_once
import consumer.transport.exactly_once
from consumer.handler import Handler
from consumer.roles.decider import DecidingSteps
from consumer.roles.describer import DescribingSteps
from consumer.transport.at_least_once import AtLeastOnceDelivery
from consumer.transport.exactly_once import ExactlyOnceDelivery
from consumer.transport.kafka import KafkaSink, KafkaSource
from neardup.index.redis import RedisIndex
from tests.support.processes import DEADLINE_S

Call = Callable[..., Any]
STEPS = (Handler, DescribingSteps, DecidingSteps)
"""Of each role: a process has one of them."""

EVERYWHERE = ("polled", "described", "half decided", "decided")
IN_A_TRANSACTION = ("offsets sent", "half sent", "all sent", "commit sent", "committed")
IN_TURN = ("half published", "published", "offsets committed")


@dataclass(frozen=True)
class Order:
    """What a process is to be.

    Attributes
    ----------
    arguments
        Its command line.
    log
        File for what it writes.
    step
        Where something happens to it, None for nowhere.
    number
        The signal that it is sent there.
    again
        Whether it is sent the signal over and over from then on.
    constants
        Values for constants of `consumer.transport.exactly_once`.
    slow_s
        How long the descriptor takes for a batch, besides what it takes.
    in_hand
        How many batches it has in hand before the first is decided, and before anything happens to it.
    """

    arguments: Sequence[str]
    log: Path
    step: str | None = None
    number: signal.Signals = signal.SIGKILL
    again: bool = False
    constants: Mapping[str, int] = field(default_factory=dict)
    slow_s: float = 0.0
    in_hand: int = 1


def live(order: Order) -> None:
    """Be a consumer until the end."""
    with order.log.open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 2)
    faulthandler.register(signal.SIGUSR1)
    for name, value in order.constants.items():
        setattr(consumer.transport.exactly_once, name, value)
    if order.slow_s:
        for steps in STEPS:
            _before(steps, "describe", lambda: time.sleep(order.slow_s))
    enough = _hold(order.in_hand)
    if order.step is not None:
        _place(order.step, _once(lambda: _strike(order)), enough)
    sys.exit(consumer.__main__.main(order.arguments, {}))


def _hold(batches: int) -> threading.Event:
    """Have the first batch wait to be decided until so many were polled; return what is set then."""
    polled, enough = count(1), threading.Event()

    def note() -> None:
        if next(polled) == batches:
            enough.set()

    def wait() -> None:
        assert enough.wait(DEADLINE_S), f"{next(polled) - 1} batches were polled"

    _after(KafkaSource, "poll", note, when=bool)
    for steps in STEPS:
        _before(steps, "decide", wait)
    return enough


def _strike(order: Order) -> None:
    os.kill(os.getpid(), order.number)
    until = time.monotonic() + DEADLINE_S
    # Two that come before the first was heard are one.
    while order.again and time.monotonic() < until:
        time.sleep(0.05)
        os.kill(os.getpid(), order.number)


def _once(act: Callable[[], None]) -> Callable[[], None]:
    left = [act]

    def act_once() -> None:
        if left:
            left.pop()()

    return act_once


def _before(owner: Any, name: str, act: Callable[[], None]) -> None:  # noqa: ANN401 - a class or a module
    original: Call = getattr(owner, name)

    def wrapped(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever it was
        act()
        return original(*args, **options)

    setattr(owner, name, wrapped)


def _after(owner: Any, name: str, act: Callable[[], None], *, when: Callable[[Any], Any] = lambda _: True) -> None:  # noqa: ANN401 - as above
    original: Call = getattr(owner, name)

    def wrapped(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - as above
        result = original(*args, **options)
        if when(result):
            act()
        return result

    setattr(owner, name, wrapped)


def _after_each(name: str, act: Callable[[], None]) -> None:
    for steps in STEPS:
        _after(steps, name, act)


def _halfway(owner: Any, name: str, position: int, act: Callable[[], None]) -> None:  # noqa: ANN401 - as above
    """Have a function of a sequence do the first half of it before anything happens."""
    original: Call = getattr(owner, name)

    def wrapped(*args: Any) -> Any:  # noqa: ANN401 - as above
        items = args[position]
        first = original(*args[:position], items[: len(items) // 2])
        act()
        second = original(*args[:position], items[len(items) // 2 :])
        return None if first is None else first + second

    setattr(owner, name, wrapped)


def _place(step: str, act: Callable[[], None], enough: threading.Event) -> None:
    def described() -> None:
        enough.wait(DEADLINE_S)
        act()

    transaction = consumer.transport.exactly_once
    places: dict[str, Callable[[], None]] = {
        "polled": lambda: _after(KafkaSource, "poll", act, when=lambda messages: messages and enough.is_set()),
        "described": lambda: _after_each("describe", described),
        "half decided": lambda: _halfway(RedisIndex, "decide", 1, act),
        "decided": lambda: _after_each("decide", act),
        "offsets sent": lambda: _after(ExactlyOnceDelivery, "_send_offsets", act),
        "half sent": lambda: _halfway(transaction, "send_all", 1, act),
        "all sent": lambda: _after(transaction, "send_all", act),
        "commit sent": lambda: _do_not_wait(act),
        "committed": lambda: _after(ExactlyOnceDelivery, "_commit", act),
        "half published": lambda: _halfway(KafkaSink, "publish", 1, act),
        "published": lambda: _after(KafkaSink, "publish", act),
        "offsets committed": lambda: _after(AtLeastOnceDelivery, "deliver", act),
        "told": lambda: _after(consumer.loop, "report_outcomes", act),
    }
    places[step]()


def _do_not_wait(act: Callable[[], None]) -> None:
    """Have something happen when the end of a transaction was asked for, and no answer has come."""
    original: Call = consumer.transport.exactly_once._bounded

    def wrapped(producer: Any, begin: Call, timeout_ms: int) -> None:  # noqa: ANN401 - kafka-python has no types
        def begin_and_act(manager: Any) -> Any:  # noqa: ANN401 - as above
            result = begin(manager)
            if manager.is_completing():
                producer._sender.wakeup()
                act()
            return result

        original(producer, begin_and_act, timeout_ms)

    consumer.transport.exactly_once._bounded = wrapped


class Consumers:
    """Starts consumers, by forks of a process that has loaded all that they need."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])
        self._started = 0

    @contextmanager
    def run(self, arguments: Sequence[str], **order: Any) -> Iterator["Consumer"]:  # noqa: ANN401 - fields of an Order
        """Run ``python ARGUMENTS``, which is ``-m consumer ...``; what still runs at the end is killed."""
        self._started += 1
        log = self._folder / f"consumer-{self._started}.log"
        process = self._context.Process(target=live, args=(Order(arguments[2:], log, **order),), daemon=True)
        process.start()
        try:
            yield Consumer(process, log)
        finally:
            process.kill()
            process.join()


@dataclass(frozen=True)
class Consumer:
    """A consumer that runs, or has run."""

    process: BaseProcess
    log: Path

    def said(self) -> str:
        """Return what it wrote so far."""
        return self.log.read_text("utf-8") if self.log.exists() else ""

    def await_line(self, *texts: str) -> None:
        """Wait until it has written one of the texts."""
        until = time.monotonic() + DEADLINE_S
        while not any(text in self.said() for text in texts):
            if time.monotonic() > until or not self.process.is_alive():
                raise AssertionError(f"no line with {' or '.join(texts)!r}:\n{self._stacks()}")
            time.sleep(0.02)

    def _stacks(self) -> str:
        """Return what it wrote and what its threads are at, for a test that has failed."""
        if self.process.is_alive():
            self.signal(signal.SIGUSR1)
            time.sleep(0.5)
        return self.said()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.process.pid or 0, number)

    def sleeps(self) -> bool:
        """Return whether it was stopped by a signal, and not ended."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text("ascii", "replace")
        return stat.rpartition(")")[2].split()[0] == "T"

    def stop(self) -> int | None:
        """Ask it to end once it hears such things, and return its exit code."""
        self.await_line("serving /metrics")
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self, deadline_s: float = DEADLINE_S) -> int | None:
        """Wait for its end and return its exit code; -9 when it was killed."""
        self.process.join(deadline_s)
        assert self.process.exitcode is not None, f"did not end in time:\n{self._stacks()}"
        return self.process.exitcode
