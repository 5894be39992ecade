"""What the index keeps of an image that can be shown: the small grey thumbnail of `--local-change`."""

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from consumer.verdicts.told import ToldVerdict
from consumer.watch.outcomes import Outcome
from neardup.errors import Misconfigured
from neardup.index.stored.codec import kept_in
from neardup.relation.kept import Parts, divided
from neardup.relation.local_change import SIDE_PX
from neardup.wire import member_record_of

MOST_KEPT = 10_000
"""Of a kilobyte each; the older ones go first."""


class Thumbnails:
    """Remembers the thumbnails that travel with the verdicts on unique images; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()

    def remember(self, outcome: Outcome) -> None:
        """Take the thumbnail out of a verdict, if it has one."""
        thumbnail = _thumbnail_of(outcome) if isinstance(outcome, ToldVerdict) else None
        if thumbnail is None or not isinstance(outcome, ToldVerdict):
            return
        with self._lock:
            self._kept[str(outcome.source)] = thumbnail
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)

    def of(self, key: str) -> NDArray[np.uint8] | None:
        """Return the thumbnail of the image with this key, uint8 (side, side), grey; None without one."""
        with self._lock:
            return self._kept.get(key)


def _thumbnail_of(told: ToldVerdict) -> NDArray[np.uint8] | None:
    record = member_record_of(told.headers)
    if record is None:
        return None
    try:
        found = divided(kept_in(record)).get(Parts.THUMBNAIL)
    except (IndexError, KeyError, ValueError, Misconfigured):  # whoever wrote it is not of our version
        return None
    return None if found is None else found.reshape(SIDE_PX, SIDE_PX)
