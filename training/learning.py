"""What is learned from: a photo and its copy lie together, all other photos apart, as evenly as they can."""

from typing import Any

import keras
from keras import ops

TEMPERATURE = 0.06
ENTROPY_WEIGHT = 5.0
QUEUE = 8192
"""Descriptors of earlier batches that count as other photos, too: half an epoch of them for a product of matrices."""
_NEVER = -1e9


class CopyLearner(keras.Model):  # type: ignore[misc]  # Keras ships no types
    """The network with its loss: contrast (InfoNCE) and entropy, over the batch and a queue of earlier ones.

    A batch is ``(2, n, 64, 64, 3)``: photos as they are, and copies of the same photos in the same order; its targets
    are the photos' numbers, (n,), so that a photo is not taken for another one when it comes twice, and how much of
    each copy is of which photo, (n, n). A copy of two photos is to lie near both, and each counts by its part.

    Sources: van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018,
    equation 4; Pizzi et al., "A Self-Supervised Descriptor for Image Copy Detection", CVPR 2022, section 4 (entropy,
    copies of two photos);
    Wang et al., "Cross-Batch Memory for Embedding Learning", CVPR 2020 (queue).

    Parameters
    ----------
    network
        Of `build_network`.
    temperature, entropy_weight, queue
        See the constants of this module.
    """

    def __init__(
        self, network: Any, temperature: float = TEMPERATURE, entropy_weight: float = ENTROPY_WEIGHT, queue: int = QUEUE
    ) -> None:
        super().__init__()
        self.network = network
        self.temperature, self.entropy_weight = temperature, entropy_weight
        dimension = network.output_shape[-1]
        self.queue = self.add_weight(shape=(queue, dimension), initializer="zeros", trainable=False, name="queue")
        self.queue_photos = self.add_weight(
            shape=(queue,), initializer=keras.initializers.Constant(-1), dtype="int32", trainable=False, name="photos"
        )
        self.contrast = keras.metrics.Mean(name="contrast")
        self.together = keras.metrics.Mean(name="together")
        # All weights are there: a run that is resumed loads them before the first batch.
        self.built = True

    def call(self, pairs: Any, training: bool = False) -> Any:  # noqa: FBT001, FBT002 - Keras calls it so
        """Return the unit vectors of both halves, (2 n, d)."""
        side = pairs.shape[2:]
        both = ops.reshape(ops.cast(pairs, "float32"), (-1, *side))
        return ops.normalize(self.network(both, training=training), axis=1)

    def compute_loss(
        self,
        x: Any = None,  # noqa: ARG002 - Keras calls it so
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,  # noqa: ARG002
        training: bool = True,  # noqa: FBT001, FBT002
    ) -> Any:
        """Return the loss of unit vectors `y_pred`, of photos and copies `y`."""
        photos, parts = (ops.convert_to_tensor(target) for target in y)
        half = ops.shape(photos)[0]
        originals, copies = y_pred[:half], y_pred[half:]
        # What a picture shows, (2 n, n): any photo in common, and two are not different ones.
        shown = ops.concatenate([ops.eye(half), parts], axis=0)
        alike = ops.cast(ops.expand_dims(photos, 1) == photos, "float32")
        same = ops.matmul(ops.matmul(shown, alike), ops.transpose(shown)) > 0
        earlier = ops.cast(ops.expand_dims(photos, 1) == self.queue_photos, "float32")
        # Empty places of the queue hold -1, the number of no photo.
        hidden = ops.logical_or(self.queue_photos == -1, ops.matmul(shown, earlier) > 0)
        cosines = ops.matmul(y_pred, ops.transpose(y_pred))
        # A copy: for its gradient PyTorch needs the queue as it was, and `_remember` changes it.
        of_queue = ops.matmul(y_pred, ops.transpose(ops.copy(self.queue)))
        others = ops.concatenate([ops.where(same, _NEVER, cosines), ops.where(hidden, _NEVER, of_queue)], axis=1)
        others = ops.logsumexp(others / self.temperature, axis=1)
        # A row a copy, a column a photo. -log(e^p / (e^p + e^o)) = log(1 + e^(o - p)), as seen from both.
        pairs = ops.matmul(copies, ops.transpose(originals))
        near = pairs / self.temperature
        costs = ops.softplus(others[:half] - near) + ops.softplus(ops.expand_dims(others[half:], 1) - near)
        contrast = ops.sum(parts * costs) / (2.0 * half)
        nearest = ops.max(ops.where(same, -1.0, cosines), axis=1)
        entropy = ops.mean(0.5 * ops.log(ops.maximum(2.0 - 2.0 * nearest, 1e-6)))
        if training:
            self._remember(ops.stop_gradient(originals), photos)
        self.contrast.update_state(contrast)
        self.together.update_state(ops.sum(parts * pairs) / half)
        return contrast - self.entropy_weight * entropy

    def forget(self) -> None:
        """Empty the queue: its pictures were numbered for another run."""
        self.queue_photos.assign(ops.full_like(self.queue_photos, -1))

    def _remember(self, vectors: Any, photos: Any) -> None:
        count = ops.shape(vectors)[0]
        self.queue.assign(ops.concatenate([ops.cast(vectors, self.queue.dtype), self.queue[:-count]], axis=0))
        self.queue_photos.assign(ops.concatenate([photos, self.queue_photos[:-count]], axis=0))

    @property
    def metrics(self) -> list[Any]:
        """The loss by contrast, and the mean cosine of a picture and its copy."""
        return [self.contrast, self.together]
