"""How images go through a network: how many together, how many at the same time, and always to the same bits."""

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from neardup.descriptors.network import Network, NetworkDescriptor, Tensor
from neardup.errors import Undescribable

SIDE_PX = 12
TOGETHER, THREADS = 4, 3
Run = Callable[[Tensor], NDArray[np.generic]]
IMAGES = np.random.default_rng(0).integers(1, 256, (11, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


def mean_colour(image: Tensor, _came_with: int) -> Tensor:
    return np.asarray(image.mean(axis=(0, 1)))


class Seen:
    """A network that gives each image its mean colour; it remembers what it was asked for.

    Parameters
    ----------
    per_image
        Returns what an image gets instead, from its pixels and how many it came with.
    """

    def __init__(self, per_image: Callable[[Tensor, int], Tensor] | None = None) -> None:
        self.sizes: list[int] = []
        self.inside = self.most_inside = 0
        self.meeting: threading.Barrier | None = None
        self._per_image = per_image or mean_colour
        self._lock = threading.Lock()

    def __call__(self, batch: Tensor) -> NDArray[np.generic]:
        with self._lock:
            self.sizes.append(len(batch))
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        if self.meeting is not None:
            self.meeting.wait(timeout=60)
        rows = np.stack([self._per_image(image, len(batch)) for image in batch])
        with self._lock:
            self.inside -= 1
        return rows


def network(run: Run, together: int = TOGETHER) -> Network:
    return Network((SIDE_PX, SIDE_PX), lambda pixels: pixels.astype(np.float32), run, together, THREADS)


def loaded(run: Seen, together: int = TOGETHER) -> NetworkDescriptor:
    descriptor = NetworkDescriptor("keras:Test", "test-1", network(run, together))
    run.sizes.clear()
    return descriptor


def slow(image: Tensor, came_with: int) -> Tensor:
    began_s = time.process_time()
    while time.process_time() - began_s < 0.03:
        pass
    return mean_colour(image, came_with)


def only_alone(image: Tensor, came_with: int) -> Tensor:
    if came_with > 1:
        raise ValueError
    return mean_colour(image, came_with)


def test_several_go_together_and_the_rest_one_by_one() -> None:
    run = Seen()
    rows = loaded(run).features(IMAGES)
    assert sorted(run.sizes) == [1, 1, 1, TOGETHER, TOGETHER]
    assert rows.dtype == np.float32
    assert np.array_equal(rows, IMAGES.astype(np.float32).mean(axis=(1, 2)))


@pytest.mark.parametrize(
    "per_image",
    [
        pytest.param(
            lambda image, came_with: mean_colour(image, came_with) * np.float32(1 + came_with * 2**-20), id="bits"
        ),
        pytest.param(only_alone, id="fails"),
        pytest.param(slow, id="slow"),
    ],
)
def test_they_go_one_by_one_if_together_they_get_other_bits_or_it_fails_or_gains_nothing(
    per_image: Callable[[Tensor, int], Tensor],
) -> None:
    run = Seen(per_image)
    descriptor = loaded(run)
    few = IMAGES[: TOGETHER + 1]
    rows = descriptor.features(few)
    assert run.sizes == [1] * len(few)
    assert np.array_equal(rows, np.concatenate([descriptor.features(image[np.newaxis]) for image in few]))


def test_a_slow_network_is_not_even_tried_with_several() -> None:
    run = Seen(slow)
    NetworkDescriptor("keras:Test", "test-1", network(run))
    assert set(run.sizes) == {1}


def test_each_thread_has_an_image_at_the_same_time() -> None:
    run = Seen()
    descriptor = loaded(run, together=1)
    run.meeting = threading.Barrier(THREADS)  # nobody goes on before so many are there
    rows = descriptor.features(IMAGES[: 3 * THREADS])
    assert np.array_equal(rows, IMAGES[: 3 * THREADS].astype(np.float32).mean(axis=(1, 2)))


def test_never_more_are_in_memory_than_there_are_threads_whoever_asks() -> None:
    run = Seen()
    descriptor = loaded(run, together=1)
    run.meeting = threading.Barrier(THREADS)
    callers = [threading.Thread(target=descriptor.features, args=(IMAGES[:THREADS],)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert run.sizes == [1] * 4 * THREADS
    assert run.most_inside <= THREADS


def test_an_image_that_gives_nothing_is_told() -> None:
    descriptor = loaded(Seen())
    images = IMAGES.copy()
    images[9] = 0
    with pytest.raises(Undescribable, match="nothing but zeros"):
        descriptor.features(images)
