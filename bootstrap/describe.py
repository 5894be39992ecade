"""From seeds to descriptors: decoding in threads, describing in batches, in the order of the seeds."""

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from neardup.decode import DecodeLimits
from neardup.descriptors.base import Descriptor
from neardup.errors import BadInput, Misconfigured
from neardup.sources import SourceImage
from neardup.types import Descriptors

BATCH = 64
UNREADABLE_FILE = "unreadable-file"
"""Reason of what could not even be read; all other reasons are those of `neardup.errors.BadInput`."""
_WINDOW_PER_WORKER = 4
"""Images in flight for each thread: more would only take memory."""


@dataclass(frozen=True, slots=True)
class SeedImage:
    """A seed that was described."""

    image_id: str
    captured_at_ms: int = 0

    @property
    def key(self) -> str:
        """Its key in the index."""
        return f"seed:{self.image_id}"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A seed that was left out, with its reason (a bounded slug) and the detail."""

    image_id: str
    reason: str
    detail: str


@dataclass(slots=True)
class DescribedSeeds:
    """The seed set as numbers.

    Attributes
    ----------
    images
        What was described.
    descriptors
        float16 (n, d), a row for each image.
    unreadable
        What was left out.
    """

    images: list[SeedImage]
    descriptors: Descriptors
    unreadable: list[Unreadable] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Prepared:
    image: SeedImage
    pixels: NDArray[np.uint8]


def describe_seeds(
    seeds: Iterable[SourceImage],
    descriptor: Descriptor,
    *,
    workers: int | None = None,
    limits: DecodeLimits | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> DescribedSeeds:
    """Decode and describe all seeds; what cannot be is counted and left out.

    No more than a few images a thread are in memory at a time.

    Parameters
    ----------
    seeds
        In the order that decides which of two duplicates is the earlier one.
    descriptor
        The same that describes the stream.
    workers
        Threads that decode; None takes one for each processor.
    limits
        What an image may cost.
    progress
        Told how many seeds were finished since the last call.

    Raises
    ------
    Misconfigured
        No seed is a readable image.
    """
    prepare = partial(_prepare, descriptor=descriptor, limits=limits or DecodeLimits())
    batches: deque[Descriptors] = deque()
    result = DescribedSeeds([], np.empty((0, descriptor.dimension), dtype=np.float16))
    prepared = _in_threads(prepare, seeds, workers or os.cpu_count() or 1)
    while batch := list(islice(prepared, BATCH)):
        batches.append(_describe_batch(batch, descriptor, result))
        progress(len(batch))
    if not result.images:
        raise Misconfigured(f"SEEDS: there is no readable image ({_counts(result.unreadable) or 'no file at all'})")
    result.descriptors = _joined(batches, len(result.images), descriptor.dimension)
    return result


def _prepare(seed: SourceImage, descriptor: Descriptor, limits: DecodeLimits) -> _Prepared | Unreadable:
    try:
        pixels = descriptor.prepare(seed.pixels(descriptor.reduce_to_px, limits))
    except BadInput as exc:
        return Unreadable(seed.image_id, exc.reason, str(exc))
    except OSError as exc:
        return Unreadable(seed.image_id, UNREADABLE_FILE, exc.strerror or str(exc))
    return _Prepared(SeedImage(seed.image_id, seed.captured_at_ms), pixels)


def _in_threads(
    prepare: Callable[[SourceImage], _Prepared | Unreadable], seeds: Iterable[SourceImage], workers: int
) -> Iterator[_Prepared | Unreadable]:
    """Map in threads, in order, with a bounded number in flight."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    window: deque[Future[_Prepared | Unreadable]] = deque()
    try:
        for seed in seeds:
            window.append(pool.submit(prepare, seed))
            if len(window) >= workers * _WINDOW_PER_WORKER:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _describe_batch(
    batch: Iterable[_Prepared | Unreadable], descriptor: Descriptor, result: DescribedSeeds
) -> Descriptors:
    prepared = []
    for item in batch:
        if isinstance(item, Unreadable):
            result.unreadable.append(item)
        else:
            prepared.append(item)
    try:
        described = descriptor.describe([item.pixels for item in prepared])
    except BadInput:
        return _describe_singly(prepared, descriptor, result)
    result.images += [item.image for item in prepared]
    return described


def _describe_singly(prepared: Iterable[_Prepared], descriptor: Descriptor, result: DescribedSeeds) -> Descriptors:
    rows = [np.empty((0, descriptor.dimension), dtype=np.float16)]
    for item in prepared:
        try:
            rows.append(descriptor.describe([item.pixels]))
        except BadInput as exc:
            result.unreadable.append(Unreadable(item.image.image_id, exc.reason, str(exc)))
        else:
            result.images.append(item.image)
    return np.concatenate(rows)


def _joined(batches: deque[Descriptors], rows: int, dimension: int) -> Descriptors:
    """Move the batches into one matrix, each released as soon as it is copied."""
    joined = np.empty((rows, dimension), dtype=np.float16)
    start = 0
    while batches:
        batch = batches.popleft()
        joined[start : start + len(batch)] = batch
        start += len(batch)
    return joined


def _counts(unreadable: Iterable[Unreadable]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons(unreadable).items())


def reasons(unreadable: Iterable[Unreadable]) -> dict[str, int]:
    """Return how many seeds were left out for each reason, the most frequent first."""
    return dict(Counter(item.reason for item in unreadable).most_common())
