"""The network: a small residual one, written in Keras so that it trains on TensorFlow, JAX or PyTorch alike."""

from typing import Any

import keras
from keras import layers

from training.photos import INPUT_PX

DIMENSION = 128
_STAGES = (48, 96, 160)
_STEM = 24
_LAST = 320
_NORM_MOMENTUM = 0.97


@keras.saving.register_keras_serializable("neardup")
class GeneralisedMean(layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Pooling between mean (exponent 1) and maximum (infinite), its exponent learned.

    Source: Radenovic, Tolias and Chum, "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2019,
    equation 3.
    """

    def build(self, input_shape: Any) -> None:  # noqa: ARG002 - Keras calls it so
        """Add the exponent."""
        self.exponent = self.add_weight(shape=(), initializer=keras.initializers.Constant(3.0), name="exponent")

    def call(self, features: Any) -> Any:
        """Return (n, channels) of (n, height, width, channels)."""
        exponent = keras.ops.clip(self.exponent, 1.0, 8.0)
        powers = keras.ops.power(keras.ops.maximum(features, 1e-4), exponent)
        return keras.ops.power(keras.ops.mean(powers, axis=(1, 2)), 1.0 / exponent)


def build_network(width: float = 1.0) -> Any:
    """Return the untrained network: float32 (n, 64, 64, 3) of 0 to 255 in, (n, 128) out, not normalised.

    `width` scales the number of channels: 1.0 is what ships, 0.956 million parameters, 37 million multiply-adds.
    """

    def channels(count: int) -> int:
        return max(8, round(count * width / 8) * 8)

    pixels = keras.Input((INPUT_PX, INPUT_PX, 3))
    features = layers.Rescaling(1 / 64.0, offset=-2.0)(pixels)
    features = _convolved(features, channels(_STEM), stride=2)
    for count in _STAGES:
        features = _convolved(features, channels(count), stride=2)
        features = _residual(features, channels(count))
    features = _convolved(features, channels(_LAST), kernel=1)
    pooled = GeneralisedMean()(features)
    vectors = layers.Dense(DIMENSION, use_bias=False)(pooled)
    # Without scale and centre: numbers of one variance, none of which is the same for all images.
    vectors = layers.BatchNormalization(momentum=_NORM_MOMENTUM, center=False, scale=False)(vectors)
    return keras.Model(pixels, vectors, name="copynet")


def layers_of(network: Any, kind: Any) -> list[Any]:
    """Return the layers of a kind, in the order in which they are used."""
    return [layer for layer in network.layers if isinstance(layer, kind)]


def _convolved(features: Any, channels: int, *, stride: int = 1, kernel: int = 3, bent: bool = True) -> Any:
    convolution = layers.Conv2D(
        channels, kernel, stride, padding="same", use_bias=False, kernel_initializer="he_normal"
    )
    normed = layers.BatchNormalization(momentum=_NORM_MOMENTUM)(convolution(features))
    return layers.ReLU()(normed) if bent else normed


def _residual(features: Any, channels: int) -> Any:
    """Source: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, figure 2."""
    inner = _convolved(_convolved(features, channels), channels, bent=False)
    return layers.ReLU()(layers.Add()([features, inner]))
