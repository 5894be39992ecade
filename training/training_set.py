"""What is trained on: the photos that are not held out, and drawn pictures, as squares that every process maps."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neardup.descriptors import load_descriptor
from neardup.errors import Misconfigured
from training.drawn import drawn_squares
from training.photos import SOURCE_PX, held_out, image_files

DRAWN_SHARE = 1 / 8
"""Drawn pictures for each photo."""
LOOK_ALIKES = 8
"""Nearest others of each picture that are known; see `training.feeding`."""
_ROWS = 1024


@dataclass(frozen=True)
class TrainingSet:
    """Pictures to train on, in files that every process maps.

    Attributes
    ----------
    squares
        File of uint8 (count, 128, 128, 3): each picture squeezed to a square, photos first, then drawn ones.
    look_alikes
        File of int32 (count, 8): the numbers of each picture's nearest others by `dct`.
    count
        How many they are.
    """

    squares: Path
    look_alikes: Path
    count: int


def make_training_set(photos: Path, folder: Path, seed: int, drawn_share: float = DRAWN_SHARE) -> TrainingSet:
    """Return the set of the photos in a folder that are not held out; made once, and kept in `folder`.

    Raises
    ------
    Misconfigured
        Nothing there to train on.
    """
    paths = [path for path in image_files(photos) if not held_out(path.name)]
    if len(paths) <= LOOK_ALIKES:
        raise Misconfigured(f"--photos: {str(photos)!r} has {len(paths)} pictures to train on: more are needed")
    drawn = round(drawn_share * len(paths))
    made = TrainingSet(folder / "squares.npy", folder / "look-alikes.npy", len(paths) + drawn)
    listed = "\n".join([f"{drawn} drawn, seed {seed}", *(str(path) for path in paths)])
    names = folder / "pictures.txt"
    if not names.exists() or names.read_text("utf-8") != listed:
        folder.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor() as executor:
            squares = np.stack(list(executor.map(_square, paths, chunksize=64)))
        if drawn:
            squares = np.concatenate([squares, drawn_squares(drawn, seed)])
        np.save(made.squares, squares)
        np.save(made.look_alikes, _nearest(squares))
        names.write_text(listed, "utf-8")
    return made


def _square(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        small = image.convert("RGB").resize((SOURCE_PX, SOURCE_PX), Image.Resampling.LANCZOS)
    return np.asarray(small, dtype=np.uint8)


def _nearest(squares: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return each picture's nearest others by `dct`: garments before one ground, forms of one layout."""
    dct = load_descriptor("dct")
    parts = (squares[start : start + _ROWS] for start in range(0, len(squares), _ROWS))
    rows = np.concatenate([dct.describe([dct.prepare(one) for one in part]) for part in parts]).astype(np.float32)
    found = []
    for start in range(0, len(rows), _ROWS):
        alike = rows[start : start + _ROWS] @ rows.T
        alike[np.arange(len(alike)), np.arange(start, start + len(alike))] = -1
        found.append(np.argpartition(alike, -LOOK_ALIKES, axis=1)[:, -LOOK_ALIKES:])
    return np.concatenate(found).astype(np.int32)
