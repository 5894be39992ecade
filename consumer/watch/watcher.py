"""Reads outcomes and lags on a thread of its own, and waits out what Kafka does."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from consumer.backoff import Backoff
from consumer.watch.outcomes import Outcome, outcome_of
from consumer.watch.settings import WatchSettings
from consumer.watch.tally import Tally
from neardup.errors import KafkaUnavailable, Misconfigured, NeardupError

CLIENT_ID = "neardup-watch"
POLL_S = 0.5
LAG_EVERY_S = 2.0
"""How often the lag is asked for, which also tells whether a broker that sends nothing still answers."""
PARTITIONS_EVERY_S = 60.0
CLOSING_S = 2.0
"""A thread that waits for a broker that is away may take longer; it holds nothing that could be lost."""

Told = Callable[[Outcome], object]
"""Is told of each outcome."""


class Followed(Protocol):
    """What is read: a `neardup.kafka.following.Follower`."""

    def connect(self) -> None: ...  # noqa: D102 - as there

    def poll(self, timeout_s: float) -> Iterator[tuple[Any, bool]]: ...  # noqa: D102 - as there

    def lag(self, group: str, topic: str) -> dict[int, int] | None: ...  # noqa: D102 - as there

    def close(self) -> None: ...  # noqa: D102 - as there


class Watcher:
    """Keeps a tally up to date.

    Parameters
    ----------
    settings
        Topics and group.
    follower
        What is read; of this watcher's thread alone.
    tally
        What is kept up to date.
    told
        Told of each outcome as well, on that thread.
    monotonic
        Clock in seconds.

    Attributes
    ----------
    stop
        Ends the watch when set; it is set by itself when the watch cannot go on.
    error
        Why it cannot; None as long as it can.
    """

    def __init__(
        self,
        settings: WatchSettings,
        follower: Followed,
        tally: Tally,
        told: Told = lambda _outcome: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self._settings = settings
        self._follower = follower
        self._tally = tally
        self._told = told
        self._monotonic = monotonic
        self._backoff = Backoff()
        self._lag_due_s = self._partitions_due_s = float("-inf")

    def run(self) -> None:
        """Read until told to stop, or until it can never work."""
        try:
            while not self.stop.is_set():
                self.turn()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for us
            self.error = error
        finally:
            self.stop.set()
            with suppress(NeardupError):
                self._follower.close()

    def turn(self) -> None:
        """Read what has come; wait for a moment if Kafka is away."""
        try:
            self._read()
        except KafkaUnavailable as error:
            self._tally.unanswered(str(error))
            self._lag_due_s = self._partitions_due_s = float("-inf")
            self.stop.wait(self._backoff.next_wait_s())
        else:
            self._tally.answered()
            self._backoff.reset()

    def _read(self) -> None:
        now_s = self._monotonic()
        if now_s >= self._partitions_due_s:
            self._follower.connect()
            self._partitions_due_s = now_s + PARTITIONS_EVERY_S
        for record, earlier in self._follower.poll(POLL_S):
            outcome = outcome_of(record, of_verdicts=record.topic == self._settings.verdicts_topic)
            self._tally.came(outcome, earlier=earlier)
            self._told(outcome)
        if now_s >= self._lag_due_s:
            self._ask_for_lag()
            self._lag_due_s = now_s + LAG_EVERY_S

    def _ask_for_lag(self) -> None:
        settings = self._settings
        try:
            lag = self._follower.lag(settings.group, settings.topic)
        except Misconfigured as error:  # the right to look at a group is another than that to read
            self._tally.lags(None, str(error))
        else:
            self._tally.lags(lag, "" if lag else f"group {settings.group!r} has committed nothing yet")


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Read on a thread while the block lasts.

    Raises
    ------
    Misconfigured
        It could never work. Only at the end of the block: whoever is in it looks at `stop`.
    """
    thread = threading.Thread(target=watcher.run, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        watcher.stop.set()
        thread.join(CLOSING_S)
    if watcher.error is not None:
        raise watcher.error


def watcher_of(settings: WatchSettings, tally: Tally, told: Told = lambda _outcome: None) -> Watcher:
    """Return what reads the topics of these settings."""
    from neardup.kafka.following import Follower  # noqa: PLC0415 - --help must not wait for kafka

    config = {
        **settings.client_config(),
        "client_id": CLIENT_ID,
        "max_partition_fetch_bytes": settings.max_message_bytes,
    }
    topics = [settings.verdicts_topic, settings.dead_letters_topic]
    return Watcher(settings, Follower(config, topics, settings.last), tally, told)


def title_of(settings: WatchSettings) -> str:
    """Return what is watched, in words."""
    return f"{settings.topic} → {settings.verdicts_topic}, judged by {settings.group}"
