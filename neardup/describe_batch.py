"""From encoded images to what each is compared by, batch by batch: the one path of seeds and stream.

Images are read and decoded in shares, one in each of some threads, and come back in order. An image that cannot be
decoded or described leaves its place to what is wrong with it, and spoils no other.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from itertools import islice
from typing import TypeVar

from neardup.decoding.pool import Decoder, Failure, PrepareAll
from neardup.errors import BadInput
from neardup.relation.describing import Describer, PreparedImage
from neardup.types import Variant

BATCH = 64
"""Images that are described together where nothing else sets a batch."""
_WINDOW_PER_THREAD = 4
"""Images in flight for each thread where they are not in memory anyway: more would only take it."""

Compared = tuple[Variant, ...]
"""What an image is compared by, the image as it came first."""

Item = TypeVar("Item")
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
    """

    def __init__(self, describer: Describer, decoder: Decoder, executor: Executor) -> None:
        self._describer = describer
        self._decoder = decoder
        self._executor = executor
        self._prepare_all: PrepareAll = decoder.preparing(describer.preparation)

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
        prepare = partial(_read_and_prepare, read, self._prepare_all)
        window: deque[Future[list[PreparedImage | BadInput | Failure]]] = deque()
        remaining = iter(items)
        try:
            while taken := list(islice(remaining, share)):
                window.append(self._executor.submit(prepare, taken))
                if len(window) >= in_flight:
                    yield from window.popleft().result()
            while window:
                yield from window.popleft().result()
        finally:
            for future in window:
                future.cancel()

    def describe(self, prepared: Sequence[PreparedImage | BadInput | Failure]) -> list[Compared | BadInput | Failure]:
        """Return what each image is compared by, or what is wrong with it, in order."""
        described = iter(self._each([image for image in prepared if isinstance(image, PreparedImage)]))
        return [next(described) if isinstance(image, PreparedImage) else image for image in prepared]

    def _each(self, images: Sequence[PreparedImage]) -> list[Compared | BadInput]:
        try:
            return list(self._describer.describe(images))
        except BadInput as error:
            if len(images) == 1:
                return [error]
        # One image spoils the batch: alone, each shows whether it was the one.
        return [self._each([one])[0] for one in images]


def _read_and_prepare(
    read: Read[Item, Failure], prepare_all: PrepareAll, items: Sequence[Item]
) -> list[PreparedImage | BadInput | Failure]:
    return prepare_all(map(read, items))
