"""Where work is done that comes in pieces: here, or on other machines; the results are the same, in the same order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")

Held = object
"""A value that an engine holds where the work is done: only its `map` and `made` can do anything with it."""


class Each(Protocol):
    """Applies a function to each of some pieces, in order, as the builtin `map` does."""

    def __call__(self, function: Callable[[Piece], Result], pieces: Iterable[Piece], /) -> Iterable[Result]:
        """Return what it gives."""


class Engine(Protocol):
    """Does pieces of work side by side.

    What goes in and out is pickled. A piece may be done again, when a machine dies: doing it twice must be as good as
    once.
    """

    def hold(self, value: object) -> Held:
        """Take a value to where the work is done, once for all pieces."""

    def made(self, function: Callable[..., object], *held: Held) -> Held:
        """Return, held, what a function makes of held values."""

    def map(self, function: Callable[..., Result], pieces: Iterable[Piece], *held: Held) -> Iterator[Result]:
        """Iterate over ``function(piece, *held)`` in the order of the pieces; a few are taken ahead.

        When the iteration ends early, nothing of it goes on.
        """


def with_pieces(
    engine: Engine, function: Callable[..., Result], pieces: Iterable[Piece], *held: Held
) -> Iterator[tuple[Piece, Result]]:
    """Iterate as the engine's `map` does, and give each piece along with what came of it."""
    waiting: deque[Piece] = deque()

    def noted() -> Iterator[Piece]:
        for piece in pieces:
            waiting.append(piece)
            yield piece

    for result in engine.map(function, noted(), *held):
        yield waiting.popleft(), result
