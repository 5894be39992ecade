"""Any network of keras.applications as a descriptor: its feature map, flattened (as the article does) or pooled."""

import difflib
import hashlib
import inspect
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from neardup.descriptors.compiled import compiled, one_thread_an_image
from neardup.descriptors.names import unknown
from neardup.descriptors.network import NetworkDescriptor, Tensor, first_line
from neardup.errors import Misconfigured

RANDOM_WEIGHTS = "none"
OUTPUTS = ("pooled", "flat")
DOWNLOAD_TIMEOUT_S = 20.0
"""A download with no answer for this long has failed; Keras alone would wait minutes behind a silent firewall."""
DEFAULT_SIDE_PX = 224
SIDES_PX = {
    "EfficientNetB1": 240,
    "EfficientNetB2": 260,
    "EfficientNetB3": 300,
    "EfficientNetB4": 380,
    "EfficientNetB5": 456,
    "EfficientNetB6": 528,
    "EfficientNetB7": 600,
    "EfficientNetV2B1": 240,
    "EfficientNetV2B2": 260,
    "EfficientNetV2B3": 300,
    "EfficientNetV2S": 384,
    "EfficientNetV2M": 480,
    "EfficientNetV2L": 480,
    "InceptionResNetV2": 299,
    "InceptionV3": 299,
    "NASNetLarge": 331,
    "Xception": 299,
}
"""Side of the images that each network was trained on, where it is not 224 pixels."""


class KerasDescriptor(NetworkDescriptor):
    """A network of keras.applications without its classifier, with its own preprocessing and input size.

    Parameters
    ----------
    name
        As in keras.applications: ``VGG16``, ``MobileNetV3Small``, ``ConvNeXtTiny``, ...
    output
        ``pooled``: the mean of the feature map over all positions; ``flat``: all of it.
    weights
        A weights file, ``none`` for random ones (seeded; for trying things out), or None for Keras's download.

    Raises
    ------
    Misconfigured
        There is no such network, the weights cannot be downloaded, or the file does not fit.
    """

    def __init__(self, name: str, output: str = "pooled", weights: str | None = None) -> None:
        keras = imported_keras(f"keras:{name}")
        build, preprocess = _network(keras, name)
        side_px = SIDES_PX.get(name, DEFAULT_SIDE_PX)
        shape = (side_px, side_px, 3)

        def make(weights: str | None) -> Any:  # noqa: ANN401 - keras has no types
            return build(
                include_top=False, weights=weights, input_shape=shape, pooling="avg" if output == "pooled" else None
            )

        model = _with_weights(keras, name, make, weights)
        super().__init__(
            f"keras:{name}:{output}",
            f"keras-1:{name}-{output}-{weights_digest(model)}",
            compiled(model, (side_px, side_px), shape, lambda pixels: preprocess(pixels.astype(np.float32))),
        )


def from_spec(spec: str, weights: str | None) -> KerasDescriptor:
    """Return what ``keras:NAME`` or ``keras:NAME:OUTPUT`` names; see `neardup.descriptors.names`."""
    argument = spec.partition(":")[2]
    if not argument:
        raise unknown(spec)
    name, _, output = argument.partition(":")
    if not name or (output or OUTPUTS[0]) not in OUTPUTS:
        raise Misconfigured(f"descriptor {spec!r}: say keras:NAME, keras:NAME:{' or keras:NAME:'.join(OUTPUTS)}")
    return KerasDescriptor(name, output or OUTPUTS[0], weights)


def vgg16_from_spec(spec: str, weights: str | None) -> KerasDescriptor:
    """Return what ``vgg16`` names, the article's descriptor; see `neardup.descriptors.names`."""
    if spec != "vgg16":
        raise unknown(spec)
    return KerasDescriptor("VGG16", "flat", weights)


def network_names() -> list[str]:
    """Return the names of all networks of the installed Keras, in order."""
    applications = imported_keras("keras:NAME").applications
    return sorted(name for name, value in vars(applications).items() if inspect.isfunction(value))


def _network(keras: Any, name: str) -> tuple[Callable[..., Any], Callable[[Tensor], Tensor]]:  # noqa: ANN401
    """Return the function that builds a network, and its preprocessing."""
    names = network_names()
    if name not in names:
        folded = {each.lower(): each for each in names}
        near = [folded[each] for each in difflib.get_close_matches(name.lower(), folded, n=3)]
        meant = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}"
        raise Misconfigured(f"unknown network {name!r} in keras:{name}: {meant}")
    build = getattr(keras.applications, name)
    # MobileNetV3Small is built in keras.src.applications.mobilenet_v3; that module's public twin has its preprocessing.
    family = getattr(keras.applications, build.__module__.rpartition(".")[2])
    return build, family.preprocess_input


def imported_keras(spec: str) -> Any:  # noqa: ANN401 - keras has no types
    """Import Keras, which takes seconds; other descriptors do not pay for it.

    TensorFlow's threads are set with it, unless the program has loaded TensorFlow for itself.

    Raises
    ------
    Misconfigured
        It is not installed, or is set up for a backend or axis order other than this project's.
    """
    ours = "tensorflow" not in sys.modules
    try:
        import keras  # noqa: PLC0415 - see above
    except ImportError as exc:
        raise Misconfigured(
            f"descriptor {spec} needs TensorFlow, which is not installed: pip install 'neardup[keras]'"
        ) from exc
    found = (keras.config.backend(), keras.config.image_data_format())
    if found != ("tensorflow", "channels_last"):
        raise Misconfigured(
            f"descriptor {spec} needs Keras with the backend tensorflow and channels_last, it is set to {found[0]} and "
            f"{found[1]}: see KERAS_BACKEND and ~/.keras/keras.json"
        )
    if ours:
        one_thread_an_image()
    return keras


def weights_digest(model: Any) -> str:  # noqa: ANN401
    """Return 16 hexadecimal digits that change with any weight."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:16]


# -- weights ----------------------------------------------------------------------------------------------------------


def _with_weights(keras: Any, name: str, make: Callable[[str | None], Any], weights: str | None) -> Any:  # noqa: ANN401
    if weights is None:
        return _downloaded(keras, name, make)
    if weights == RANDOM_WEIGHTS:
        keras.utils.set_random_seed(0)
        return make(None)
    return _from_file(name, make, Path(weights))


def _downloaded(keras: Any, name: str, make: Callable[[str | None], Any]) -> Any:  # noqa: ANN401
    logging.getLogger(__name__).info("weights of %s: Keras's cache, or a download", name)
    keras.config.disable_interactive_logging()  # its progress bar goes to stdout, among the application's own lines
    try:
        with _socket_timeout(DOWNLOAD_TIMEOUT_S):
            return make("imagenet")
    except Exception as exc:  # urllib, socket, HTTP and hash errors: all mean the same to the user
        raise Misconfigured(
            f"the weights of {name} could not be downloaded ({first_line(exc)}); "
            "fetch that file on another machine and give its path as the weights"
        ) from exc


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _from_file(name: str, make: Callable[[str | None], Any], path: Path) -> Any:  # noqa: ANN401
    if not path.is_file():
        raise Misconfigured(
            f"weights: no such file: {path} (expected the weights of keras.applications.{name} without its top, .h5)"
        )
    model = make(None)
    try:
        model.load_weights(path)
    except Exception as exc:  # h5py, keras and TensorFlow each raise their own types
        text = f"weights: {path} does not hold the weights of keras.applications.{name} without its top"
        raise Misconfigured(f"{text}: {first_line(exc)}") from exc
    return model
