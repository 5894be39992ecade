"""Batches of photos and their copies, made ahead by other processes; the same for a seed however many these are."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neardup.types import Pixels
from training.augment import light_copy, strong_copy
from training.mixing import Parts, mixed
from training.training_set import TrainingSet
from training.wild import wild_copy

_AHEAD = 6
_LOOK_ALIKE_SHARE = 0.25
"""Of a batch: look-alikes of other pictures in it, which are told apart the hardest."""


class Batch(NamedTuple):
    """The data of one training step.

    Attributes
    ----------
    pairs
        uint8 (2, n, 64, 64, 3): photos as they are, and copies.
    photos
        int32 (n,): the photos' numbers, which are not all different.
    parts
        float32 (n, n): how much of each copy, a row, is of which photo.
    """

    pairs: Pixels
    photos: NDArray[np.int32]
    parts: Parts


@dataclass(frozen=True)
class Feed:
    """Where batches come from.

    Attributes
    ----------
    pictures
        What is trained on.
    batch_size
        Pictures in a batch, look-alikes included; what an epoch has left after whole batches is left out of it.
    seed
        What is drawn depends on the seed and on the number of the batch alone: a resumed run goes on as if whole.
    mixed
        Share of the copies that show a second photo.
    wild
        Share of the copies that are far from their pictures.
    """

    pictures: TrainingSet
    batch_size: int
    seed: int
    mixed: float = 0.0
    wild: float = 0.0

    @property
    def look_alikes(self) -> int:
        """How many pictures of a batch are there for being like another one of it."""
        return int(self.batch_size * _LOOK_ALIKE_SHARE)

    @property
    def batches_an_epoch(self) -> int:
        """How many batches see each picture once, look-alikes not counted."""
        return max(1, self.pictures.count // (self.batch_size - self.look_alikes))

    def batches(self, first: int, workers: int) -> Generator[Batch, None, None]:
        """Yield from batch `first` on, for ever."""
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
            waiting: deque[Future[Batch]] = deque()
            try:
                for number in count(first):
                    waiting.append(executor.submit(make_batch, self, number))
                    if len(waiting) > _AHEAD:
                        yield waiting.popleft().result()
            finally:
                executor.shutdown(cancel_futures=True)


@cache
def _mapped(path: Path) -> NDArray[np.uint8]:
    return np.asarray(np.load(path, mmap_mode="r"))


def make_batch(feed: Feed, number: int) -> Batch:
    """Return batch `number` of a feed."""
    epoch, within = divmod(number, feed.batches_an_epoch)
    order = np.random.default_rng([feed.seed, epoch]).permutation(feed.pictures.count)
    fresh = feed.batch_size - feed.look_alikes
    chosen = order[within * fresh :][:fresh]
    random = np.random.default_rng([feed.seed, epoch, within])
    near = _mapped(feed.pictures.look_alikes)[chosen[: feed.look_alikes]]
    chosen = np.concatenate([chosen, near[np.arange(len(near)), random.integers(near.shape[1], size=len(near))]])
    squares = _mapped(feed.pictures.squares)
    photos = np.stack([light_copy(squares[index], random) for index in chosen])
    others = np.roll(chosen, 1)
    copies = np.stack(
        [
            wild_copy(squares[index], squares[other], random)
            if random.random() < feed.wild
            else strong_copy(squares[index], random)
            for index, other in zip(chosen, others, strict=True)
        ]
    )
    copies, parts = mixed(copies, feed.mixed, random)
    return Batch(np.stack([photos, copies]), chosen.astype(np.int32), parts)
