"""The service's loop: every ordering of Kafka and Redis that matters stands here.

One turn, and what a crash costs at each step. `tests/faults/test_delivery_steps.py` dies at every one of them.

1. Poll a batch from the image topic.
   If we die here: nothing has happened; the messages are delivered again.
2. Decode and describe.
   If we die here: as above.
3. Decide: the index compares, inserts unique images and records each decision under its message's coordinates.
   If we die here, or in the middle: the messages are delivered again, and those decided get the same decision.
4. Deliver. With `--delivery exactly-once` a transaction:
   a. Begin it, and send the offsets.
      If we die here: the transaction is aborted, and the messages are delivered again; decided is what was decided.
   b. Send verdicts and dead letters, and wait for every acknowledgement.
      If we die here: as above; readers with `read_committed` never see what was sent.
   c. Commit it.
      If we die here: the broker has the commit, and all is done, or has it not, and it is as above. There is nothing
      in between, and who comes next asks the broker before it begins.
   With `--delivery at-least-once`, in turn:
   d. Publish verdicts and dead letters, and wait for every acknowledgement.
      If we die here: the messages are delivered again; verdicts that were written are written again, saying the same.
   e. Commit the offsets.
      If we die here: as above, unless the commit arrived.
5. Count and log.
   If we die here: the counts of a process that has ended are gone with it.

So no message is without its verdict or dead letter, no image has two different ones, and with exactly-once none has
two. A server's outage repeats the step it hit, with growing pauses.

Meanwhile, and while a batch is described or decided for long, the consumer goes on polling with all partitions paused:
it stays in its group, however long the batch takes. A rebalance may then take partitions away. Their messages are
dropped before anything of them is published; whoever has the partition answers them.

Nothing is queued: a batch is polled when the one before it is delivered, and it is bounded in messages and in bytes.
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
from consumer.logs import tell
from consumer.messages import ImageMessage
from consumer.metrics import Metrics
from consumer.transport.base import Delivery, Source
from neardup.errors import Unavailable

KEEP_ALIVE_S = 1.0
"""While a batch is in work, Kafka is polled this often: below any sensible max.poll.interval."""

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class ShutdownTimeout(Exception):
    """A server stayed away beyond the time to shut down; the batch in hand was not committed."""


class _NothingInHand(Exception):
    """Told to stop while a server was away and no batch was in hand."""


class Loop:
    """Turns until told to stop, or until the source is exhausted.

    Parameters
    ----------
    source, delivery, handler
        Where messages come from, what answers them, and what judges in between.
    metrics, health
        Who is told.
    refresh
        Called between batches, to show sizes; at the caller's own pace.
    stop
        Set from a signal handler: finish the batch in hand and return.
    batch_size, poll_timeout_s
        Largest batch, and longest wait for its first message.
    shutdown_timeout_s
        How long a server that is away may hold up the batch in hand once `stop` is set.
    keep_alive_s
        How often the source is told that we live while a batch is in work.
    backoff
        Pauses while a server is away.
    monotonic, sleep
        Clock and rest, in seconds.
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
        """Turn.

        Raises
        ------
        ShutdownTimeout
            Told to stop with a batch in hand while a server was away, and it did not come back in time.
        Misconfigured
            Retrying cannot help.
        """
        with self._judge, contextlib.suppress(_NothingInHand):
            self._insist("connect", self._connect)
            while not (self._stop.is_set() or self._source.exhausted):
                messages = self._insist("poll", self._poll)
                if messages:
                    self._process(messages)
                self._insist("refresh", self._show)

    def _connect(self) -> None:
        self._source.connect()
        self._delivery.connect()
        self._show()

    def _poll(self) -> list[ImageMessage]:
        with self._metrics.stage("poll"):
            # Nothing that can fail may follow: the source will not give these messages again.
            return self._source.poll(self._batch_size, self._poll_timeout_s)

    def _show(self) -> None:
        self._metrics.show_lag(self._source.lag())
        self._refresh()

    def _process(self, messages: Sequence[ImageMessage]) -> None:
        self._in_hand = True
        self._metrics.batch_images.observe(len(messages))
        described = self._insist("describe", lambda: self._keeping_alive(lambda: self._handler.describe(messages)))
        outcomes = self._insist("decide", lambda: self._keeping_alive(lambda: self._handler.decide(described)))
        answered = self._insist("deliver", lambda: self._deliver(messages, outcomes))
        self._in_hand = False
        tell([outcome for outcome, ours in zip(outcomes, answered, strict=True) if ours], self._metrics)

    def _keeping_alive(self, work: Callable[[], Result]) -> Result:
        """Work in another thread, so that this one, the only one that may speak to the source, can say that we live."""
        future = self._judge.submit(work)
        while not wait([future], self._keep_alive_s).done:
            # When Kafka is away, too, there is no group to stay in, and the work is worth finishing.
            with contextlib.suppress(Unavailable):
                self._source.idle(0.0)
        return future.result()

    def _deliver(self, messages: Sequence[ImageMessage], outcomes: Sequence[Outcome]) -> list[bool]:
        with self._metrics.stage("deliver"):
            return self._delivery.deliver(messages, [outcome.outgoing for outcome in outcomes])

    def _insist(self, operation: str, attempt: Callable[[], Result]) -> Result:
        """Repeat an operation until no server is away."""
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
        _log.warning("%s: %s; again in %.1f s", operation, error, wait_s)
        self._health.not_ready(f"{error.service} is away")
        self._metrics.ready.set(0)
        self._metrics.retries.labels(operation).inc()
        self._metrics.errors_of(error.service).inc()
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
        # When Kafka is away, too, there is no group to stay in, only time to pass.
        with contextlib.suppress(Unavailable):
            self._source.idle(wait_s)
        self._sleep(max(0.0, until - self._monotonic()))
