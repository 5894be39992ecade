"""The learned descriptor that ships with the package: a small network trained to know copies; see docs/copynet.md."""

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neardup.descriptors.base import Descriptor, thumbnail
from neardup.descriptors.dct import YCBCR_OF_RGB, dct_basis
from neardup.descriptors.faint import FREQUENCIES, FinePart
from neardup.descriptors.names import COPYNET, unknown
from neardup.descriptors.trim import TRIMMING, trimmed
from neardup.errors import Misconfigured
from neardup.types import Descriptors, Pixels

BODY, HEAD, CARD = "copynet.tflite", "copynet.npz", "copynet.json"
"""A model's files: the convolutions, in 8-bit integers; the head that makes one vector; the model card."""
_AT_ONCE = 32
"""Images whose convolutions are in memory together."""
_LARGEST_ANGLE = 0.7
"""Most that its fine part turns a faint image's vector, in radians; docs/copynet.md says how it was chosen."""
_CANDIDATE_RADIUS = 0.8
"""Wider than the default, which has to do without a second look: between the two lie copies that were cut or built into
something else, and strangers whom a look tells apart. Beyond, hardly any copy is left to be found."""
_LEAST = 1e-4
"""Activations are at least this before they are raised to a power; see `training.network.GeneralisedMean`."""


class CopynetDescriptor(Descriptor):
    """64 numbers from a residual network, fed the 64 px thumbnail of what is inside the bars.

    The network still finds a photo under a caption or a logo. Two forms with one layout, or two covered lenses, look
    the same to it, so the vectors of faint images are turned, as those of `dct` are; see `neardup.descriptors.faint`.

    Parameters
    ----------
    folder
        A folder with your own model, made by ``make train``; None for the shipped model.

    Raises
    ------
    Misconfigured
        The folder holds no model, or its files do not match the card.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.spec = "copynet" if folder is None else f"copynet:{folder}"
        place = files("neardup.descriptors") / "weights" if folder is None else Path(folder)
        self._load(*(_read(place, name, self.spec) for name in (BODY, HEAD, CARD)))

    def _load(self, body: bytes, head: bytes, card: bytes) -> None:
        self._files = (body, head, card)
        self.card = _card(card, self.spec)
        digest = digest_of(body, head)
        if digest != self.card.get("sha256"):
            raise Misconfigured(
                f"descriptor {self.spec}: SHA-256 of {BODY} and {HEAD} is {digest[:16]}, {CARD} says "
                f"{str(self.card.get('sha256'))[:16]}: files of different models, or incomplete; fetch all three again"
            )
        try:
            self.dimension, self._side_px = int(self.card["dimension"]), int(self.card["input_px"])
            self.default_radius = float(self.card["radius"])
        except (KeyError, TypeError, ValueError) as error:
            raise Misconfigured(f"descriptor {self.spec}: {CARD} has no dimension, input_px and radius") from error
        self.reduce_to_px = 2 * self._side_px
        self._fine = FinePart(dct_basis(FREQUENCIES), YCBCR_OF_RGB, self.dimension, _LARGEST_ANGLE)
        self._places = _runner(body, self._side_px)
        self.fingerprint = f"copynet-1:{digest[:16]}-{TRIMMING}-{_kernels(self._places, self._side_px)}"
        with np.load(io.BytesIO(head)) as arrays:
            self._exponent = float(arrays["exponent"])
            self._matrix, self._offset = arrays["matrix"], arrays["offset"]

    def __getstate__(self) -> tuple[str, str, tuple[bytes, bytes, bytes]]:
        return self.spec, self.fingerprint, self._files

    def __setstate__(self, state: tuple[str, str, tuple[bytes, bytes, bytes]]) -> None:
        self.spec, fingerprint, files = state
        self._load(*files)
        if self.fingerprint != fingerprint:
            raise RuntimeError(f"descriptor {self.spec}: {fingerprint} in one process, {self.fingerprint} in this one")

    def prepare(self, pixels: Pixels) -> NDArray[np.uint8]:
        """Return the uint8 (64, 64, 3) thumbnail of what is inside the bars."""
        return as_seen(pixels, self._side_px)

    @property
    def candidate_radius(self) -> float:
        """Most that calibration takes with a second look; a model of one's own has only the radius of its card."""
        return _CANDIDATE_RADIUS if self.spec == COPYNET else self.default_radius

    @property
    def preparer(self) -> Callable[[Pixels], NDArray[np.uint8]]:
        """The same, without the network; see `Descriptor.preparer`."""
        return partial(as_seen, side_px=self._side_px)

    @property
    def describer(self) -> Callable[[Sequence[NDArray[np.uint8]]], Descriptors]:
        """What `describe` does: pickled it is the model's files, 1 MB; see `Descriptor.describer`."""
        return self.describe

    def features(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 (n, 64)."""
        starts = range(0, len(prepared), _AT_ONCE)
        vectors = np.concatenate([self._vectors(prepared[start : start + _AT_ONCE]) for start in starts])
        return self._fine.turn(vectors.astype(np.float64), prepared).astype(np.float32)

    def _vectors(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        places = self._places(images)
        powers = np.power(np.maximum(places, _LEAST), self._exponent)
        pooled = np.power(powers.mean(axis=(1, 2)), 1.0 / self._exponent)
        # One by one: a matrix product may round differently in a batch of another size.
        vectors: NDArray[np.float32] = np.stack([row @ self._matrix for row in pooled]) + self._offset
        return vectors


def from_spec(spec: str) -> CopynetDescriptor:
    """Return what ``copynet`` or ``copynet:FOLDER`` names; see `neardup.descriptors.names`."""
    _, colon, folder = spec.partition(":")
    if colon and not folder:
        raise unknown(spec)
    return CopynetDescriptor(folder or None)


def digest_of(body: bytes, head: bytes) -> str:
    """Return the SHA-256 of a model's numbers, as its card and its fingerprint give it."""
    return hashlib.sha256(body + head).hexdigest()


def _read(place: Traversable, name: str, spec: str) -> bytes:
    try:
        return place.joinpath(name).read_bytes()
    except OSError as error:
        raise Misconfigured(
            f"descriptor {spec}: cannot read {name} in {str(place)!r} ({error.strerror}); a model is a folder with "
            f"{BODY}, {HEAD} and {CARD}, as `make train` writes it"
        ) from error


def _card(text: bytes, spec: str) -> dict[str, Any]:
    try:
        card = json.loads(text)
    except ValueError as error:
        raise Misconfigured(f"descriptor {spec}: {CARD} is not JSON: {error}") from error
    if not isinstance(card, dict):
        raise Misconfigured(f"descriptor {spec}: {CARD} is not a JSON object")
    return card


def as_seen(pixels: Pixels, side_px: int) -> NDArray[np.uint8]:
    """Return uint8 (side_px, side_px, 3): what the network sees, both in training and in the service."""
    return thumbnail(trimmed(pixels), side_px)


def _runner(body: bytes, side_px: int) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Return the convolutions as a function of images.

    One by one: 32 together take a tenth less time, which only full batches would have.
    """
    # Not at module level: the core refers to this descriptor without needing its runtime.
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    interpreter = Interpreter(model_content=body, num_threads=1)
    interpreter.resize_tensor_input(_input(interpreter), (1, side_px, side_px, 3))
    interpreter.allocate_tensors()

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate([_output(interpreter, image[np.newaxis]) for image in images])

    return run


def _kernels(run: Callable[[NDArray[np.uint8]], NDArray[np.float32]], side_px: int) -> str:
    """Return eight hexadecimal digits of a hash of what the interpreter's kernels make of a test image.

    XNNPACK's kernels and the interpreter's own round integers differently: they put one image 0.01 to 0.03 apart.
    """
    noise = hashlib.shake_256(b"kernels").digest(side_px * side_px * 3)
    places = run(np.frombuffer(noise, dtype=np.uint8).reshape(1, side_px, side_px, 3))
    return hashlib.sha256(places.astype("<f4").tobytes()).hexdigest()[:8]


def _input(interpreter: Any) -> int:  # noqa: ANN401 - the library ships no types
    return int(interpreter.get_input_details()[0]["index"])


def _output(interpreter: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:  # noqa: ANN401 - as above
    interpreter.set_tensor(_input(interpreter), images)
    interpreter.invoke()
    return np.array(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), dtype=np.float32)
