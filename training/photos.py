"""What is trained on, and the photos that are held out to measure by: a photo's name decides, so both stay apart."""

import hashlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neardup.descriptors import load_descriptor
from neardup.errors import Misconfigured

INPUT_PX = 64
"""Side of what the network sees."""
SOURCE_PX = 128
"""Pictures are kept as squares of this side: twice what the network sees, so that a crop loses no detail."""
HELD_OUT_OF_256 = 64
"""A quarter of the photos is never trained on: 5,354 of 21,916 give 14 million pairs to measure false ones by."""
DRAWN_SHARE = 1 / 8
"""Drawn pictures for each photo."""
LOOK_ALIKES = 8
"""Nearest others of each picture that are known; see `training.feeding`."""
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
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


def held_out(name: str) -> bool:
    """Tell whether a photo is never trained on, by its file's name alone."""
    return hashlib.sha256(name.encode()).digest()[0] < HELD_OUT_OF_256


def image_files(folder: Path) -> list[Path]:
    """Return the pictures of a folder, by name.

    Raises
    ------
    Misconfigured
        There is no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise Misconfigured(f"--photos: there is no folder {str(folder)!r}")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not files:
        raise Misconfigured(f"--photos: {str(folder)!r} holds no .jpg, .png or .webp")
    return files


def make_training_set(photos: Path, folder: Path, seed: int, drawn_share: float = DRAWN_SHARE) -> TrainingSet:
    """Return the set of the photos in a folder that are not held out; made once, and kept in `folder`.

    Raises
    ------
    Misconfigured
        Nothing there to train on.
    """
    from training.drawn import drawn_squares  # noqa: PLC0415 - it draws on what is declared here

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
