"""The service's loop: every ordering of Kafka and Redis that matters stands here.

One turn, and what a crash costs at each step:

1. Poll a batch from the image topic.
   If we die here: nothing has happened; the messages are delivered again.
2. Decode and describe.
   If we die here: as above.
3. Decide: the index compares, inserts unique images and records each decision under its message's coordinates.
   If we die here, or in the middle: the messages are delivered again, and those decided get the same decision.
4. Publish verdicts and dead letters, and wait for every acknowledgement.
   If we die here: as above; verdicts that were written already are written a second time, saying the same.
5. Commit the offsets.
   If we die here: as above, unless the commit arrived.

So no message is without its verdict or dead letter, and no image has two different ones. A server's outage repeats
the step it hit, with growing pauses, during which the consumer stays in its group.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from consumer.backoff import Backoff
from consumer.handler import Handler, Outcome
from consumer.health import Health
from consumer.journal import tell
from consumer.messages import ImageMessage
from consumer.metrics import Metrics
from consumer.transport.base import Sink, Source
from neardup.errors import Unavailable

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
    source, sink, handler
        Where messages come from, where outcomes go, and what judges in between.
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
    backoff
        Pauses while a server is away.
    monotonic, sleep
        Clock and rest, in seconds.
    """

    def __init__(
        self,
        *,
        source: Source,
        sink: Sink,
        handler: Handler,
        metrics: Metrics,
        health: Health,
        refresh: Callable[[], None],
        stop: threading.Event,
        batch_size: int,
        poll_timeout_s: float,
        shutdown_timeout_s: float,
        backoff: Backoff | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._sink = sink
        self._handler = handler
        self._metrics = metrics
        self._health = health
        self._refresh = refresh
        self._stop = stop
        self._batch_size = batch_size
        self._poll_timeout_s = poll_timeout_s
        self._shutdown_timeout_s = shutdown_timeout_s
        self._backoff = backoff or Backoff()
        self._monotonic = monotonic
        self._sleep = sleep
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
        with contextlib.suppress(_NothingInHand):
            self._insist("connect", self._connect)
            while not (self._stop.is_set() or self._source.exhausted):
                messages = self._insist("poll", self._poll)
                if messages:
                    self._process(messages)
                self._insist("refresh", self._show)

    def _connect(self) -> None:
        self._source.connect()
        self._sink.connect()
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
        described = self._handler.describe(messages)
        outcomes = self._insist("decide", lambda: self._handler.decide(described))
        self._insist("publish", lambda: self._publish(outcomes))
        self._insist("commit", lambda: self._commit(messages))
        self._in_hand = False
        tell(outcomes, self._metrics)

    def _publish(self, outcomes: Sequence[Outcome]) -> None:
        with self._metrics.stage("publish"):
            self._sink.publish([outcome.outgoing for outcome in outcomes])

    def _commit(self, messages: Sequence[ImageMessage]) -> None:
        with self._metrics.stage("commit"):
            self._source.commit(messages)

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
        errors = self._metrics.redis_errors if error.service == "redis" else self._metrics.kafka_errors
        errors.inc()
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
