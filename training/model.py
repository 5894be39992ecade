"""A model out of a run, as far as it is: its files, what they reach, and the card that says both."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from neardup.descriptors.copynet import CopynetDescriptor
from neardup.types import Pixels
from training.augment import as_seen, light_copy, strong_copy
from training.evaluate import Quality, Trial, measure
from training.export import export, write_card
from training.head import NUMBERS
from training.network import layers_of
from training.photos import INPUT_PX
from training.training_set import TrainingSet

_SEEN = 4096
"""Pictures and copies that means and variances of activations are taken from."""
_RANGED = 400
"""Of these, those that the ranges of activations are taken from."""
_BATCH = 256
_ROTATED = 4096
"""Pictures that the directions of the head are taken from."""


@dataclass(frozen=True)
class Samples:
    """Pictures that are trained on, as the network sees them.

    Attributes
    ----------
    seen
        uint8 (n, 64, 64, 3) pictures and copies, in turn.
    different
        uint8 (m, 64, 64, 3) pictures.
    """

    seen: Pixels
    different: Pixels


def take_samples(pictures: TrainingSet, seed: int) -> Samples:
    """Return samples of the training set."""
    squares, random = np.load(pictures.squares, mmap_mode="r"), np.random.default_rng(seed)
    chosen = random.permutation(pictures.count)
    makers = (light_copy, strong_copy)
    seen = [makers[number % 2](squares[index], random) for number, index in enumerate(np.resize(chosen, _SEEN))]
    return Samples(np.stack(seen), np.stack([as_seen(squares[index]) for index in chosen[:_ROTATED]]))


def make_model(network: Any, samples: Samples, trial: Trial, facts: dict[str, Any], folder: Path) -> Quality:
    """Write the model of a network with its card into a folder; return what it reaches.

    The radius of the card is the trial's, rounded down to hundredths. The network's own means and variances are
    renewed: they were gathered under other weights than the averaged ones.
    """
    renew_statistics(network, samples.seen)
    digest = export(network, samples.seen[:_RANGED], samples.different, folder)
    layers = layers_of(network, keras.layers.Conv2D)
    card = {
        "name": "copynet",
        "sha256": digest,
        "dimension": NUMBERS,
        "input_px": INPUT_PX,
        "radius": 0.0,
        "parameters": int(network.count_params()),
        "multiply_adds": int(sum(np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:3]) for layer in layers)),
    }
    write_card(folder, card)
    quality = measure(trial, CopynetDescriptor(str(folder)))
    card["radius"] = int(100 * quality.radius) / 100
    write_card(folder, {**card, "training": facts, "trial": quality.figures()})
    return quality


def renew_statistics(network: Any, seen: Pixels) -> None:
    """Set the means and variances that normalisation uses to those of the pictures.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018, section 3.2.
    """
    layers = layers_of(network, keras.layers.BatchNormalization)
    own = [layer.momentum for layer in layers]
    for number, start in enumerate(range(0, len(seen), _BATCH)):
        for layer in layers:
            layer.momentum = number / (number + 1)  # so that all batches count alike
        network(seen[start : start + _BATCH].astype(np.float32), training=True)
    for layer, momentum in zip(layers, own, strict=True):
        layer.momentum = momentum
