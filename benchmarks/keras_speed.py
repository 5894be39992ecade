"""How long networks of Keras take to describe an image: eager, compiled, compiled for batches, and as shipped.

    .venv/bin/python -m benchmarks.keras_speed [NAME ...]

Weights are random: they do not change the time. CPU time of one thread, which a busy machine hardly disturbs: the
smallest of several runs, in milliseconds an image, decoding and shrinking apart. "as shipped" goes image by image
through a graph whose weights are constants; "compiled" leaves them variables. "same bits" tells whether a batch of 32
gives each image the bits that it has alone.
"""

import sys
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from neardup.descriptors.keras_net import DEFAULT_SIDE_PX, SIDES_PX, KerasDescriptor

NAMES = ("MobileNetV3Small", "EfficientNetV2B0", "ResNet50", "VGG16")
BATCH = 32
RUNS = 5


def milliseconds(work: Callable[[], object], images: int) -> float:
    """Return the least CPU time an image of several runs, after one that warms up."""
    work()
    times = []
    for _ in range(RUNS):
        began_s = time.process_time()
        work()
        times.append(time.process_time() - began_s)
    return 1000 * min(times) / images


def measure(name: str) -> str:
    """Return a line of the table."""
    descriptor = KerasDescriptor(name, "pooled", "none")
    side_px = SIDES_PX.get(name, DEFAULT_SIDE_PX)
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, side_px, side_px, 3), dtype=np.uint8)
    batch = tf.constant(pixels, dtype=tf.float32)
    one = batch[:1]
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(side_px, side_px, 3), pooling="avg"
    )
    traced = tf.function(lambda values: model(values, training=False), reduce_retracing=False)
    times = [
        milliseconds(lambda: model(one, training=False), 1),
        milliseconds(lambda: traced(one), 1),
        milliseconds(lambda: traced(batch), BATCH),
        milliseconds(lambda: descriptor.features(pixels[:1]), 1),
        milliseconds(lambda: descriptor.features(pixels), BATCH),
    ]
    alone = np.concatenate([traced(batch[row : row + 1]).numpy() for row in range(8)])
    same = np.array_equal(alone, traced(batch).numpy()[:8])
    return f"| `{name}` | {side_px} | {' | '.join(f'{each:.1f}' for each in times)} | {'yes' if same else 'no'} |"


def one_thread() -> None:
    """Keep TensorFlow to one thread; before it has done anything."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def main() -> None:
    """Print the table."""
    one_thread()
    print("| network | side | eager, 1 | compiled, 1 | compiled, 32 | as shipped, 1 | as shipped, 32 | same bits |")
    for name in sys.argv[1:] or NAMES:
        print(measure(name), flush=True)


if __name__ == "__main__":
    main()
