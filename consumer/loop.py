"""The service's loop, which orders all that happens in Kafka and Redis.

What becomes of a batch, and what a crash costs at each step. `tests/faults/test_delivery_steps.py` crashes at every one
of them, with three batches in hand.

1. Poll it from the image topic. If nothing comes and no batch is in hand, commit the offsets behind the markers of
   publishers' transactions instead.
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

Up to three batches are in hand: while one is delivered, the next is decided and the one after that described. They are
decided and delivered in the order in which they were polled, each when the one before it is through that step, and the
offsets of each are committed with it alone. So a crash costs each batch what it costs at its own step. This thread
polls and delivers, and is the only one that uses Kafka's consumer; others describe and decide. It brings the oldest
batch to its end. What goes wrong with a later one is met when that is the oldest.

While others are at work this thread polls, for a further batch if there is room, or with all partitions paused. So the
consumer stays in its group, however long a batch or an outage takes. A rebalance may then take partitions away. Their
messages are dropped before anything is published for them; the partition's new owner answers them.

A batch is bounded in messages, and all in hand together in bytes. An image that comes alone goes at once. While a
batch is in work, the next one waits to be full: for `--max-wait-ms`, and as long as no decoding process is idle.

With `--role` two kinds of consumers share the work, each by this loop (`consumer.roles`). A describer's step 3 makes
messages of what it has described, and delivers them in place of verdicts; a decider's step 2 reads them. The topic
between the two is to each what the verdict topic and the image topic are here, so each promise above holds for each.
"""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeVar

from consumer.backoff import Backoff
from consumer.handler import Described, Outcome, Steps
from consumer.health import Health
from consumer.logs import report_outcomes
from consumer.messages import ImageMessage
from consumer.metrics import Metrics
from consumer.settings import BATCHES_IN_HAND
from consumer.transport.base import Delivery, Source
from neardup.errors import Misconfigured, Unavailable

KEEP_ALIVE_S = 1.0
"""While there is no room for another batch, Kafka is polled this often: below any sensible max.poll.interval."""
LOOK_AGAIN_S = 0.01
"""While there is room, Kafka is asked this often whether more has come."""

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class ShutdownTimeout(Exception):
    """A server was still away when the shutdown timeout ran out; the batches in hand were not committed."""


class _NothingInHand(Exception):
    """Told to stop while a server was away and no batch was in hand."""


@dataclass(slots=True)
class _Batch:
    """A batch in hand.

    Attributes
    ----------
    messages
        Of one poll.
    waited_s
        Seconds of that poll, where it was waited for.
    describing, deciding
        What a thread is at or has done; None before it begins, and where it has to begin again.
    """

    messages: Sequence[ImageMessage] = ()
    waited_s: dict[str, float] = field(default_factory=dict)
    describing: Future[Described] | None = None
    deciding: Future[list[Outcome]] | None = None

    @property
    def described(self) -> Described | None:
        """What describing has come to; None if it is not done, or has failed."""
        work = self.describing
        return work.result() if work is not None and work.done() and work.exception() is None else None


class Loop:
    """Turns until told to stop, or until the source is exhausted.

    Parameters
    ----------
    source, delivery, handler
        Where messages come from, what answers them, and what describes and decides in between.
    metrics, health
        Where progress is reported.
    refresh, refresh_s
        Updates the size metrics, when nothing is being decided, and about how often.
    stop
        Set from a signal handler: finish the batches in hand and return.
    batch_size, poll_timeout_s
        Largest batch, and longest wait for its first message.
    max_wait_s
        How long after a batch the next may follow without being full, while there are others in hand.
    shutdown_timeout_s
        How long a server that is away may hold up the batches in hand once `stop` is set.
    keep_alive_s, look_again_s
        How often the source is polled while others work: to stay in the group, and where there is room for a batch.
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
        handler: Steps,
        metrics: Metrics,
        health: Health,
        refresh: Callable[[], None],
        refresh_s: float,
        stop: threading.Event,
        batch_size: int,
        poll_timeout_s: float,
        max_wait_s: float,
        shutdown_timeout_s: float,
        keep_alive_s: float = KEEP_ALIVE_S,
        look_again_s: float = LOOK_AGAIN_S,
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
        self._refresh_s = refresh_s
        self._stop = stop
        self._batch_size = batch_size
        self._poll_timeout_s = poll_timeout_s
        self._max_wait_s = max_wait_s
        self._shutdown_timeout_s = shutdown_timeout_s
        self._keep_alive_s = keep_alive_s
        self._look_again_s = look_again_s
        self._backoff = backoff or Backoff()
        self._monotonic = monotonic
        self._sleep = sleep
        # Two batches, so that no decoding process waits for the last images of one.
        self._describer = ThreadPoolExecutor(2, thread_name_prefix="describe")
        self._decider = ThreadPoolExecutor(1, thread_name_prefix="decide")
        self._in_hand: deque[_Batch] = deque()
        self._met: Misconfigured | None = None
        self._taken_at = self._refreshed_at = float("-inf")
        self._give_up_at: float | None = None

    def run(self) -> None:
        """Run until told to stop or the source is exhausted.

        Raises
        ------
        ShutdownTimeout
            Told to stop with batches in hand while a server was away, and it did not come back in time.
        Misconfigured
            Retrying cannot help.
        """
        with self._threads(), contextlib.suppress(_NothingInHand):
            self._retry("connect", self._connect)
            while self._in_hand or not self._ends:
                self._take()
                if self._in_hand:
                    self._finish(self._in_hand[0])
                else:
                    self._retry("deliver", self._delivery.catch_up)
                self._retry("refresh", self._show)

    @contextlib.contextmanager
    def _threads(self) -> Iterator[None]:
        try:
            yield
        finally:
            for threads in (self._describer, self._decider):
                threads.shutdown(cancel_futures=True)

    @property
    def _ends(self) -> bool:
        return self._stop.is_set() or self._source.exhausted

    def _connect(self) -> None:
        self._source.connect()
        self._delivery.connect()
        self._show()

    def _show(self) -> None:
        self._metrics.show_lag(self._source.lag())
        if self._is_refresh_due and not any(batch.deciding for batch in self._in_hand):
            self._refresh()
            self._refreshed_at = self._monotonic()

    @property
    def _is_refresh_due(self) -> bool:
        return self._monotonic() - self._refreshed_at >= self._refresh_s

    # -- taking batches -----------------------------------------------------------------------------------------------

    def _take(self) -> None:
        """Wait for a batch if none is in hand, and take what there is room for and has come."""
        if not self._in_hand:
            if self._met is not None:
                raise self._met
            self._begin(self._retry("poll", self._poll))
        self._take_more()

    def _take_more(self) -> None:
        while self._in_hand and self._has_room and self._look_ahead():
            pass

    def _poll(self) -> _Batch:
        batch = _Batch()
        with self._metrics.stage("poll", batch.waited_s):
            # Nothing that can fail may follow: the source will not return these messages again.
            batch.messages = self._source.poll(self._batch_size, self._poll_timeout_s)
        return batch

    @property
    def _has_room(self) -> bool:
        return len(self._in_hand) < BATCHES_IN_HAND and not self._ends and self._met is None

    def _look_ahead(self) -> bool:
        """Take a further batch if one has come, and return whether it has.

        What has come before is finished first: an outage is met again by then, and what ends us is kept.
        """
        batch = _Batch()
        try:
            batch.messages = self._source.poll(self._batch_size, 0.0, full=not self._may_be_small)
        except Unavailable:
            return False
        except Misconfigured as error:
            self._met = error
        self._begin(batch)
        return bool(batch.messages)

    @property
    def _may_be_small(self) -> bool:
        """Whether a batch may follow that is not full: it would be described at once, and there was time to fill."""
        idle = self._handler.has_idle or all(batch.describing and batch.describing.done() for batch in self._in_hand)
        return idle and self._monotonic() - self._taken_at >= self._max_wait_s

    def _begin(self, batch: _Batch) -> None:
        if batch.messages:
            self._taken_at = self._monotonic()
            self._metrics.batch_images.observe(len(batch.messages))
            batch.describing = self._describe(batch)
            self._in_hand.append(batch)

    # -- finishing them, the oldest first -----------------------------------------------------------------------------

    def _finish(self, batch: _Batch) -> None:
        described = self._retry("describe", lambda: self._described(batch))
        outcomes = self._retry("decide", lambda: self._decided(batch, described))
        self._decide_next()
        self._take_more()  # nothing can be taken while this thread delivers
        took_s = batch.waited_s | described.took_s
        answered = self._retry("deliver", lambda: self._deliver(batch, outcomes, took_s))
        self._in_hand.popleft()
        report_outcomes([each for each, ours in zip(outcomes, answered, strict=True) if ours], took_s, self._metrics)

    def _described(self, batch: _Batch) -> Described:
        batch.describing = batch.describing or self._describe(batch)
        try:
            return self._awaited(batch.describing)
        except Unavailable:
            batch.describing = None
            raise

    def _decided(self, batch: _Batch, described: Described) -> list[Outcome]:
        batch.deciding = batch.deciding or self._decide(described)
        try:
            return self._awaited(batch.deciding)
        except Unavailable:
            batch.deciding = None
            raise

    def _decide_next(self) -> None:
        """Have the batch after the oldest decided, if it is described; not if that would be in the way of a refresh."""
        following = self._in_hand[1] if len(self._in_hand) > 1 else None
        if following and (described := following.described) and not self._is_refresh_due:
            following.deciding = self._decide(described)

    def _describe(self, batch: _Batch) -> Future[Described]:
        return self._describer.submit(self._handler.describe, batch.messages)

    def _decide(self, described: Described) -> Future[list[Outcome]]:
        return self._decider.submit(self._handler.decide, described)

    def _awaited(self, work: Future[Result]) -> Result:
        """Wait for another thread, and stay in the group; this thread is the only one that may use the source."""
        while not wait([work], self._look_again_s if self._has_room else self._keep_alive_s).done:
            if self._has_room:
                self._look_ahead()
                continue
            # If Kafka is away, too, there is no group to stay in, and the work is still worth finishing.
            with contextlib.suppress(Unavailable):
                self._source.idle(0.0)
        return work.result()

    def _deliver(self, batch: _Batch, outcomes: Sequence[Outcome], took_s: dict[str, float]) -> list[bool]:
        with self._metrics.stage("deliver", took_s):
            return self._delivery.deliver(batch.messages, [outcome.outgoing for outcome in outcomes])

    # -- outages and the end ------------------------------------------------------------------------------------------

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
