"""A model of Keras as a compiled function, and the threads that TensorFlow runs it in."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neardup.cores import cores
from neardup.descriptors.network import Network, Tensor

TOGETHER = 8
"""Images in a batch: as fast as 32 for the networks that gain by batches, in a quarter of the memory."""


def one_thread_an_image() -> None:
    """Let TensorFlow compute each image in one thread, and as many at once as this process has cores.

    Threads that share an image wait for one another at every layer. By itself TensorFlow would start one for each core
    of the machine, also where a container has a share of them.
    """
    import tensorflow as tf  # noqa: PLC0415 - as keras

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(cores())


def compiled(
    model: Any,  # noqa: ANN401 - keras has no types
    input_px: tuple[int, int],
    shape: tuple[int, ...],
    preprocess: Callable[[NDArray[np.uint8]], Tensor],
) -> Network:
    """Return a model of Keras as a network, traced once for an image, its weights constants.

    Constants are put into the convolutions' layout just once; variables would be for every image.

    Parameters
    ----------
    model
        Takes float32 (n, *shape).
    input_px, preprocess
        As in `Network`.
    shape
        Of one image as the model takes it.
    """

    @cache
    def graph(images: int) -> Callable[[Any], Any]:
        return _frozen(model, (images, *shape))

    def run(batch: Tensor) -> NDArray[np.generic]:
        import tensorflow as tf  # noqa: PLC0415 - as keras

        [output] = graph(len(batch))(tf.constant(batch))
        return np.asarray(output)

    return Network(input_px, preprocess, run, together=TOGETHER, threads=cores())


def _frozen(model: Any, shape: tuple[int, ...]) -> Callable[[Any], Any]:  # noqa: ANN401 - keras has no types
    import tensorflow as tf  # noqa: PLC0415 - as keras
    from tensorflow.python.framework.convert_to_constants import (  # noqa: PLC0415
        convert_variables_to_constants_v2,
    )

    traced = tf.function(lambda batch: model(batch, training=False))
    concrete = traced.get_concrete_function(tf.TensorSpec(shape, tf.float32))
    frozen: Callable[[Any], Any] = convert_variables_to_constants_v2(concrete)
    return frozen
