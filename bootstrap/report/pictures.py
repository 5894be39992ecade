"""Pictures of a seed set: its clusters, its duplicate groups, its unique images. Needs matplotlib, extra `report`."""

import logging
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from bootstrap.seeds.result import SeedResult
from neardup.decoding.limits import DecodeLimits
from neardup.errors import BadInput, Misconfigured
from neardup.relation.edit import Points
from neardup.sources.images import SourceImage
from neardup.types import Pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLUSTERS_FILE = "clusters.png"
DUPLICATES_FILE = "duplicates.png"
UNIQUE_FILE = "unique.png"
CALIBRATION_FILE = "calibration.png"
_TILE_PX = 240
_PAIR_PX = 600
_OUTLINE = (((255, 255, 255), 7), ((214, 39, 40), 3))
"""Colour and width in pixels: red, on white where the picture is dark or red itself."""


def require_report(folder: Path) -> None:
    """Create the folder, and find out now what would fail after the work is done.

    Raises
    ------
    Misconfigured
        matplotlib is missing, or the folder cannot be made or written to.
    """
    require_matplotlib("--report")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise Misconfigured(f"--report: cannot write into {folder}: {exc.strerror or exc}") from exc


def require_matplotlib(asked_by: str) -> None:
    """Refuse the setting that asks for a picture where none can be drawn.

    Raises
    ------
    Misconfigured
        matplotlib is missing.
    """
    if find_spec("matplotlib") is None:
        raise Misconfigured(f"{asked_by} needs matplotlib: pip install neardup[report]")


def write_pair(
    path: Path,
    pair: Sequence[tuple[str, Pixels]],
    title: str,
    note: str,
    *,
    alike: bool,
    outlines: Sequence[Points] = (),
) -> None:
    """Draw two images side by side.

    Parameters
    ----------
    path
        Where to, PNG.
    pair
        Caption and pixels of each.
    title, note
        What they are to each other, and why.
    alike
        Whether the first is a duplicate of the second.
    outlines
        A polygon to draw in each, in shares of its width and height; none without any.

    Raises
    ------
    Misconfigured
        The file cannot be written.
    """
    from bootstrap.report.sheets import pair_sheet  # noqa: PLC0415 - matplotlib, only when asked for

    tiles = [(caption, _tile(pixels, _PAIR_PX)) for caption, pixels in pair]
    if outlines:
        tiles = [(caption, _outlined(tile, corners)) for (caption, tile), corners in zip(tiles, outlines, strict=True)]
    _save(pair_sheet(tiles, title, note, alike=alike), path, "--picture")


def write_report(
    result: SeedResult, seeds: Iterable[SourceImage], folder: Path, limits: DecodeLimits | None = None
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
    from bootstrap.report.clustermap import cluster_map  # noqa: PLC0415 - matplotlib, only when asked for
    from bootstrap.report.sheets import duplicates_sheet, shown_groups, shown_uniques, uniques_sheet  # noqa: PLC0415

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


def _calibration(result: SeedResult, folder: Path) -> list[Path]:
    """Draw where the radius is from, if it was calibrated; a picture of an earlier run would tell of another radius."""
    path = folder / CALIBRATION_FILE
    if result.calibration is None or not result.calibration.curve:
        path.unlink(missing_ok=True)
        return []
    from bootstrap.calibration.picture import calibration_figure  # noqa: PLC0415 - matplotlib

    return [_save(calibration_figure(result.calibration), path)]


def _tiles(
    result: SeedResult, rows: Iterable[int], seeds: Iterable[SourceImage], limits: DecodeLimits
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


def _tile(pixels: Pixels, side_px: int = _TILE_PX) -> Pixels:
    image = Image.fromarray(pixels)
    image.thumbnail((side_px, side_px))
    return np.asarray(image, dtype=np.uint8)


def _outlined(pixels: Pixels, corners: Points) -> Pixels:
    image = Image.fromarray(pixels)
    # Within the outermost pixels, or a part that is the whole would be drawn beside the picture.
    places = [(float(x), float(y)) for x, y in corners * (np.array(image.size) - 1)]
    for colour, width in _OUTLINE:
        ImageDraw.Draw(image).line([*places, *places[:2]], fill=colour, width=width, joint="curve")
    return np.asarray(image, dtype=np.uint8)


def _save(figure: "Figure", path: Path, asked_by: str = "--report") -> Path:
    try:
        with warnings.catch_warnings():
            # File names may hold characters that the font does not have: a box is drawn.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure.savefig(path, format="png")
    except OSError as exc:
        raise Misconfigured(f"{asked_by}: cannot write {path}: {exc.strerror or exc}") from exc
    return path
