"""Batches of photos and their copies, made ahead by other processes; the same for a seed however many these are."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neardup.types import Pixels
from training.augment import light_copy, strong_copy
from training.photos import TrainingSet

_AHEAD = 6
_LOOK_ALIKE_SHARE = 0.25
"""Of a batch: look-alikes of other pictures in it, which are told apart the hardest."""


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
    """

    pictures: TrainingSet
    batch_size: int
    seed: int

    @property
    def look_alikes(self) -> int:
        """How many pictures of a batch are there for being like another one of it."""
        return int(self.batch_size * _LOOK_ALIKE_SHARE)

    @property
    def batches_an_epoch(self) -> int:
        """How many batches see each picture once, look-alikes not counted."""
        return max(1, self.pictures.count // (self.batch_size - self.look_alikes))

    def batches(self, first: int, workers: int) -> Generator[tuple[Pixels, NDArray[np.int32]], None, None]:
        """Yield from batch `first` on, for ever: uint8 (2, n, 64, 64, 3) and the pictures' numbers, int32 (2, n)."""
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
            waiting: deque[Future[tuple[Pixels, NDArray[np.int32]]]] = deque()
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


def make_batch(feed: Feed, number: int) -> tuple[Pixels, NDArray[np.int32]]:
    """Return batch `number` of a feed: pictures as they are, and copies of them."""
    epoch, within = divmod(number, feed.batches_an_epoch)
    order = np.random.default_rng([feed.seed, epoch]).permutation(feed.pictures.count)
    fresh = feed.batch_size - feed.look_alikes
    chosen = order[within * fresh :][:fresh]
    random = np.random.default_rng([feed.seed, epoch, within])
    near = _mapped(feed.pictures.look_alikes)[chosen[: feed.look_alikes]]
    chosen = np.concatenate([chosen, near[np.arange(len(near)), random.integers(near.shape[1], size=len(near))]])
    squares = _mapped(feed.pictures.squares)
    pairs = [[make(squares[index], random) for index in chosen] for make in (light_copy, strong_copy)]
    return np.array(pairs), np.stack([chosen, chosen]).astype(np.int32)
