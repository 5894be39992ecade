"""How long to wait before trying again."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Waits that double up to a limit, each shortened by up to half at random so that consumers do not retry in step.

    Attributes
    ----------
    first_s, longest_s
        First and longest wait in seconds.
    uniform
        Returns a random number between its arguments.
    """

    first_s: float = 0.1
    longest_s: float = 5.0
    uniform: Callable[[float, float], float] = random.uniform
    _next_s: float = field(default=0.0, init=False)

    def reset(self) -> None:
        """Start again from the first wait."""
        self._next_s = 0.0

    def next_wait_s(self) -> float:
        """Return the seconds to wait now."""
        self._next_s = min(self.longest_s, 2 * self._next_s or self.first_s)
        return self.uniform(self._next_s / 2, self._next_s)
