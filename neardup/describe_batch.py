"""From encoded images to what each is compared by, batch by batch: the one path of seeds and stream.

Images are read and decoded in shares, one in each of some threads, and come back in order. An image that cannot be
decoded or described leaves its place to what is wrong with it, and spoils no other.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TypeVar

from neardup.decoding.pool import Decoder
from neardup.errors import BadInput
from neardup.relation.describing import Describer, PreparedImage, variants_of
from neardup.repeats import Awaited, Claim, Repeats
from neardup.types import Variant

BATCH = 64
"""Images that are described together where nothing else sets a batch."""
_WINDOW_PER_THREAD = 4
"""Images in flight for each thread where they are not in memory anyway: more would only take it."""

Compared = tuple[Variant, ...]
"""What an image is compared by, the image as it came first."""

Item = TypeVar("Item")
Failure = TypeVar("Failure", bound=Exception)
Read = Callable[[Item], bytes | PreparedImage | BadInput | Failure]
"""Returns an image's encoded bytes, what is kept of its pixels, or what is wrong with it; called in a thread."""


class BatchDescriber:
    """Prepares images in several threads, then describes those together that the decoder has not described.

    Parameters
    ----------
    describer
        What images are compared by.
    decoder
        Decodes them.
    executor
        Threads that read images and wait for the decoder.
    repeats
        Where described images are remembered, of this describer alone; None decodes each image.
    """

    def __init__(
        self, describer: Describer, decoder: Decoder, executor: Executor, repeats: Repeats | None = None
    ) -> None:
        self._describer = describer
        self._decoder = decoder
        self._executor = executor
        self._repeats = repeats or Repeats()
        self._prepare_all = decoder.preparing(describer.preparation)

    def prepare(self, items: Sequence[Item], read: Read[Item, Failure]) -> list[PreparedImage | BadInput | Failure]:
        """Return each image of a batch prepared, or what is wrong with it, in order."""
        share = max(1, self._decoder.share(len(items)))
        return list(self._in_shares(items, read, share, in_flight=len(items)))

    def prepare_few(
        self, items: Iterable[Item], read: Read[Item, Failure], threads: int
    ) -> Iterator[PreparedImage | BadInput | Failure]:
        """Iterate over images prepared like a batch's, with no more than a few for each thread in memory at a time."""
        share = max(1, min(_WINDOW_PER_THREAD, self._decoder.share(BATCH * threads)))
        in_flight = max(threads + 1, threads * _WINDOW_PER_THREAD // share)
        return self._in_shares(items, read, share, in_flight)

    def _in_shares(
        self, items: Iterable[Item], read: Read[Item, Failure], share: int, in_flight: int
    ) -> Iterator[PreparedImage | BadInput | Failure]:
        window: deque[Future[list[PreparedImage | BadInput | Failure | Awaited]]] = deque()
        remaining = iter(items)
        try:
            while taken := list(islice(remaining, share)):
                window.append(self._executor.submit(self._read_and_prepare, read, taken))
                if len(window) >= in_flight:
                    yield from self._settled(window.popleft().result())
            while window:
                yield from self._settled(window.popleft().result())
        finally:
            for future in window:
                future.cancel()

    def _read_and_prepare(
        self, read: Read[Item, Failure], items: Sequence[Item]
    ) -> list[PreparedImage | BadInput | Failure | Awaited]:
        """Return images read and prepared; never wait for another thread, which may be waiting for this one."""
        places: list[PreparedImage | BadInput | Failure | Awaited | Claim] = []
        try:
            answers = iter(self._prepare_all(self._unknown(map(read, items), places)))
            return [self._repeats.settle(each, next(answers)) if isinstance(each, Claim) else each for each in places]
        finally:
            self._repeats.give_up(each for each in places if isinstance(each, Claim))

    def _unknown(
        self,
        images: Iterable[bytes | PreparedImage | BadInput | Failure],
        places: list[PreparedImage | BadInput | Failure | Awaited | Claim],
    ) -> Iterator[bytes]:
        """Iterate over the bytes that are for this thread to decode; note what stands in the place of each image."""
        for image in images:
            found = self._repeats.ask(image) if isinstance(image, bytes) else image
            places.append(found)
            if isinstance(found, Claim):
                yield found.data

    def _settled(
        self, places: Iterable[PreparedImage | BadInput | Failure | Awaited]
    ) -> Iterator[PreparedImage | BadInput | Failure]:
        for each in places:
            if isinstance(each, Awaited):
                # What went wrong with it over there may have been chance.
                yield self._repeats.await_other(each) or self._prepare_all([each.claim.data])[0]
            else:
                yield each

    def describe(self, prepared: Sequence[PreparedImage | BadInput | Failure]) -> list[Compared | BadInput | Failure]:
        """Return what each image is compared by, or what is wrong with it, in order."""
        images = [image for image in prepared if isinstance(image, PreparedImage)]
        described = iter(self._describer.described(images))
        return [
            self._compared(image, next(described)) if isinstance(image, PreparedImage) else image for image in prepared
        ]

    def _compared(self, image: PreparedImage, described: PreparedImage | BadInput) -> Compared | BadInput:
        if isinstance(described, BadInput):
            return described
        if described is not image:
            self._repeats.keep(described)
        return variants_of(described)
