"""An engine that does its pieces here, and pickles what goes in and out as one on other machines does."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar, cast

from neardup.engine import Held, Piece

Result = TypeVar("Result")


class Pickling:
    """Counts the pieces that it did."""

    def __init__(self) -> None:
        self.pieces = 0

    def hold(self, value: object) -> Held:
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(value, pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append)
        # Of bytes, arrays are made that cannot be written to, as on other machines.
        return pickled, [bytes(buffer.raw()) for buffer in buffers]

    def made(self, function: Callable[..., object], *held: Held) -> Held:
        return self.hold(function(*map(_there, held)))

    def map(self, function: Callable[..., Result], pieces: Iterable[Piece], *held: Held) -> Iterator[Result]:
        sent = self.hold(function)
        for piece in pieces:
            self.pieces += 1
            made = cast("Callable[..., Result]", _there(sent))(_there(self.hold(piece)), *map(_there, held))
            yield cast("Result", _there(self.hold(made)))


def _there(held: Held) -> object:
    pickled, buffers = cast("tuple[bytes, list[bytes]]", held)
    return pickle.loads(pickled, buffers=buffers)  # noqa: S301 - pickled above
