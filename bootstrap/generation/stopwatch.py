"""Times the parts of a run."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LOG = logging.getLogger(__name__)


class Stopwatch:
    """Seconds spent in each phase, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a block, and log that it begins: not all of them can tell how far they are."""
        _LOG.info("%s ...", name)
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - began_s
            _LOG.debug("%s took %.3f s", name, self.seconds[name])
