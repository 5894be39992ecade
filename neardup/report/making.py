"""How much a report shows, and how it is made."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from neardup.report.pixels import Decoding, OpenDecoding

Shows = Callable[[str, int | None], AbstractContextManager[Callable[[int], object]]]
"""Shows how far a step is: what it is called, and how many images there are."""


def _silent(what: str, total: int | None) -> AbstractContextManager[Callable[[int], object]]:
    del what, total
    return nullcontext(lambda _: None)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is shown.

    Attributes
    ----------
    images, thumbs
        How many at most.
    text_bytes, thumb_bytes
        How many bytes all that is said of images may take on the page, and all thumbnails.
    """

    images: int = 30_000
    thumbs: int = 4_000
    text_bytes: int = 6_000_000
    thumb_bytes: int = 11_000_000

    def halved(self) -> "Size":
        """Return half of it."""
        return Size(self.images // 2, self.thumbs // 2, self.text_bytes // 2, self.thumb_bytes // 2)


@dataclass(frozen=True, slots=True)
class Making:
    """How a document is made.

    Attributes
    ----------
    size
        How much is shown.
    decoding
        How images are decoded.
    descriptor, weights
        Spec and weights of the descriptor, where it is none that ships.
    shows
        Shows how far it is.
    """

    size: Size = field(default_factory=Size)
    decoding: Decoding = field(default_factory=Decoding)
    descriptor: str | None = None
    weights: str | None = None
    shows: Shows = _silent


@dataclass(frozen=True, slots=True)
class Looking:
    """How a document is made, with what decodes images started."""

    making: Making
    decoding: OpenDecoding
