"""Reading one large JSON object piece by piece."""

import json
from collections.abc import Iterator
from typing import IO, Any

_CHUNK_CHARACTERS = 1 << 16
_AFTER_A_VALUE = frozenset(",:]} \t\r\n")


class JsonObjectReader:
    """Reads a top-level object without holding more than one of its values, or one element of an array.

    For each name of `names`, the caller takes the value with `value`, or the elements of an array with `elements`,
    before it goes on to the next name.

    Parameters
    ----------
    stream
        Text, at its beginning.

    Raises
    ------
    ValueError
        From each method: it is not JSON, or not of the shape asked for.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._ended = False

    def names(self) -> Iterator[str]:
        """Iterate over the object's names."""
        self._expect("{")
        if self._took("}"):
            return
        while True:
            yield self._name()
            if self._took("}"):
                break
            self._expect(",")
        if self._next():
            raise ValueError("there is more after the end of the object")

    def _name(self) -> str:
        name = self.value()
        if not isinstance(name, str):
            raise ValueError(f"{name!r} stands where a name should")  # noqa: TRY004 - a malformed text, not a wrong call
        self._expect(":")
        return name

    def elements(self) -> Iterator[Any]:
        """Iterate over the elements of the array that comes next."""
        self._expect("[")
        if self._took("]"):
            return
        while True:
            yield self.value()
            if self._took("]"):
                return
            self._expect(",")

    def value(self) -> Any:  # noqa: ANN401 - any JSON value
        """Return the value that comes next."""
        self._next()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except ValueError:
                if not self._read():
                    raise
                continue
            # A number may continue in text not read yet: "0" or "0." of "0.5".
            if self._text[end : end + 1] not in _AFTER_A_VALUE and self._read():
                continue
            self._at = end
            return value

    def _expect(self, character: str) -> None:
        found = self._next()
        if found != character:
            raise ValueError(f"{found!r} stands where {character!r} should" if found else "it ends too early")
        self._at += 1

    def _took(self, character: str) -> bool:
        taken = self._next() == character
        self._at += taken
        return taken

    def _next(self) -> str:
        """Return the next character that is no white space, '' at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read():
                return ""

    def _read(self) -> bool:
        """Read as much again as is buffered, so that a long value is not parsed too often."""
        waiting = self._text[self._at :]
        more = "" if self._ended else self._stream.read(max(_CHUNK_CHARACTERS, len(waiting)))
        self._ended = not more
        self._text, self._at = waiting + more, 0
        return bool(more)
