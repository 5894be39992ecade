"""The article's second descriptor: the flattened feature map of VGG16, trained on ImageNet."""

import hashlib
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neardup.descriptors.base import Descriptor, thumbnail
from neardup.errors import Misconfigured
from neardup.types import Pixels

SIDE_PX = 224
WEIGHTS_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
RANDOM_WEIGHTS = "none"
UNMEASURED_RADIUS = 0.5
"""A guess: nobody has measured it on the ImageNet weights yet (docs/descriptors.md says how)."""
DOWNLOAD_TIMEOUT_S = 20.0
"""Without an answer for so long the download has failed; Keras's own waits for minutes behind a silent firewall."""


class Vgg16Descriptor(Descriptor):
    """Keras VGG16 without its top, at 224 pixels, L2-normalised: 7 x 7 x 512 = 25,088 numbers.

    Parameters
    ----------
    weights
        A weights file, ``none`` for random ones (seeded; for trying things out), or None for Keras's download.

    Raises
    ------
    Misconfigured
        The weights cannot be downloaded, or the file does not fit.
    """

    def __init__(self, weights: str | None = None) -> None:
        self.spec = "vgg16"
        self.dimension = 7 * 7 * 512
        self.reduce_to_px = SIDE_PX
        self.default_radius = UNMEASURED_RADIUS
        self._model = _load_model(weights)
        self.fingerprint = f"vgg16-1:{SIDE_PX}px-{_digest(self._model)}"

    def prepare(self, pixels: Pixels) -> NDArray[np.uint8]:
        """Return the uint8 (224, 224, 3) thumbnail."""
        return thumbnail(pixels, SIDE_PX)

    def features(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the flattened feature maps as float32 (n, 25088)."""
        from keras.applications.vgg16 import preprocess_input  # noqa: PLC0415 - TensorFlow takes seconds to import

        maps = self._model(preprocess_input(prepared.astype(np.float32)), training=False)
        return np.asarray(maps, dtype=np.float32).reshape(len(prepared), -1)


def _load_model(weights: str | None) -> Any:  # noqa: ANN401 - keras has no types
    try:
        import keras  # noqa: PLC0415 - only who asks for VGG16 pays for TensorFlow
    except ImportError as exc:
        raise Misconfigured("descriptor vgg16 needs tensorflow: pip install tensorflow") from exc
    if weights == RANDOM_WEIGHTS:
        keras.utils.set_random_seed(0)
        return _vgg16(keras, None)
    if weights is None:
        return _downloaded(keras)
    return _from_file(keras, Path(weights))


def _vgg16(keras: Any, weights: str | None) -> Any:  # noqa: ANN401
    return keras.applications.VGG16(include_top=False, weights=weights, input_shape=(SIDE_PX, SIDE_PX, 3))


def _downloaded(keras: Any) -> Any:  # noqa: ANN401
    logging.getLogger(__name__).info("weights of vgg16: Keras's cache, or a download of 58 MB")
    keras.config.disable_interactive_logging()  # its progress bar goes to stdout, among the application's own lines
    try:
        with _socket_timeout(DOWNLOAD_TIMEOUT_S):
            return _vgg16(keras, "imagenet")
    except Exception as exc:  # urllib, socket, HTTP and hash errors: all mean the same to the user
        raise Misconfigured(
            f"the weights of vgg16 could not be downloaded ({_first_line(exc)}); "
            f"fetch {WEIGHTS_FILE} on another machine and pass --weights PATH"
        ) from exc


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _first_line(exc: Exception) -> str:
    return next(iter(str(exc).splitlines()), type(exc).__name__)


def _from_file(keras: Any, path: Path) -> Any:  # noqa: ANN401
    if not path.is_file():
        raise Misconfigured(f"--weights: no such file: {path} (expected {WEIGHTS_FILE})")
    model = _vgg16(keras, None)
    try:
        model.load_weights(path)
    except Exception as exc:  # h5py, keras and TensorFlow each raise their own
        text = f"--weights: {path} does not hold the weights of vgg16 without its top ({WEIGHTS_FILE})"
        raise Misconfigured(f"{text}: {_first_line(exc)}") from exc
    return model


def _digest(model: Any) -> str:  # noqa: ANN401
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:16]
