"""How long copynet's network takes in the forms that it could ship in: the choice of docs/copynet.md.

    .venv/bin/python -m benchmarks.copynet_forms

Each form of the convolutions alone, and of the whole network down to its numbers; trimming and shrinking come on top.
"as shipped" are the files of the package; the others have random weights, which do not change the time. CPU time of
one thread: the smallest of several runs, in milliseconds an image. "same bits" tells whether each image of a batch has
the numbers that it has alone.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from benchmarks.networks import milliseconds, one_thread
from neardup.descriptors import load_descriptor
from neardup.descriptors.copynet import BODY, HEAD
from neardup.types import Pixels
from training.network import GeneralisedMean, build_network

BATCH = 32
RANGED = 100
"""Pictures that the ranges of 8 bits are taken from."""
FORMS = ("float32", "float16 weights", "8 bits")

Run = Callable[[Pixels], NDArray[np.float32]]


def main() -> None:
    """Print the table."""
    one_thread()
    pixels = np.random.default_rng(0).integers(0, 256, (RANGED, 64, 64, 3), dtype=np.uint8)
    keras.utils.set_random_seed(0)
    network = build_network()
    pooling = next(layer for layer in network.layers if isinstance(layer, GeneralisedMean))
    parts = (keras.Model(network.input, pooling.input), network)
    print("| form | convolutions: 1 | 32 | whole: 1 | 32 | same bits | KB |\n|---|---|---|---|---|---|---|")
    shipped: Any = load_descriptor("copynet")
    size = sum(len((files("neardup.descriptors") / "weights" / name).read_bytes()) for name in (BODY, HEAD))
    runs = [shipped._places, shipped._vectors]  # noqa: SLF001 - what a batch goes through
    show("as shipped", runs, pixels[:BATCH], size)
    for form in FORMS:
        models = [converted(part, form, pixels) for part in parts]
        show(f"{form}, LiteRT", [interpreted(model) for model in models], pixels[:BATCH], len(models[1]))
    show("float32, compiled TensorFlow", [compiled(part) for part in parts], pixels[:BATCH], 4 * network.count_params())


def show(name: str, runs: list[Run], pixels: Pixels, size: int) -> None:
    """Print a line."""
    times = [milliseconds(partial(run, images), len(images)) for run in runs for images in (pixels[:1], pixels)]
    alone = np.concatenate([runs[1](pixels[row : row + 1]) for row in range(len(pixels))])
    same = "yes" if np.array_equal(alone, runs[1](pixels)) else f"to {np.abs(alone - runs[1](pixels)).max():.0e}"
    cells = [name, *(f"{each:.2f}" for each in times), same, f"{size / 1000:,.0f}"]
    print(f"| {' | '.join(cells)} |", flush=True)


def converted(model: keras.Model, form: str, pixels: Pixels) -> bytes:
    """Return a model as a file of LiteRT."""

    def samples() -> Iterator[list[Any]]:
        for image in pixels:
            yield [image[np.newaxis].astype(np.float32)]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if form != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form == "float16 weights":
        converter.target_spec.supported_types = [tf.float16]
    if form == "8 bits":
        converter.representative_dataset = samples
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return bytes(converter.convert())


def interpreted(model: bytes) -> Run:
    """Return a file of LiteRT as a function; one interpreter for each size, as the descriptor has them."""
    interpreters: dict[int, Any] = {}

    def run(images: Pixels) -> NDArray[np.float32]:
        if len(images) not in interpreters:
            made = interpreters[len(images)] = Interpreter(model_content=model, num_threads=1)
            made.resize_tensor_input(made.get_input_details()[0]["index"], images.shape)
            made.allocate_tensors()
        interpreter = interpreters[len(images)]
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images.astype(np.float32))
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))

    return run


def compiled(model: keras.Model) -> Run:
    """Return a model as a graph of TensorFlow, traced once for each size."""
    traced = tf.function(lambda values: model(values, training=False))
    return lambda images: traced(tf.constant(images, dtype=tf.float32)).numpy()


if __name__ == "__main__":
    main()
