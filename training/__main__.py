"""Train the descriptor copynet for a limited time; run again to resume.

make train MINUTES=110                 on the photos of NEARDUP_DATA (default: ../shared/data)
make train MINUTES=30 PHOTOS=folder    on your own; at least about 100 pictures, no two of them alike
"""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

from neardup.cores import cores

ROOT = Path(__file__).resolve().parent.parent
_LEAST_PHOTOS = 100
_log = logging.getLogger(__name__)


def main() -> None:
    """Make the training set, train, and write the model with its card."""
    given = _arguments()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    from neardup.errors import Misconfigured  # noqa: PLC0415 - as below

    try:
        _train(given)
    except Misconfigured as error:
        sys.stderr.write(f"training: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(f"training: stopped; the same command resumes from {given.out}")


def command_line() -> argparse.ArgumentParser:
    """Return what reads the flags."""
    parser = argparse.ArgumentParser(
        prog="make train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--minutes", type=float, default=110.0, metavar="N", help="training time in minutes (default: 110)"
    )
    parser.add_argument(
        "--steps", type=int, default=0, metavar="N", help="stop after this many steps, if that is earlier"
    )
    parser.add_argument("--photos", type=Path, default=_data() / "photos_small", metavar="FOLDER")
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "training-run",
        metavar="FOLDER",
        help="folder for the training state and the model",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=128, metavar="N", help="pictures in a batch")
    parser.add_argument("--width", type=float, default=1.0, help="width of the network: 2 has twice the channels")
    parser.add_argument(
        "--start", type=Path, metavar="FOLDER", help="start from the weights of another run's --out, or of a model"
    )
    parser.add_argument(
        "--learning-rate", type=float, default=2e-3, metavar="RATE", help="peak learning rate (default: 0.002)"
    )
    parser.add_argument(
        "--mixed", type=float, default=0.0, metavar="SHARE", help="share of copies that show two photos"
    )
    parser.add_argument(
        "--wild", type=float, default=0.0, metavar="SHARE", help="share of copies that are far from their photos"
    )
    parser.add_argument("--drawn", type=float, default=0.125, metavar="SHARE", help="drawn pictures for each photo")
    parser.add_argument(
        "--workers", type=int, default=max(1, cores() // 2), metavar="N", help="processes that make copies"
    )
    parser.add_argument(
        "--model-every", type=float, default=20.0, metavar="MINUTES", help="minutes between writes of the model so far"
    )
    return parser


def _arguments() -> argparse.Namespace:
    parser = command_line()
    given = parser.parse_args()
    if given.minutes <= 0:
        parser.error("--minutes: say how long, more than 0")
    if given.steps < 0:
        parser.error("--steps: 0 or more")
    if given.learning_rate <= 0:
        parser.error("--learning-rate: more than 0")
    if given.start and not any((given.start / name).exists() for name in ("progress.json", "copynet.json")):
        parser.error(f"--start: {str(given.start)!r} holds no run and no model")
    for name in ("mixed", "drawn", "wild"):
        if not 0 <= getattr(given, name) <= 1:
            parser.error(f"--{name}: a share from 0 to 1")
    if given.batch < 4:
        parser.error("--batch: 4 pictures at least, of which one is another's look-alike")
    return given


def _data() -> Path:
    return Path(os.environ.get("NEARDUP_DATA") or ROOT / "../shared/data").resolve()


def _keras() -> Any:
    """Import Keras, with whichever backend it is set to; before the hours that making pictures may take."""
    from neardup.errors import Misconfigured  # noqa: PLC0415 - as below

    try:
        import keras  # noqa: PLC0415 - as below
    except ImportError as error:
        raise Misconfigured(f"training needs Keras and a backend ({error}): pip install 'neardup[keras]'") from error
    return keras


def _train(given: argparse.Namespace) -> None:
    # Here, and not above: Keras takes seconds, and --help and a wrong folder are told at once.
    from neardup.errors import Misconfigured  # noqa: PLC0415
    from training.photos import held_out, image_files  # noqa: PLC0415
    from training.training_set import make_training_set  # noqa: PLC0415

    photos = image_files(given.photos)
    if len(photos) < _LEAST_PHOTOS:
        raise Misconfigured(f"--photos: {str(given.photos)!r} holds {len(photos)} pictures, {_LEAST_PHOTOS} are needed")
    keras = _keras()
    pictures = make_training_set(given.photos, given.out / "set", given.seed, given.drawn)

    from training.evaluate import load_trial  # noqa: PLC0415
    from training.feeding import Feed  # noqa: PLC0415
    from training.model import make_model, take_samples  # noqa: PLC0415
    from training.run import Progress, Recipe, train  # noqa: PLC0415

    trial = load_trial([path for path in photos if held_out(path.name)], given.out / "set" / "trial.npz")
    samples = take_samples(pictures, given.seed)
    recipe = Recipe(
        given.minutes,
        given.steps,
        given.batch,
        given.learning_rate,
        width=given.width,
        seed=given.seed,
        mixed=given.mixed,
        drawn=given.drawn,
        wild=given.wild,
        start=str(given.start.resolve()) if given.start else "",
    )
    exports = keras.backend.backend() == "tensorflow"

    def model(network: Any, progress: Progress) -> dict[str, Any]:
        if not exports:
            return {}
        facts = {**recipe.facts(), **progress.facts(), "pictures": pictures.count, "photos": str(given.photos.name)}
        return make_model(network, samples, trial, facts, given.out / "model").figures()

    train(
        Feed(pictures, given.batch, given.seed, given.mixed, given.wild),
        recipe,
        given.out,
        model,
        workers=given.workers,
        model_every_s=60 * given.model_every,
    )
    if exports:
        _log.info("the model: %s; use it by --descriptor copynet:%s", given.out / "model", given.out / "model")
    else:
        _log.info("trained; the same command with KERAS_BACKEND=tensorflow writes the model")


if __name__ == "__main__":
    main()
