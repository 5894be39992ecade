"""Two halves of the photos: by one a setting is chosen, by the other it is reported."""

import hashlib
from typing import Literal

Half = Literal["chosen", "reported"]
HALVES: tuple[Half, Half] = ("chosen", "reported")


def half_of(name: str) -> Half:
    """Return which half a photo belongs to, by its file's name alone.

    Choices, of thresholds say, are made on ``chosen``; ``reported`` is looked at only to report how well they do. Which
    photos are held out from training is another byte of the hash: each half has its share of those.
    """
    return HALVES[hashlib.sha256(name.encode()).digest()[1] % 2]
