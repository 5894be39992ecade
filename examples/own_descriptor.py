"""Describe pictures by a model of one's own: a Keras file, and a JSON beside it that says how it wants its images.

    pip install '.[keras]'
    python examples/own_descriptor.py own.keras
    neardup folder pictures --descriptor file:own.keras --radius 0.3

In Python: neardup.find_duplicates("pictures", descriptor="file:own.keras", radius=0.3).

The model here stands for yours. It is a small grey thumbnail without its mean light, and has learned nothing: neardup
asks only for one input of a fixed size, and for numbers that are close where pictures are alike. It scales them to unit
length itself. A .tflite file or a SavedModel folder does as well; docs/descriptors.md lists the fields of the JSON.

Measure the radius on your own pictures, or let `neardup bootstrap` calibrate it: 0.3 is a guess.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

SIDE_PX = 64
PREPROCESSING = {"input_size": [SIDE_PX, SIDE_PX], "channels": "grey", "scale": 1 / 255}
"""What the network sees is the picture, shrunk, in grey, from 0 to 1."""


def small_network(keras: Any) -> Any:  # noqa: ANN401 - keras has no types
    """Return a network of (64, 64, 1) images: the mean of each 4 x 4 pixels, less the mean of all, as 256 numbers."""
    image = keras.Input((SIDE_PX, SIDE_PX, 1))
    means = keras.layers.AveragePooling2D(4)(image)
    even = keras.layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False)(means)
    return keras.Model(image, keras.layers.Flatten()(even))


def main() -> None:
    """Write the model, and the JSON beside it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before the import below, which reads it
    import keras  # noqa: PLC0415 - see above

    path = Path(sys.argv[1])
    small_network(keras).save(path)
    path.with_name(f"{path.name}.json").write_text(json.dumps(PREPROCESSING), encoding="utf-8")
    print(f"{path} and {path.name}.json: --descriptor file:{path}")


if __name__ == "__main__":
    main()
