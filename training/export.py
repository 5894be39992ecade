"""From trained weights to the files that ship: convolutions in whole numbers of 8 bits, a head, and a model card."""

import io
import json
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from neardup.descriptors.copynet import BODY, CARD, HEAD, digest_of
from neardup.types import Pixels
from training.head import Head, fit_rotation
from training.network import GeneralisedMean, layers_of

_DESCRIBED = 256


def export(network: Any, seen: Pixels, different: Pixels, folder: Path) -> str:
    """Write the model into a folder, all but its card; return its SHA-256.

    Parameters
    ----------
    network
        Of `training.network`, on the TensorFlow backend.
    seen
        uint8 (n, 64, 64, 3) pictures and copies; the ranges of the activations are taken from them.
    different
        uint8 (m, 64, 64, 3) pictures that are trained on; the directions of the head are taken from them.
    folder
        Where to write; made if it is not there.
    """
    (pooling,) = layers_of(network, GeneralisedMean)
    body, head = _to_tflite(network, pooling.input, seen), _packed(_head(network, pooling, different))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / BODY).write_bytes(body)
    (folder / HEAD).write_bytes(head)
    return digest_of(body, head)


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write the model card beside the model."""
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", "utf-8")


def _to_tflite(network: Any, output: Any, seen: Pixels) -> bytes:
    """Return the convolutions with weights and activations of 8 bits, each tensor's range as `seen` has it."""
    import keras  # noqa: PLC0415 - seconds
    import tensorflow as tf  # noqa: PLC0415

    def samples() -> Iterator[list[Any]]:
        for image in seen:
            yield [image[np.newaxis].astype(np.float32)]

    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(network.input, output))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.inference_input_type = tf.uint8
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # it prints every tensor's shape
        warnings.simplefilter("ignore")  # "statistics were expected": they are what `samples` is for
        return bytes(converter.convert())


def _head(network: Any, pooling: Any, different: Pixels) -> Head:
    """Fold the projection, the normalisation of its numbers and their rotation into one matrix."""
    projection, normalisation = network.layers[-2:]
    vectors = [
        np.asarray(network(different[start : start + _DESCRIBED].astype(np.float32), training=False))
        for start in range(0, len(different), _DESCRIBED)
    ]
    rotation = fit_rotation(np.concatenate(vectors))
    mean, variance = (np.asarray(weight) for weight in normalisation.get_weights())
    scaled = rotation / np.sqrt(variance + normalisation.epsilon)[:, np.newaxis]
    exponent = float(np.clip(np.asarray(pooling.exponent), 1.0, 8.0))
    return Head(exponent, np.asarray(projection.get_weights()[0]) @ scaled, -mean @ scaled)


def _packed(head: Head) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, exponent=head.exponent, matrix=head.matrix, offset=head.offset)
    return buffer.getvalue()
