"""A part of what a URI names, by its bytes: ``file:///shards/0.tar#bytes=1536-9215``, a picture in a tar archive."""

import re
from dataclasses import dataclass

from neardup.errors import UriUnreadable

_MARK = "#bytes="
_SPAN = re.compile(r"(0|[1-9][0-9]{0,17})-(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file or an object, counted from 0 and both included, as HTTP's ``Range`` has them."""

    first: int
    last: int

    @property
    def size_bytes(self) -> int:
        """How many these are."""
        return self.last - self.first + 1

    @property
    def fragment(self) -> str:
        """What stands behind the URI."""
        return f"{_MARK}{self.first}-{self.last}"


def divided(uri: str) -> tuple[str, Span | None]:
    """Return the address in a URI, and which part of it is meant; None for all of it.

    Raises
    ------
    ValueError
        The part is not written as it should be.
    """
    address, mark, text = uri.partition(_MARK)
    if not mark:
        return uri, None
    found = _SPAN.fullmatch(text)
    if found is None or int(found[1]) > int(found[2]):
        raise ValueError(f"the part behind it should be {_MARK}FIRST-LAST, such as {_MARK}0-499")
    return address, Span(int(found[1]), int(found[2]))


def whole(data: bytes, span: Span | None, name: str) -> bytes:
    """Return what was read of a part if it is all of it.

    Raises
    ------
    UriUnreadable
        What `name` names ends before.
    """
    if span is not None and len(data) != span.size_bytes:
        raise UriUnreadable(f"{name} has no bytes {span.first}-{span.last}: it ends before")
    return data
