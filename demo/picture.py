"""Draw the README's picture, docs/duplicates.png, from a real run: ``python -m demo.picture``.

The two scenes of the demo go through folder mode, seeds and stream as one folder. Of each scene the picture shows one
image that was kept, three of its duplicates, and the nearest image that was unique all the same. The distances are
those of the verdicts. The photos are the two that scikit-learn ships, by danielbuechele and vultilion, under CC BY 2.0:
name them where the picture is shown.

Exit codes: 0 done, 1 the run failed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from demo.material import filmed_scenes
from demo.scenes import FRAME_SIZE_PX, SCENES
from neardup.wording import counted

PICTURE = Path(__file__).parents[1] / "docs" / "duplicates.png"
_EDITS = {"china": "darker", "flower": "brighter"}
_TILE_PX = (252, 168)
_GAP_PX, _MARGIN_PX, _CAPTION_PX, _HEAD_PX = 16, 22, 64, 58
_BORDER_PX = 4
_PAPER, _INK, _GREY = "#ffffff", "#1c2733", "#5b6773"
_KEPT, _DUPLICATE = "#1b7f5c", "#c0392b"
_COLOURS = 224
"""Of the palette: what keeps the file below 300 kB, and photos of this size look the same."""

Verdicts = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Tile:
    """One image of the picture.

    Attributes
    ----------
    image_id
        Its file, in the folder that was judged.
    verdict
        In words, the first line below it.
    note
        What was done to it, the second line.
    colour
        Of its border and its verdict.
    """

    image_id: str
    verdict: str
    note: str
    colour: str


def main(arguments: Sequence[str]) -> int:
    """Make the picture; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo.picture", description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=PICTURE, help="where to (default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="neardup-picture-") as name:
        folder = Path(name)
        filmed_scenes(folder)
        verdicts = _judged(folder)
        drawn([tiles(verdicts, scene) for scene in SCENES], _title(verdicts), folder).save(options.to, optimize=True)
    print(f"{options.to}: {options.to.stat().st_size / 1000:.0f} kB")
    return 0


def _judged(folder: Path) -> Verdicts:
    """Run folder mode as anybody would; the clip is read before the stream, and of each scene the first is kept."""
    output = folder / "verdicts.jsonl"
    command = [sys.executable, "-m", "consumer", "--input", str(folder), "--output", str(output), "--index", "memory"]
    if subprocess.run(command, check=False).returncode:
        sys.exit(1)
    return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]


def _title(verdicts: Verdicts) -> str:
    duplicates = sum(verdict["verdict"] == "duplicate" for verdict in verdicts)
    counts = (
        f"{counted(len(verdicts), 'picture')}: {len(verdicts) - duplicates} unique, {counted(duplicates, 'duplicate')}."
    )
    return f"{counts}  The numbers are distances; up to {verdicts[0]['radius']:g} is a duplicate."


def tiles(verdicts: Verdicts, scene: str) -> list[Tile]:
    """Choose a scene's tiles: what was kept, three that duplicate it, and the nearest unique one."""
    duplicates = [verdict for verdict in verdicts if verdict["duplicate_of"]]
    edit = _EDITS[scene]
    kept, group = _richest([verdict for verdict in duplicates if scene in verdict["image_id"]], edit)
    moved = max((verdict for verdict in group if "frame-" in verdict["image_id"]), key=_distance)
    shown = [(_named(group, "half-size"), "half the size"), (_named(group, edit), edit), (moved, "the camera moved")]
    views = [verdict for verdict in verdicts if f"{scene}-new-view" in verdict["image_id"]]
    other = min((verdict for verdict in views if verdict["verdict"] == "unique"), key=_distance)
    return [
        Tile(kept, "unique", "the first one: kept", _KEPT),
        *(Tile(each["image_id"], f"duplicate, {_distance(each):.3f}", note, _DUPLICATE) for each, note in shown),
        Tile(other["image_id"], f"unique, {_distance(other):.3f}", "another view: kept", _KEPT),
    ]


def _richest(duplicates: Verdicts, edit: str) -> tuple[str, Verdicts]:
    """Return the first image that has all that is to be shown among its duplicates, with them."""
    for kept in dict.fromkeys(verdict["duplicate_of"] for verdict in duplicates):
        group = [verdict for verdict in duplicates if verdict["duplicate_of"] == kept]
        names = " ".join(verdict["image_id"] for verdict in group)
        if all(word in names for word in ("half-size", edit, "frame-")):
            return kept, group
    raise LookupError(f"no image has a smaller, a {edit} and a moved duplicate: the scenes or the radius have changed")


def _named(group: Verdicts, word: str) -> dict[str, Any]:
    return next(verdict for verdict in group if word in verdict["image_id"])


def _distance(verdict: dict[str, Any]) -> float:
    return float(verdict["distance"])


def drawn(rows: Sequence[Sequence[Tile]], title: str, folder: Path) -> Image.Image:
    """Draw the tiles, a row a scene, on white: legible on a light page and on a dark one."""
    width = 2 * _MARGIN_PX + len(rows[0]) * (_TILE_PX[0] + _GAP_PX) - _GAP_PX
    height = _HEAD_PX + len(rows) * (_TILE_PX[1] + _CAPTION_PX + _GAP_PX) + _MARGIN_PX - _GAP_PX
    paper = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(paper)
    pen.text((_MARGIN_PX, 16), title, _INK, ImageFont.load_default(24))
    for line, row in enumerate(rows):
        for column, tile in enumerate(row):
            left = _MARGIN_PX + column * (_TILE_PX[0] + _GAP_PX)
            _draw(paper, pen, tile, (left, _HEAD_PX + line * (_TILE_PX[1] + _CAPTION_PX + _GAP_PX)), folder)
    return paper.quantize(_COLOURS, dither=Image.Dither.NONE)


def _draw(paper: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, corner: tuple[int, int], folder: Path) -> None:
    """Draw a tile; an image that is smaller than a frame is drawn as much smaller."""
    (left, top), (width, height) = corner, _TILE_PX
    with Image.open(folder / tile.image_id) as image:
        share = image.width / FRAME_SIZE_PX[0]
        small = image.resize((round(width * share), round(height * share)), Image.Resampling.LANCZOS)
    pen.rectangle((left, top, left + width - 1, top + height - 1), "#eef1f4")
    paper.paste(small, (left + (width - small.width) // 2, top + (height - small.height) // 2))
    pen.rectangle((left, top, left + width - 1, top + height - 1), None, tile.colour, _BORDER_PX)
    pen.text((left, top + height + 8), tile.verdict, tile.colour, ImageFont.load_default(23))
    pen.text((left, top + height + 36), tile.note, _GREY, ImageFont.load_default(21))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
