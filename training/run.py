"""A run of the training: bounded in time, resumed where it stopped."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from neardup.descriptors.copynet import CARD
from neardup.errors import Misconfigured
from training.feeding import Feed, make_batch
from training.learning import CopyLearner
from training.network import build_network
from training.shipped import load_model_weights
from training.training_set import DRAWN_SHARE

_STATE, _PROGRESS, _CURVE = "state.weights.h5", "progress.json", "curve.jsonl"
_LEAST_RATE = 0.02
_WEIGHT_DECAY = 2e-2
_CLIP_NORM = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What a run depends on besides its pictures; a run can only be resumed by the same.

    It ends when its minutes are over, or earlier after so many steps, if they are not 0. One that ends by steps gives
    the same weights again, as far as the machine adds up in the same order. `start` is the folder of an earlier run
    whose weights it begins with, or of a model.
    """

    minutes: float
    steps: int = 0
    batch_size: int = 128
    learning_rate: float = 2e-3
    width: float = 1.0
    averaging: float = 0.998
    warm_up_steps: int = 200
    seed: int = 0
    mixed: float = 0.0
    drawn: float = DRAWN_SHARE
    wild: float = 0.0
    start: str = ""

    def share(self, progress: "Progress") -> float:
        """Return how much of the run is done, 0 to 1."""
        by_steps = progress.steps / self.steps if self.steps else 0.0
        return min(1.0, max(progress.seconds / (60 * self.minutes), by_steps))

    def facts(self) -> dict[str, Any]:
        """Return what a model card tells of it, and of the run that it began with."""
        facts = asdict(self)
        start = facts.pop("start")
        return {**facts, "before": _begun_with(Path(start))} if start else facts


@dataclass
class Progress:
    """Progress of a run."""

    steps: int = 0
    seconds: float = 0.0

    def facts(self) -> dict[str, Any]:
        """Return what a learning curve and a model card tell of it."""
        return {"trained_minutes": round(self.seconds / 60, 1), "steps": self.steps}


Note = Callable[[Any, Progress], dict[str, Any]]
"""Given the network with averaged weights and how far it is; returns figures for the learning curve."""


def train(
    feed: Feed,
    recipe: Recipe,
    folder: Path,
    model: Note,
    *,
    workers: int = 1,
    model_every_s: float = 1200.0,
    note_every_s: float = 60.0,
) -> None:
    """Train until the recipe's minutes or steps are over.

    The state is written to `folder` every time that a line is noted: a run that was stopped goes on from there.

    Parameters
    ----------
    feed, recipe
        What is learned from, and how.
    folder
        Where the state and the learning curve are.
    model
        Called every `model_every_s` and at the end.
    workers
        Processes that make copies.

    Raises
    ------
    Misconfigured
        The folder holds a run by another recipe, or the one to begin with holds none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(recipe.seed)
    network = build_network(recipe.width)
    learner, optimizer = CopyLearner(network), _optimizer(recipe)
    # Compiling as a whole makes convolutions slower on processors.
    learner.compile(optimizer=optimizer, jit_compile=False)
    optimizer.build(learner.trainable_variables)
    progress = _resumed(learner, recipe, folder, feed)
    now_s = time.monotonic()
    began_s, noted_s, modelled_s = now_s - progress.seconds, now_s, now_s
    with closing(feed.batches(progress.steps, workers)) as batches:
        while recipe.share(progress) < 1.0:
            pairs, *targets = next(batches)
            optimizer.learning_rate.assign(_rate(recipe, progress))
            measures = learner.train_on_batch(pairs, tuple(targets), return_dict=True)
            now_s = time.monotonic()
            progress.steps, progress.seconds = progress.steps + 1, now_s - began_s
            if now_s - noted_s >= note_every_s:
                _save(learner, recipe, progress, folder)
                _note({name: round(float(value), 4) for name, value in measures.items()}, progress, feed, folder)
                noted_s = now_s
            if now_s - modelled_s >= model_every_s and recipe.share(progress) < 1.0:
                with _averaged(learner, optimizer):
                    _note(model(network, progress), progress, feed, folder)
                modelled_s = time.monotonic()
    _save(learner, recipe, progress, folder)
    with _averaged(learner, optimizer):
        _note(model(network, progress), progress, feed, folder)


def _optimizer(recipe: Recipe) -> Any:
    return keras.optimizers.AdamW(
        recipe.learning_rate, _WEIGHT_DECAY, clipnorm=_CLIP_NORM, use_ema=True, ema_momentum=recipe.averaging
    )


@contextmanager
def _averaged(learner: CopyLearner, optimizer: Any) -> Iterator[None]:
    """Have the averages of the weights over the last steps in their place, which are better than any of them."""
    variables = learner.network.variables
    own = [np.array(variable) for variable in variables]
    optimizer.finalize_variable_values(learner.trainable_variables)
    yield
    for variable, value in zip(variables, own, strict=True):
        variable.assign(value)


def _rate(recipe: Recipe, progress: Progress) -> float:
    """Warm up, then fall as half a cosine over the time or the steps there are.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5.
    """
    fallen = 0.5 * (1 + np.cos(np.pi * recipe.share(progress)))
    warm = min(1.0, (progress.steps + 1) / recipe.warm_up_steps)
    return float(recipe.learning_rate * warm * (_LEAST_RATE + (1 - _LEAST_RATE) * fallen))


def _resumed(learner: CopyLearner, recipe: Recipe, folder: Path, feed: Feed) -> Progress:
    if (folder / _PROGRESS).exists():
        saved = _saved(folder)
        if saved["recipe"] != asdict(recipe):
            raise Misconfigured(
                f"--out: {str(folder)!r} holds a run with other settings, {saved['recipe']}: use these or another"
            )
        learner.load_weights(folder / _STATE)
        return Progress(**saved["progress"])
    if recipe.start and _is_model(Path(recipe.start)):
        seen = np.concatenate(make_batch(feed, 0).pairs)
        load_model_weights(learner.network, Path(recipe.start), seen)
    elif recipe.start:
        width = _saved(Path(recipe.start))["recipe"]["width"]
        if width != recipe.width:
            raise Misconfigured(f"--start: the run in {recipe.start!r} is of width {width}, this one of {recipe.width}")
        learner.load_weights(Path(recipe.start) / _STATE)
        learner.forget()
    return Progress()


def _is_model(folder: Path) -> bool:
    return (folder / CARD).is_file()


def _begun_with(folder: Path) -> dict[str, Any]:
    """Return what a model card tells of the run, or of the model, that a run began with."""
    if not _is_model(folder):
        return _saved(folder)
    card = json.loads((folder / CARD).read_text("utf-8"))
    return {"sha256": card["sha256"], "training": card["training"]}


def _saved(folder: Path) -> dict[str, Any]:
    """Return the recipe and the progress of a run."""
    saved: dict[str, Any] = json.loads((folder / _PROGRESS).read_text("utf-8"))
    return saved


def _save(learner: CopyLearner, recipe: Recipe, progress: Progress, folder: Path) -> None:
    beside = folder / f"new.{_STATE}"
    learner.save_weights(beside)
    beside.replace(folder / _STATE)
    text = json.dumps({"recipe": asdict(recipe), "progress": asdict(progress)})
    (folder / _PROGRESS).write_text(text, "utf-8")


def _note(figures: dict[str, Any], progress: Progress, feed: Feed, folder: Path) -> None:
    line = json.dumps({**progress.facts(), "epochs": round(progress.steps / feed.batches_an_epoch, 2), **figures})
    with (folder / _CURVE).open("a", encoding="utf-8") as curve:
        curve.write(line + "\n")
    _log.info("%s", line)
