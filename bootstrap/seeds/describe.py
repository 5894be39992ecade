"""From seeds to descriptors: decoding side by side, describing in batches, in the order of the seeds."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice, repeat

import numpy as np

from neardup.cores import count_of
from neardup.decoding.limits import DecodeLimits, WorkLimits
from neardup.decoding.pool import open_decoder
from neardup.describe_batch import BATCH, BatchDescriber, Compared
from neardup.descriptors.base import Descriptor
from neardup.errors import BadInput, Misconfigured
from neardup.relation.describing import Describer, PreparedImage
from neardup.relation.images import Images, packed
from neardup.relation.rule import Relation
from neardup.sources.images import EncodedImage, SourceImage, as_bad_input
from neardup.types import Descriptors, Kept, Member

Answer = Compared | BadInput | OSError
"""What a seed is compared by, or what is wrong with it."""


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
    kept
        uint8 (n, b), what is kept of them besides; None where nothing but descriptors is compared.
    variants
        What else of the images is compared.
    """

    images: list[SeedImage]
    descriptors: Descriptors
    unreadable: list[Unreadable] = field(default_factory=list)
    kept: Kept | None = None
    variants: tuple[Images, ...] = ()

    @property
    def compared(self) -> Images:
        """What the images are compared by."""
        return Images(self.descriptors, self.kept, self.variants)

    def members(self) -> list[Member]:
        """Return the images as members of an index."""
        kept: Iterable[Kept | None] = repeat(None) if self.kept is None else self.kept
        return [
            Member(image.key, image.image_id, row, image.captured_at_ms, each)
            for image, row, each in zip(self.images, self.descriptors, kept, strict=False)
        ]

    def described_by(self, project: Callable[[Descriptors], Descriptors]) -> "DescribedSeeds":
        """Return the same seeds with descriptors made of these, those of the variants, too."""
        variants = tuple(replace(each, descriptors=project(each.descriptors)) for each in self.variants)
        return replace(self, descriptors=project(self.descriptors), variants=variants)


def describe_seeds(
    seeds: Iterable[SourceImage],
    descriptor: Descriptor,
    relation: Relation | None = None,
    *,
    workers: int | None = None,
    limits: DecodeLimits | None = None,
    work_limits: WorkLimits | None = None,
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
    relation
        Of the index to come: what else than descriptors is compared. Its radius does not matter; None is nothing else.
    workers
        Processes that decode; None takes one for each core it may use.
    limits
        What is decoded.
    work_limits
        What it may cost; None decodes in threads, without limits of time and memory. Frames of clips are decoded as
        they are read, in this process.
    progress
        Told how many seeds were finished since the last call.

    Raises
    ------
    Misconfigured
        No seed is a readable image.
    """
    describer = Describer(descriptor, relation or Relation(0.0))
    limits, threads = limits or DecodeLimits(), count_of(workers)
    with open_decoder(threads, limits, work_limits) as decoder, _threads(threads) as executor:
        path = BatchDescriber(describer, decoder, executor)
        read = partial(read_seed, describer=describer, limits=limits)

        def compared(taken: Iterable[SourceImage]) -> Iterator[list[Answer]]:
            prepared = path.prepare_few(taken, read, threads)
            while batch := list(islice(prepared, BATCH)):
                yield path.describe(batch)

        return collected(seeds, compared, describer, progress)


def collected(
    seeds: Iterable[SourceImage],
    compared: Callable[[Iterable[SourceImage]], Iterable[list[Answer]]],
    describer: Describer,
    progress: Callable[[int], object],
) -> DescribedSeeds:
    """Gather what the seeds come to, in their order.

    Parameters
    ----------
    seeds, progress
        As in `describe_seeds`.
    compared
        Makes batches of what the images are compared by, or of what is wrong with them, in their order.
    describer
        What they are compared by.

    Raises
    ------
    Misconfigured
        No seed is a readable image.
    """
    result = DescribedSeeds([], np.empty((0, describer.descriptor.dimension), dtype=np.float16))
    taken: deque[SeedImage] = deque()

    def described() -> Iterator[Compared]:
        for batch in compared(_noted(seeds, taken)):
            yield from _sorted_out(batch, taken, result)
            progress(len(batch))

    images = packed(described(), describer.parts)
    if images is None:
        raise Misconfigured(f"SEEDS: no readable image found ({_counts(result.unreadable) or 'no file at all'})")
    result.descriptors, result.kept, result.variants = images.descriptors, images.kept, images.variants
    return result


@contextmanager
def _threads(count: int) -> Iterator[Executor]:
    pool = ThreadPoolExecutor(count, thread_name_prefix="decode")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _noted(seeds: Iterable[SourceImage], taken: deque[SeedImage]) -> Iterator[SourceImage]:
    """Iterate over the seeds, and note what each is called: a seed itself may hold the pixels of a frame."""
    for seed in seeds:
        taken.append(SeedImage(seed.image_id, seed.captured_at_ms))
        yield seed


def read_seed(
    seed: SourceImage, describer: Describer, limits: DecodeLimits
) -> bytes | PreparedImage | BadInput | OSError:
    """Return the bytes of a seed, what is kept of the pixels of a frame, or what is wrong with it."""
    try:
        if isinstance(seed, EncodedImage):
            return seed.encoded(limits.max_bytes)
        return describer.prepare(seed.pixels(describer.reduce_to_px, limits))
    except (BadInput, OSError) as exc:
        return exc


def _sorted_out(
    results: Iterable[Answer],
    taken: deque[SeedImage],
    result: DescribedSeeds,
) -> Iterator[Compared]:
    """Note what each of the seeds taken came to; iterate over what those described are compared by."""
    for compared in results:
        image = taken.popleft()
        if isinstance(compared, BadInput | OSError):
            error = as_bad_input(compared)
            result.unreadable.append(Unreadable(image.image_id, error.reason, str(error)))
        else:
            result.images.append(image)
            yield compared


def _counts(unreadable: Iterable[Unreadable]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons(unreadable).items())


def reasons(unreadable: Iterable[Unreadable]) -> dict[str, int]:
    """Return how many seeds were left out for each reason, the most frequent first."""
    return dict(Counter(item.reason for item in unreadable).most_common())
