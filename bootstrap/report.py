"""Pictures of a seed set: its clusters, its duplicate groups, its unique images. Needs matplotlib, extra `report`."""

import logging
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neardup.decode_limits import DecodeLimits
from neardup.errors import BadInput, Misconfigured
from neardup.sources import SourceImage
from neardup.types import Descriptors, Pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bootstrap.job import SeedResult

CLUSTERS_FILE = "clusters.png"
DUPLICATES_FILE = "duplicates.png"
UNIQUE_FILE = "unique.png"
CALIBRATION_FILE = "calibration.png"
_TILE_PX = 240


def require_report(folder: Path) -> None:
    """Make the folder, and refuse what would fail after the work is done.

    Raises
    ------
    Misconfigured
        matplotlib is missing, or the folder cannot be made or written to.
    """
    if find_spec("matplotlib") is None:
        raise Misconfigured("--report needs matplotlib: pip install neardup[report]")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise Misconfigured(f"--report: cannot write into {folder}: {exc.strerror or exc}") from exc


def write_report(
    result: "SeedResult", seeds: Iterable[SourceImage], folder: Path, limits: DecodeLimits | None = None
) -> list[Path]:
    """Write the pictures and return their paths; other files in the folder are left alone.

    Parameters
    ----------
    result
        What the job found out.
    seeds
        The same seeds once more: only the few images that are shown are read again.
    folder
        Where to.
    limits
        What an image may cost.

    Raises
    ------
    Misconfigured
        A file cannot be written.
    """
    from bootstrap.clustermap import cluster_map  # noqa: PLC0415 - matplotlib, only when asked for
    from bootstrap.sheets import duplicates_sheet, shown_groups, shown_uniques, uniques_sheet  # noqa: PLC0415

    groups, uniques = shown_groups(result), shown_uniques(result)
    rows = {*uniques, *groups, *(row for duplicates in groups.values() for row in duplicates)}
    tiles = _tiles(result, rows, seeds, limits or DecodeLimits())
    figures = _calibration(result, folder)
    return [
        *figures,
        _save(cluster_map(result), folder / CLUSTERS_FILE),
        _save(duplicates_sheet(result, groups, tiles), folder / DUPLICATES_FILE),
        _save(uniques_sheet(result, uniques, tiles), folder / UNIQUE_FILE),
    ]


def _calibration(result: "SeedResult", folder: Path) -> list[Path]:
    """Draw where the radius is from, if it was calibrated; a picture of an earlier run would tell of another radius."""
    path = folder / CALIBRATION_FILE
    if result.calibration is None or not result.calibration.curve:
        path.unlink(missing_ok=True)
        return []
    from bootstrap.calibration.picture import calibration_figure  # noqa: PLC0415 - matplotlib

    return [_save(calibration_figure(result.calibration), path)]


def _tiles(
    result: "SeedResult", rows: Iterable[int], seeds: Iterable[SourceImage], limits: DecodeLimits
) -> Mapping[int, Pixels]:
    """Return small pictures by row; what cannot be read any more is left out."""
    wanted = {result.images[row].image_id: row for row in rows if row in result.assembly.candidates}
    tiles = {}
    for seed in seeds:
        if seed.image_id in wanted:
            try:
                tiles[wanted[seed.image_id]] = _tile(seed.pixels(_TILE_PX, limits))
            except (BadInput, OSError) as exc:
                logging.getLogger(__name__).warning("%s is missing in the report: %s", seed.image_id, exc)
    return tiles


def _tile(pixels: Pixels) -> Pixels:
    image = Image.fromarray(pixels)
    image.thumbnail((_TILE_PX, _TILE_PX))
    return np.asarray(image, dtype=np.uint8)


def _save(figure: "Figure", path: Path) -> Path:
    try:
        with warnings.catch_warnings():
            # File names may hold characters that the font does not have: a box is drawn.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure.savefig(path, format="png")
    except OSError as exc:
        raise Misconfigured(f"--report: cannot write {path}: {exc.strerror or exc}") from exc
    return path


def first_components(
    descriptors: Descriptors, others: NDArray[np.float32], sample_numbers: int = 1 << 24
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Project both on the first two principal components of the descriptors.

    Parameters
    ----------
    descriptors
        float16 (n, d), n at least 1.
    others
        float32 (k, d).
    sample_numbers
        The components are those of a sample of about this many numbers at most, which bounds memory.

    Returns
    -------
    tuple
        float64 (n, 2), float64 (k, 2), and float64 (2,): each component's part of the variance, in [0, 1].
    """
    dimension = descriptors.shape[1]
    step = max(1, -(-len(descriptors) * dimension // sample_numbers))
    sample = descriptors[::step].astype(np.float32)
    mean = sample.mean(axis=0)
    components, parts = _principal(sample - mean)
    block = max(1, sample_numbers // dimension)
    projected = [
        (descriptors[start : start + block].astype(np.float32) - mean) @ components.T
        for start in range(0, len(descriptors), block)
    ]
    return np.concatenate(projected).astype(np.float64), ((others - mean) @ components.T).astype(np.float64), parts


def _principal(centred: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return float32 (2, d) components and float64 (2,) parts of the variance; zeros where there are fewer."""
    from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415 - a second to import

    rank = min(2, *centred.shape)
    _, singular, right = randomized_svd(centred, rank, random_state=0)
    components = np.zeros((2, centred.shape[1]), dtype=np.float32)
    components[:rank] = right
    parts = np.zeros(2)
    parts[:rank] = np.square(singular) / max(float(np.square(centred).sum()), np.finfo(np.float64).tiny)
    return components, parts
