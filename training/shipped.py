"""The weights of a model that was written, as a start for another run: as near to its own as 8 bits keep them."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from neardup.descriptors.copynet import BODY, HEAD
from neardup.errors import Misconfigured
from neardup.types import Pixels
from training.network import DIMENSION, GeneralisedMean, layers_of

Floats = NDArray[np.float32]


def load_model_weights(network: Any, folder: Path, seen: Pixels) -> None:
    """Give a network the weights of a model.

    The model's convolutions hold their normalisation. It is told apart again by what the pictures give, so that the
    network goes on learning as one that has learned does. Numbers that the head left out begin anew.

    Parameters
    ----------
    network
        Of `build_network`, of the model's width.
    folder
        What `make train` wrote, or `neardup/descriptors/weights`.
    seen
        uint8 (n, 64, 64, 3) pictures and copies.

    Raises
    ------
    Misconfigured
        The model is of another width.
    """
    convolutions, norms = layers_of(network, keras.layers.Conv2D), layers_of(network, keras.layers.BatchNormalization)
    stored = _convolutions(folder / BODY)
    if [kernel.shape for kernel, _ in stored] != [tuple(layer.kernel.shape) for layer in convolutions]:
        raise Misconfigured(f"--start: the model in {str(folder)!r} is of another width")
    norms = norms[: len(convolutions)]
    for (kernel, bias), convolution, norm in zip(stored, convolutions, norms, strict=True):
        # He's spread, so that steps are as large against the weights as in a run from nothing. Normalisation undoes it.
        scale = np.sqrt(2 / np.prod(kernel.shape[:3])) / kernel.std()
        convolution.set_weights([kernel * scale])
        ones = np.ones_like(bias)
        norm.set_weights([ones / scale, bias, 0 * ones, ones * (1 - norm.epsilon)])
    outputs = keras.Model(network.input, [layer.output for layer in convolutions])(seen.astype(np.float32))
    for output, (_, bias), norm in zip(outputs, stored, norms, strict=True):
        mean, variance = np.mean(output, axis=(0, 1, 2)), np.var(output, axis=(0, 1, 2))
        inverse = norm.get_weights()[0]
        norm.set_weights([inverse * np.sqrt(variance + norm.epsilon), bias + inverse * mean, mean, variance])
    with np.load(folder / HEAD) as head:
        layers_of(network, GeneralisedMean)[0].exponent.assign(head["exponent"])
        (projection,) = layers_of(network, keras.layers.Dense)
        (matrix,) = projection.get_weights()
        # Of one size each: those of the head fall, to be searched by, and those that learn are to be alike.
        of_head = head["matrix"] / np.linalg.norm(head["matrix"], axis=0)
        numbers = min(DIMENSION, of_head.shape[1])
        matrix[:, :numbers] = of_head[:, :numbers] * np.linalg.norm(matrix, axis=0).mean()
        projection.set_weights([matrix])


def _convolutions(body: Path) -> list[tuple[Floats, Floats]]:
    """Return kernels (height, width, in, out) and biases (out,) in the order in which they are used."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType  # noqa: PLC0415 - only a start needs it

    # Without a delegate the list of operations is the file's own.
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(body), experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}

    def values(index: int) -> Floats:
        scales = details[index]["quantization_parameters"]["scales"]
        whole = interpreter.get_tensor(index)
        return np.asarray(whole * scales.reshape(-1, *[1] * (whole.ndim - 1)), dtype=np.float32)

    operations = interpreter._get_ops_details()  # noqa: SLF001 - there is no public way
    used = [each["inputs"] for each in operations if each["op_name"] == "CONV_2D"]
    return [(values(kernel).transpose(1, 2, 3, 0), values(bias)) for _, kernel, bias in used]
