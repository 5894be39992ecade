"""What all neural-network descriptors share: images on their way through a network, an image to a core."""

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neardup.descriptors.base import Descriptor
from neardup.errors import Misconfigured, Undescribable
from neardup.types import Pixels

UNMEASURED_RADIUS = 0.5
"""A guess: it depends on the weights, and none were measured here (docs/descriptors.md says how to)."""

_LIGHT_S = 0.02
"""A network that takes longer over an image gains nothing by several together, which would only fill the memory."""
_TIMED = 3

Tensor = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Network:
    """A network as a function, and what to feed it.

    Attributes
    ----------
    input_px
        Height and width of its input.
    preprocess
        Makes its input, float32 (n, ...), from uint8 (n, height, width, 3) RGB pixels.
    run
        Returns its output for one image, or for `together`, with their axis in front and any others after it.
    together
        Images that `run` may be given at once, instead of one.
    threads
        Threads that may call `run` at the same time.
    """

    input_px: tuple[int, int]
    preprocess: Callable[[NDArray[np.uint8]], Tensor]
    run: Callable[[Tensor], NDArray[np.generic]]
    together: int = 1
    threads: int = 1


class NetworkDescriptor(Descriptor):
    """The flattened output of a network, scaled to unit length.

    Images go through the network one by one, as many at the same time as it has threads. Some networks are faster with
    a few together, but for another batch size a library may choose another algorithm, and the same image would get
    different bits. So a light network is tried once, and takes several together if each then has the bits that it has
    alone. docs/descriptors.md has the figures.

    Parameters
    ----------
    spec, fingerprint
        As in `Descriptor`; a hash of what the preprocessing makes of a test image is added to the fingerprint.
    network
        The network that describes.

    Raises
    ------
    Misconfigured
        The network does not run, or gives nothing to compare by: NaN, zeros, the same for different images, or an
        output without the batch axis.
    """

    def __init__(self, spec: str, fingerprint: str, network: Network) -> None:
        self.spec = spec
        self._network = network
        self.reduce_to_px = 2 * max(network.input_px)
        self.default_radius = UNMEASURED_RADIUS
        self.radius_is_measured = False
        height, width = network.input_px
        probe = _test_image(height, width)
        seen = hashlib.sha256(network.preprocess(probe[np.newaxis]).tobytes()).hexdigest()[:8]
        self.fingerprint = f"{fingerprint}-{width}x{height}px-{seen}"
        self.dimension = self._probed(probe)
        self._together = self._found_together(probe)
        self._threads = ThreadPoolExecutor(network.threads, thread_name_prefix="network")

    def _probed(self, probe: NDArray[np.uint8]) -> int:
        """Run the network on a test image, and return the length of a descriptor."""
        try:
            [row] = self._run(probe[np.newaxis])
        except Misconfigured:
            raise
        except Exception as exc:  # keras and TensorFlow each raise their own types
            raise Misconfigured(f"descriptor {self.spec}: the network does not run: {first_line(exc)}") from exc
        if len(row) < 2:  # noqa: PLR2004 - one number of unit length is +1 or -1
            raise Misconfigured(f"descriptor {self.spec}: the network's output is a single number, not a descriptor")
        wrong = _unusable(row)
        if wrong:
            raise Misconfigured(f"descriptor {self.spec}: the network gives {wrong} for a test image: wrong weights?")
        return len(row)

    def _found_together(self, probe: NDArray[np.uint8]) -> int:
        """Return how many images go through the network at once: one, or more with the same bits in less time."""
        together = self._network.together
        if together == 1 or _least_cpu_s(partial(self._run, probe[np.newaxis])) > _LIGHT_S:
            return 1
        images = np.stack([np.roll(probe, 1 + 7 * place, axis=place % 3) for place in range(together)])
        try:
            outputs = self._run(images)
        except Exception:  # noqa: BLE001 - a model may be made for one image alone, and fail in any way for more
            return 1
        alone = [self._run(image[np.newaxis]) for image in images]
        return together if np.array_equal(outputs, np.concatenate(alone)) else 1

    def prepare(self, pixels: Pixels) -> NDArray[np.uint8]:
        """Return the uint8 (height, width, 3) thumbnail that the network takes."""
        return resized(pixels, self._network.input_px)

    @property
    def preparer(self) -> Callable[[Pixels], NDArray[np.uint8]]:
        """The same, without the network; see `Descriptor.preparer`."""
        return partial(resized, size_px=self._network.input_px)

    def features(self, prepared: NDArray[np.uint8]) -> Tensor:
        """Return float32 (n, d) outputs, flattened.

        Raises
        ------
        Undescribable
            The network gives NaN, infinity or nothing but zeros for an image.
        """
        rows = np.concatenate(list(self._threads.map(self._run, self._pieces(prepared))))
        for row in rows:
            wrong = _unusable(row)
            if wrong:
                raise Undescribable(f"the network gave {wrong}")
        return rows

    def _pieces(self, prepared: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        """Iterate over what goes through the network at once: so many together, and the rest one by one."""
        full = len(prepared) - len(prepared) % self._together
        yield from (prepared[start : start + self._together] for start in range(0, full, self._together))
        yield from (prepared[place : place + 1] for place in range(full, len(prepared)))

    def _run(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Return float32 (n, d) outputs for one image or for several together, uint8 (n, height, width, 3)."""
        output = np.asarray(self._network.run(self._network.preprocess(pixels)))
        if output.ndim < 2 or len(output) != len(pixels):  # noqa: PLR2004 - the batch axis, and at least one more
            raise Misconfigured(
                f"descriptor {self.spec}: for one image the network's output has the shape {output.shape}; it should "
                "be 1 and then the numbers of an image"
            )
        return output.astype(np.float32).reshape(len(pixels), -1)


def resized(pixels: Pixels, size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """Return pixels resized to a height and width."""
    height, width = size_px
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.uint8)


def _unusable(row: Tensor) -> str:
    if not np.isfinite(row).all():
        return "NaN or infinity"
    return "" if row.any() else "nothing but zeros"


def _least_cpu_s(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_TIMED):
        began_s = time.process_time()
        work()
        times.append(time.process_time() - began_s)
    return min(times)


def _test_image(height: int, width: int) -> NDArray[np.uint8]:
    """Return uint8 (height, width, 3) with some of every colour, in integers: the same everywhere."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [(x * x * (3 + channel) + y * y * 5 + x * y * (7 - channel)) // 16 % 256 for channel in range(3)]
    return np.stack(channels, axis=2).astype(np.uint8)


def first_line(exc: BaseException) -> str:
    """Return what a library's error says, in one line; some libraries write pages."""
    return next((line.strip() for line in str(exc).splitlines() if line.strip()), type(exc).__name__)
