"""How long to wait for a store that is away."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

LONE_PATIENCE_S = 10.0
"""A URI that fails while its store answers for others may hold up the stream no longer than this."""

_MOST_REMEMBERED = 10_000


class Outages:
    """Remembers which stores and URIs have failed, and since when; used by several threads.

    Parameters
    ----------
    patience_s
        Seconds that a store may be away before its URIs are given up on.
    monotonic
        Clock, in seconds.
    """

    def __init__(self, patience_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._patience_s = patience_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._away_since: dict[str, float] = {}
        self._failing_since: OrderedDict[bytes, float] = OrderedDict()

    def answered(self, origin: str, uri: str) -> None:
        """Note that a store has answered for a URI, whatever the answer."""
        with self._lock:
            self._away_since.pop(origin, None)
            self._failing_since.pop(_key(uri), None)

    def worth_waiting(self, origin: str, uri: str) -> bool:
        """Note that a store has failed for a URI, and say whether to try again later."""
        with self._lock:
            now = self._monotonic()
            away_s = now - self._away_since.setdefault(origin, now)
            failing_s = now - self._failing_since.setdefault(_key(uri), now)
            while len(self._failing_since) > _MOST_REMEMBERED:
                self._failing_since.popitem(last=False)
            # The URI has failed for longer than the store: in between, the store has answered for others.
            alone = failing_s > away_s
            wait = away_s < self._patience_s and not (alone and failing_s >= LONE_PATIENCE_S)
            if not wait:
                self._failing_since.pop(_key(uri))
            return wait


def _key(uri: str) -> bytes:
    # URIs are long, and may hold credentials.
    return hashlib.sha256(uri.encode("utf-8", "surrogatepass")).digest()
