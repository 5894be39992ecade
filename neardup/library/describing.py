"""From images of any kind to all that they are compared by: as in the service, an image at a time or many."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, islice

import numpy as np

from neardup.cores import count_of
from neardup.decoding.limits import DecodeLimits, WorkLimits
from neardup.decoding.pool import open_decoder
from neardup.describe_batch import BATCH, BatchDescriber, Compared
from neardup.descriptors import DEFAULT
from neardup.errors import BadInput
from neardup.library.images import ImageLike, Readable, named, one_by_one, readable
from neardup.library.options import descriptor_of, require_workers
from neardup.relation.describing import Describer, PreparedImage
from neardup.relation.rule import Relation
from neardup.sources.images import BytesImage, FileImage
from neardup.types import Descriptors

Outcome = Compared | BadInput | OSError
"""Of one image: what it is compared by, or why there is nothing."""
_FEW = 8
"""Up to so many images are decoded in this process: starting others would take longer."""


def describe(
    images: ImageLike | Iterable[ImageLike], *, descriptor: str = DEFAULT, workers: int | None = None
) -> Descriptors:
    """Describe one image or many by the numbers that they are compared by.

    Parameters
    ----------
    images
        One image or an iterable of them: paths, encoded bytes, PIL images, arrays. An array is always one image.
    descriptor
        ``dct``, ``copynet`` and others; docs/descriptors.md lists them.
    workers
        Processes that decode; None takes one for each core it may use, and none for up to 8 images.

    Returns
    -------
    ndarray
        float16 (n, d), a row of unit length for each image, in order. The L2 distance of two rows, from 0 to 2, tells
        how alike the images are; 0 is identical.

    Raises
    ------
    BadInput
        An image cannot be decoded or described; the message says which.
    OSError
        A file cannot be read.
    Misconfigured
        There is no such descriptor.

    Examples
    --------
    >>> import neardup
    >>> neardup.describe("photos/cat.jpg").shape
    (1, 128)
    >>> neardup.describe(["photos/cat.jpg", "photos/dog.jpg"]).dtype
    dtype('float16')
    """
    chosen = descriptor_of(descriptor)
    described = compared_or_raise(images, Describer(chosen, Relation(0.0)), workers)
    rows = [image.descriptor for image, *_ in described]
    return np.stack(rows) if rows else np.empty((0, chosen.dimension), dtype=np.float16)


def compared_or_raise(
    images: ImageLike | Iterable[ImageLike], describer: Describer, workers: int | None
) -> Iterator[Compared]:
    """Iterate over what each image is compared by.

    Raises
    ------
    BadInput, OSError
        Of the first image for which there is nothing.
    """
    waiting: deque[ImageLike] = deque()
    for number, outcome in enumerate(describe_all(_noted(images, waiting), describer, workers)):
        image = waiting.popleft()
        if isinstance(outcome, BadInput | OSError):
            raise named(outcome, image, number) from outcome
        yield outcome


def _noted(images: ImageLike | Iterable[ImageLike], waiting: deque[ImageLike]) -> Iterator[Readable]:
    for image in one_by_one(images):
        waiting.append(image)
        yield readable(image)


def describe_all(images: Iterable[Readable], describer: Describer, workers: int | None = None) -> Iterator[Outcome]:
    """Iterate over what comes of each image, in order; no more than a few images a thread are in memory at a time.

    Parameters
    ----------
    images
        Taken as they are needed.
    describer
        Says what is compared.
    workers
        As in `describe`.
    """
    require_workers(workers)
    remaining = iter(images)
    first = list(islice(remaining, _FEW + 1))
    here = workers is None and len(first) <= _FEW
    threads = count_of(workers)
    limits = DecodeLimits()
    with open_decoder(threads, limits, None if here else WorkLimits()) as decoder:
        executor = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        try:
            batches = BatchDescriber(describer, decoder, executor)
            read = partial(_read, describer=describer, limits=limits)
            prepared: Iterator[PreparedImage | BadInput | OSError]
            prepared = batches.prepare_few(chain(first, remaining), read, threads)
            while batch := list(islice(prepared, BATCH)):
                yield from batches.describe(batch)
        finally:
            executor.shutdown(cancel_futures=True)


def _read(image: Readable, *, describer: Describer, limits: DecodeLimits) -> bytes | PreparedImage | BadInput | OSError:
    try:
        if isinstance(image, BytesImage | FileImage):
            return image.encoded(limits.max_bytes)
        return describer.prepare(image.pixels(describer.reduce_to_px, limits))
    except (BadInput, OSError) as exc:
        return exc
