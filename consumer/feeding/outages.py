"""Waits until Kafka or a store is back, where the feed has no end of its own, or a long way to it."""

import threading
from collections.abc import Callable
from typing import TypeVar

from consumer.backoff import Backoff
from consumer.feeding.outgoing import say
from neardup.errors import Unavailable

Result = TypeVar("Result")

_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0


class Stopped(Exception):
    """The feed was stopped while a server was away."""


def waited_out(work: Callable[[], Result], stop: threading.Event, tell: Callable[[str], object] = say) -> Result:
    """Do something until the server that it is done with lets it be done; return what comes of it.

    Raises
    ------
    Stopped
        Before that.
    """
    backoff = Backoff(_FIRST_WAIT_S, _LONGEST_WAIT_S)
    while True:
        try:
            return work()
        except Unavailable as exc:
            wait_s = backoff.next_wait_s()
            tell(f"{exc}; trying again in {wait_s:.0f} s")
        if stop.wait(wait_s):
            raise Stopped
