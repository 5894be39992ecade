"""The service's loop, which orders all that happens in Kafka and Redis.

One turn, and what a crash costs at each step. `tests/faults/test_delivery_steps.py` crashes at every one of them.

1. Poll a batch from the image topic. If nothing comes, commit the offsets behind the markers of publishers'
   transactions instead.
   If we die here: nothing has happened; the messages are delivered again.
2. Decode and describe.
   If we die here: as above.
3. Decide: the index compares, inserts unique images and records each decision under its message's coordinates.
   If we die here, or in the middle: the messages are delivered again, and those decided get the same decision.
4. Deliver. With `--delivery exactly-once` a transaction:
   a. Begin it, and send the offsets.
      If we die here: the transaction is aborted, and the messages are delivered again; decisions stay as they are.
   b. Send verdicts and dead letters, and wait for every acknowledgement.
      If we die here: as above; readers with `read_committed` never see what was sent.
   c. Commit it.
      If we die here: either the broker has the commit and all is done, or it has not, and it is as above. Whoever
      comes next asks the broker before it begins.
   With `--delivery at-least-once`, one after the other:
   d. Publish verdicts and dead letters, and wait for every acknowledgement.
      If we die here: the messages are delivered again; verdicts that were written are written again, saying the same.
   e. Commit the offsets.
      If we die here: as above, unless the commit arrived.
5. Count and log.
   If we die here: these counts and log lines are lost.

So every message gets a verdict or a dead letter, no image gets two different verdicts, and with exactly-once none gets
two at all. An outage repeats the step it hit, with growing pauses.

During an outage or a long batch the consumer keeps polling with all partitions paused, so it stays in its group. A
rebalance may then take partitions away. Their messages are dropped before anything is published for them; the
partition's new owner answers them.

Nothing is queued: a batch is polled once the one before it is delivered, and it is bounded in messages and in bytes.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from consumer.backoff import Backoff
from consumer.handler import Handler, Outcome
from consumer.health import Health
from consumer.logs import report_outcomes
from consumer.messages import ImageMessage
from consumer.metrics import Metrics
from consumer.transport.base import Delivery, Source
from neardup.errors import Unavailable

KEEP_ALIVE_S = 1.0
"""While a batch is in progress, Kafka is polled this often: below any sensible max.poll.interval."""

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class ShutdownTimeout(Exception):
    """A server was still away when the shutdown timeout ran out; the current batch was not committed."""


class _NothingInHand(Exception):
    """Told to stop while a server was away and no batch was in hand."""


class Loop:
    """Turns until told to stop, or until the source is exhausted.

    Parameters
    ----------
    source, delivery, handler
        Where messages come from, what answers them, and what judges in between.
    metrics, health
        Where progress is reported.
    refresh
        Called between batches, to update the size metrics; it decides how often it acts.
    stop
        Set from a signal handler: finish the batch in hand and return.
    batch_size, poll_timeout_s
        Largest batch, and longest wait for its first message.
    shutdown_timeout_s
        How long a server that is away may hold up the batch in hand once `stop` is set.
    keep_alive_s
        How often the source is polled to stay in the group while a batch is in progress.
    backoff
        Pauses while a server is away.
    monotonic, sleep
        Clock and sleep, in seconds.
    """

    def __init__(
        self,
        *,
        source: Source,
        delivery: Delivery,
        handler: Handler,
        metrics: Metrics,
        health: Health,
        refresh: Callable[[], None],
        stop: threading.Event,
        batch_size: int,
        poll_timeout_s: float,
        shutdown_timeout_s: float,
        keep_alive_s: float = KEEP_ALIVE_S,
        backoff: Backoff | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._delivery = delivery
        self._handler = handler
        self._metrics = metrics
        self._health = health
        self._refresh = refresh
        self._stop = stop
        self._batch_size = batch_size
        self._poll_timeout_s = poll_timeout_s
        self._shutdown_timeout_s = shutdown_timeout_s
        self._keep_alive_s = keep_alive_s
        self._backoff = backoff or Backoff()
        self._monotonic = monotonic
        self._sleep = sleep
        self._judge = ThreadPoolExecutor(1, thread_name_prefix="judge")
        self._in_hand = False
        self._give_up_at: float | None = None

    def run(self) -> None:
        """Run until told to stop or the source is exhausted.

        Raises
        ------
        ShutdownTimeout
            Told to stop in the middle of a batch while a server was away, and it did not come back in time.
        Misconfigured
            Retrying cannot help.
        """
        with self._judge, contextlib.suppress(_NothingInHand):
            self._retry("connect", self._connect)
            while not (self._stop.is_set() or self._source.exhausted):
                messages = self._retry("poll", self._poll)
                if messages:
                    self._process(messages)
                else:
                    self._retry("deliver", self._delivery.catch_up)
                self._retry("refresh", self._show)

    def _connect(self) -> None:
        self._source.connect()
        self._delivery.connect()
        self._show()

    def _poll(self) -> list[ImageMessage]:
        with self._metrics.stage("poll"):
            # Nothing that can fail may follow: the source will not return these messages again.
            return self._source.poll(self._batch_size, self._poll_timeout_s)

    def _show(self) -> None:
        self._metrics.show_lag(self._source.lag())
        self._refresh()

    def _process(self, messages: Sequence[ImageMessage]) -> None:
        self._in_hand = True
        self._metrics.batch_images.observe(len(messages))
        described = self._retry("describe", lambda: self._keeping_alive(lambda: self._handler.describe(messages)))
        outcomes = self._retry("decide", lambda: self._keeping_alive(lambda: self._handler.decide(described)))
        answered = self._retry("deliver", lambda: self._deliver(messages, outcomes))
        self._in_hand = False
        report_outcomes([outcome for outcome, ours in zip(outcomes, answered, strict=True) if ours], self._metrics)

    def _keeping_alive(self, work: Callable[[], Result]) -> Result:
        """Work in another thread, so that this one, the only one that may use the source, keeps us in the group."""
        future = self._judge.submit(work)
        while not wait([future], self._keep_alive_s).done:
            # If Kafka is away, too, there is no group to stay in, and the work is still worth finishing.
            with contextlib.suppress(Unavailable):
                self._source.idle(0.0)
        return future.result()

    def _deliver(self, messages: Sequence[ImageMessage], outcomes: Sequence[Outcome]) -> list[bool]:
        with self._metrics.stage("deliver"):
            return self._delivery.deliver(messages, [outcome.outgoing for outcome in outcomes])

    def _retry(self, operation: str, attempt: Callable[[], Result]) -> Result:
        """Retry an operation until it succeeds or fails for good."""
        while True:
            self._health.turned()
            try:
                result = attempt()
            except Unavailable as error:
                self._wait_out(operation, error)
                continue
            self._backoff.reset()
            self._health.ready()
            self._metrics.ready.set(1)
            return result

    def _wait_out(self, operation: str, error: Unavailable) -> None:
        wait_s = self._backoff.next_wait_s()
        self._health.not_ready(f"{error.service} is away")
        self._metrics.ready.set(0)
        self._metrics.retries.labels(operation).inc()
        self._metrics.errors_of(error.service).inc()
        # Last: who reads this line finds the state that it tells of.
        _log.warning("%s: %s; retrying in %.1f s", operation, error, wait_s)
        self._check_shutdown(error)
        self._pause(wait_s)
        self._check_shutdown(error)

    def _check_shutdown(self, error: Unavailable) -> None:
        if not self._stop.is_set():
            return
        if not self._in_hand:
            raise _NothingInHand from error
        if self._give_up_at is None:
            self._give_up_at = self._monotonic() + self._shutdown_timeout_s
        if self._monotonic() >= self._give_up_at:
            raise ShutdownTimeout(f"{error}; what is not committed will be delivered again") from error

    def _pause(self, wait_s: float) -> None:
        until = self._monotonic() + wait_s
        # If Kafka is away, too, there is no group to stay in: just wait.
        with contextlib.suppress(Unavailable):
            self._source.idle(wait_s)
        self._sleep(max(0.0, until - self._monotonic()))
