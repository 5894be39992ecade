"""The same bytes again: what describing an image came to, found by a hash of its bytes instead of decoding it anew.

What is kept is what an image is compared by, never its verdict. So the index judges each image as if it had been
decoded, whatever has become of the members since. Errors are not kept: out of memory, some libraries only say that
they failed.
"""

import hashlib
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from neardup.errors import BadInput
from neardup.relation.describing import PreparedImage

ENTRY_BYTES = 288
"""What an image takes besides what is kept of it: two objects of bytes, and its place in a table that has grown."""


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """Encoded bytes that whoever asked for them first now decodes.

    Attributes
    ----------
    data
        The bytes.
    sha256
        Of the bytes; None where nothing is kept.
    outcome
        What they came to; None if that was an error, or nothing.
    """

    data: bytes
    sha256: bytes | None = None
    outcome: "Future[PreparedImage | None]" = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Awaited:
    """The same bytes once more while somebody else decodes them."""

    claim: Claim


class Repeats:
    """Remembers described images, and forgets the least recently used; may be asked from several threads.

    Parameters
    ----------
    budget_bytes
        Memory for what is kept, about; 0 keeps nothing, and hashes nothing.
    count
        Called for each image that need not be decoded.
    """

    def __init__(self, budget_bytes: int = 0, count: Callable[[], object] = lambda: None) -> None:
        self._budget_bytes = budget_bytes
        self._count = count
        self._lock = threading.Lock()
        # Pickled: its size is known, and no array keeps a larger one alive.
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        # The small pixels of a batch may take more than the whole budget: they are here only as long as the batch.
        self._undescribed: WeakValueDictionary[bytes, PreparedImage] = WeakValueDictionary()
        self._claims: dict[bytes, Claim] = {}
        self.nbytes = 0

    def ask(self, data: bytes) -> PreparedImage | Claim | Awaited:
        """Return what these bytes came to, or whom to wait for; whoever gets a claim settles it or gives it up."""
        if not self._budget_bytes:
            return Claim(data)
        # Not a quicker hash: whoever can make two files with the same hash decides what the other one is taken for.
        sha256 = hashlib.sha256(data).digest()
        found = self._found(sha256, data)
        if isinstance(found, bytes):
            found = pickle.loads(found)  # noqa: S301 - from this process
        if isinstance(found, PreparedImage):
            self._count()
        return found

    def _found(self, sha256: bytes, data: bytes) -> bytes | PreparedImage | Claim | Awaited:
        """Return what is kept, pickled or as somebody has it; else whom to wait for, or a new claim."""
        with self._lock:
            if sha256 in self._kept:
                self._kept.move_to_end(sha256)
                return self._kept[sha256]
            if (undescribed := self._undescribed.get(sha256)) is not None:
                return undescribed
            if sha256 in self._claims:
                return Awaited(self._claims[sha256])
            claim = self._claims[sha256] = Claim(data, sha256)
            return claim

    def settle(self, claim: Claim, answer: PreparedImage | BadInput) -> PreparedImage | BadInput:
        """Tell what a claim has come to; return it as it is to be described, or if it is, to be compared."""
        if claim.sha256 is None or not isinstance(answer, PreparedImage):
            return answer
        image = replace(answer, sha256=claim.sha256)
        self.keep(image)
        self._end(claim, image)
        return image

    def give_up(self, claims: Iterable[Claim]) -> None:
        """End those claims that came to nothing to keep."""
        for claim in claims:
            if not claim.outcome.done():
                self._end(claim, None)

    def _end(self, claim: Claim, image: PreparedImage | None) -> None:
        if claim.sha256 is not None:
            with self._lock:
                del self._claims[claim.sha256]
        claim.outcome.set_result(image)

    def await_other(self, awaited: Awaited) -> PreparedImage | None:
        """Wait for whoever decodes the same bytes; return what they came to, None if that was an error, or nothing."""
        image = awaited.claim.outcome.result()
        if image is not None:
            self._count()
        return image

    def keep(self, image: PreparedImage) -> None:
        """Keep an image that was claimed: until it is described only as long as somebody else has it."""
        if image.sha256 is None:
            return
        if image.descriptors is None:
            with self._lock:
                self._undescribed[image.sha256] = image
            return
        kept = pickle.dumps(image, pickle.HIGHEST_PROTOCOL)
        with self._lock:
            self._forget(image.sha256)
            self._kept[image.sha256] = kept
            self.nbytes += len(kept) + ENTRY_BYTES
            while self.nbytes > self._budget_bytes:
                self._forget(next(iter(self._kept)))

    def _forget(self, sha256: bytes) -> None:
        kept = self._kept.pop(sha256, None)
        if kept is not None:
            self.nbytes -= len(kept) + ENTRY_BYTES
