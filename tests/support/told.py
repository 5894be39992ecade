"""What is told of progress, counted in the place of shown."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Told:
    """Takes the place of `neardup.cli.progress.shown_progress`, and keeps how much was told of each step."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    @contextmanager
    def __call__(self, what: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
        """Count a step; what is told must come to its total, where there is one."""
        step = f"{what} {unit}"

        def advance(count: int) -> None:
            self.counts[step] += count

        yield advance
        assert total in {None, self.counts[step]}
