"""What is compared: the service's own descriptors, and the hashes of other libraries, behind one interface.

Every tool gives rows whose L2 distance it compares by. A hash is a row of zeros and ones: the square of the L2
distance of two is the number of bits in which they differ, exactly.
"""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.types import Pixels

Row = NDArray[np.float16]

TRAINED = frozenset({"copynet"})
"""Descriptors that were trained on photos of `photos_small`: they are measured on the others alone."""
PDQ_MIN_QUALITY = 50
"""The PDQ paper's advice: hashes of a lower quality are not to be used."""


class Tool(ABC):
    """Turns an image into a row.

    Attributes
    ----------
    name
        Stable, the key in the results.
    numbers, member_bytes
        Length of a row; bytes of a stored one.
    unit
        Of its distances: ``l2`` or ``bits``.
    default
        Largest distance that counts as duplicate as the tool ships; None where it leaves that to its user.
    """

    name: str
    numbers: int
    member_bytes: int
    unit: str
    default: float | None

    @abstractmethod
    def decode(self, data: bytes) -> Pixels:
        """Return uint8 (height, width, 3) of an encoded image, as small as the tool allows."""

    @abstractmethod
    def describe(self, pixels: Pixels) -> Row | None:
        """Return the row of an image, float16 (numbers,); None if the tool has none for it."""

    def row(self, data: bytes) -> Row | None:
        """Decode and describe."""
        return self.describe(self.decode(data))

    def squared(self, distance: float) -> float:
        """Return the squared L2 distance of rows at a distance in the tool's own unit."""
        return distance if self.unit == "bits" else distance * distance

    def distances(self, squared: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return distances in the tool's own unit from squared L2 distances of rows."""
        return squared if self.unit == "bits" else np.sqrt(np.maximum(squared, 0.0))


class OwnTool(Tool):
    """A descriptor of the service, at its shipped radius."""

    def __init__(self, spec: str, weights: str | None = None) -> None:
        is_network = spec.partition(":")[0] in {"keras", "vgg16"}
        self._descriptor = load_descriptor(spec, weights if is_network else None)
        self.name, self.unit = spec, "l2"
        self.numbers = self._descriptor.dimension
        self.member_bytes = 2 * self.numbers
        self.default = self._descriptor.default_radius

    def decode(self, data: bytes) -> Pixels:
        """As the service does: a JPEG smaller where that is enough."""
        return decode(data, reduce_to_px=self._descriptor.reduce_to_px)

    def describe(self, pixels: Pixels) -> Row | None:
        """Return float16 (numbers,)."""
        return np.asarray(self.describe_all([pixels])[0])

    def describe_all(self, images: Sequence[Pixels]) -> NDArray[np.float16]:
        """Return float16 (images, numbers), described at once."""
        return self._descriptor.describe([self._descriptor.prepare(pixels) for pixels in images])


class HashTool(Tool):
    """A perceptual hash of another library; it gets the decoded image at full size."""

    def __init__(
        self, name: str, bits: int, default: float | None, make: Callable[[Pixels], NDArray[Any] | None]
    ) -> None:
        self.name, self.unit, self.default, self._make = name, "bits", default, make
        self.numbers, self.member_bytes = bits, bits // 8

    def decode(self, data: bytes) -> Pixels:
        """At full size: a hash's authors shrink in their own way."""
        return decode(data)

    def describe(self, pixels: Pixels) -> Row | None:
        """Return zeros and ones, float16 (numbers,)."""
        bits = self._make(pixels)
        return None if bits is None else np.asarray(bits, dtype=np.float16).ravel()


def _imagehash(method: str, size: int) -> Callable[[Pixels], NDArray[Any]]:
    import imagehash  # noqa: PLC0415 - installed for the evaluation only

    make = getattr(imagehash, method)
    return lambda pixels: np.asarray(make(Image.fromarray(pixels), hash_size=size).hash)


def _pdq(min_quality: int) -> Callable[[Pixels], NDArray[Any] | None]:
    import pdqhash  # noqa: PLC0415 - installed for the evaluation only

    def make(pixels: Pixels) -> NDArray[Any] | None:
        bits, quality = pdqhash.compute(np.ascontiguousarray(pixels))
        return np.asarray(bits) if quality >= min_quality else None

    return make


PEERS: dict[str, tuple[str, Callable[[], Tool]]] = {
    # imagehash ships no thresholds: it leaves them to its user.
    "phash": ("imagehash", lambda: HashTool("phash", 64, None, _imagehash("phash", 8))),
    "phash16": ("imagehash", lambda: HashTool("phash16", 256, None, _imagehash("phash", 16))),
    "dhash": ("imagehash", lambda: HashTool("dhash", 64, None, _imagehash("dhash", 8))),
    # 31 of 256 bits: the PDQ paper and ThreatExchange.
    "pdq": ("pdqhash", lambda: HashTool("pdq", 256, 31, _pdq(0))),
    "pdq_gated": ("pdqhash", lambda: HashTool("pdq_gated", 256, 31, _pdq(PDQ_MIN_QUALITY))),
}
"""Library that a peer needs, and how it is made."""


def absent(names: list[str]) -> dict[str, str]:
    """Return the peers whose library is not installed, and what to install."""
    missing = {name: PEERS[name][0] for name in names if name in PEERS}
    return {name: f"{package} is not installed" for name, package in missing.items() if not _installed(package)}


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def load_tool(name: str, weights: str | None = None) -> Tool:
    """Return a peer by its name, or the service's own descriptor of that spec."""
    return PEERS[name][1]() if name in PEERS else OwnTool(name, weights)
