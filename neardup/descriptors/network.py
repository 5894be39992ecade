"""What all neural-network descriptors share: one image at a time through a network that is compiled once."""

import hashlib
from collections.abc import Callable
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

Tensor = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Network:
    """A network as a function, and what to feed it.

    Attributes
    ----------
    input_px
        Height and width of its input.
    preprocess
        Makes its input, float32 (1, ...), from uint8 (1, height, width, 3) RGB pixels.
    run
        Returns its output for one image, with an axis of length 1 in front and any others after it.
    """

    input_px: tuple[int, int]
    preprocess: Callable[[NDArray[np.uint8]], Tensor]
    run: Callable[[Tensor], NDArray[np.generic]]


class NetworkDescriptor(Descriptor):
    """The flattened output of a network, scaled to unit length.

    Images go through the network one by one, whatever the batch: for another batch size a library may choose
    another algorithm, and the same image would get different bits. docs/descriptors.md says what that costs.

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

    def _probed(self, probe: NDArray[np.uint8]) -> int:
        """Run the network on a test image, and return the length of a descriptor."""
        try:
            row = self._run(probe)
        except Misconfigured:
            raise
        except Exception as exc:  # keras and TensorFlow each raise their own types
            raise Misconfigured(f"descriptor {self.spec}: the network does not run: {first_line(exc)}") from exc
        if row.size < 2:  # noqa: PLR2004 - one number of unit length is +1 or -1
            raise Misconfigured(f"descriptor {self.spec}: the network's output is a single number, not a descriptor")
        wrong = _unusable(row)
        if wrong:
            raise Misconfigured(f"descriptor {self.spec}: the network gives {wrong} for a test image: wrong weights?")
        return row.size

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
        rows = [self._run(each) for each in prepared]
        for row in rows:
            wrong = _unusable(row)
            if wrong:
                raise Undescribable(f"the network gave {wrong}")
        return np.stack(rows)

    def _run(self, pixels: NDArray[np.uint8]) -> Tensor:
        output = np.asarray(self._network.run(self._network.preprocess(pixels[np.newaxis])))
        if output.ndim < 2 or len(output) != 1:  # noqa: PLR2004 - the batch axis, and at least one more
            raise Misconfigured(
                f"descriptor {self.spec}: for one image the network's output has the shape {output.shape}; it should "
                "be 1 and then the numbers of an image"
            )
        return output.astype(np.float32).reshape(-1)


def resized(pixels: Pixels, size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """Return pixels resized to a height and width."""
    height, width = size_px
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.uint8)


def _unusable(row: Tensor) -> str:
    if not np.isfinite(row).all():
        return "NaN or infinity"
    return "" if row.any() else "nothing but zeros"


def _test_image(height: int, width: int) -> NDArray[np.uint8]:
    """Return uint8 (height, width, 3) with some of every colour, in integers: the same everywhere."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [(x * x * (3 + channel) + y * y * 5 + x * y * (7 - channel)) // 16 % 256 for channel in range(3)]
    return np.stack(channels, axis=2).astype(np.uint8)


def first_line(exc: BaseException) -> str:
    """Return what a library's error says, in one line; some libraries write pages."""
    return next((line.strip() for line in str(exc).splitlines() if line.strip()), type(exc).__name__)
