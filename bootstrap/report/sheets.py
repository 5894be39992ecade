"""Contact sheets: the duplicate groups and the unique images of a seed set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bootstrap.seeds.result import SeedResult
from neardup.types import Pixels
from neardup.wording import counted

GROUPS = 12
DUPLICATES_PER_GROUP = 6
UNIQUES = 56
_COLUMNS = 7
_ID_CHARACTERS = 24
_PAIR_ID_CHARACTERS = 60
_UNIQUE_COLOUR = "#1b7f5c"
_DUPLICATE_COLOUR = "#c0392b"
_GREY = "#555555"

Groups = Mapping[int, Sequence[int]]
"""Rows of duplicates by the row of the unique image that they duplicate."""


def shown_groups(result: SeedResult) -> Groups:
    """Return the largest groups in seed order, and of each the first duplicates."""
    groups = result.assembly.groups()
    largest = sorted(groups, key=lambda row: len(groups[row]), reverse=True)[:GROUPS]
    return {row: groups[row][:DUPLICATES_PER_GROUP] for row in sorted(largest)}


def shown_uniques(result: SeedResult) -> Sequence[int]:
    """Return rows of unique images, evenly over the seed set."""
    uniques = result.uniques
    places = np.unique(np.linspace(0, len(uniques) - 1, min(len(uniques), UNIQUES)).astype(int))
    return [int(row) for row in uniques[places]]


def duplicates_sheet(result: SeedResult, groups: Groups, tiles: Mapping[int, Pixels]) -> Figure:
    """Draw a line a group: the unique image first, then its duplicates with their distance."""
    every = result.assembly.groups()
    sheet = _Sheet(rows=len(groups), title=_duplicates_title(result, len(every)), note=_left_out(every, groups))
    for line, (unique, duplicates) in enumerate(groups.items()):
        sheet.tile(line, 0, tiles.get(unique), f"{_id(result, unique)}\nunique", _UNIQUE_COLOUR)
        for column, row in enumerate(duplicates, start=1):
            caption = f"{_id(result, row)}\ndistance {result.duplicates.l2_distance[row]:.4f}"
            sheet.tile(line, column, tiles.get(row), caption, _DUPLICATE_COLOUR)
        hidden = len(every[unique]) - len(duplicates)
        if hidden:
            sheet.beside(line, len(duplicates), f"+{hidden}")
    return sheet.figure


def _duplicates_title(result: SeedResult, groups: int) -> str:
    if not groups:
        return f"No duplicates among {result.counts['images']} images (radius {result.radius:g})"
    return (
        f"{counted(result.counts['duplicates'], 'duplicate')} in {counted(groups, 'group')} (radius {result.radius:g})"
    )


def _left_out(every: Groups, shown: Groups) -> str:
    more = len(every) - len(shown)
    largest = f"The {len(shown)} largest groups; {more} smaller ones are left out. " if more else ""
    order = "Each line is a group: the unique image, then what duplicates it." if shown else ""
    return largest + order


def uniques_sheet(result: SeedResult, rows: Sequence[int], tiles: Mapping[int, Pixels]) -> Figure:
    """Draw unique images in seed order, with their cluster."""
    count = len(result.uniques)
    note = "" if len(rows) == count else f"{len(rows)} of them, evenly over the seed set; {count - len(rows)} left out."
    sheet = _Sheet(rows=-(-len(rows) // _COLUMNS), title=f"{count} unique images", note=note)
    for place, row in enumerate(rows):
        caption = f"{_id(result, row)}\ncluster {result.clusters[row]}"
        sheet.tile(*divmod(place, _COLUMNS), tiles.get(row), caption, _UNIQUE_COLOUR)
    return sheet.figure


def pair_sheet(pair: Sequence[tuple[str, Pixels]], title: str, note: str, *, alike: bool) -> Figure:
    """Draw two images side by side, each with its caption."""
    sheet = _Sheet(1, title, note, columns=2, inches=_PAIR_INCHES)
    for column, (caption, pixels) in enumerate(pair):
        colour = _DUPLICATE_COLOUR if alike and not column else _UNIQUE_COLOUR
        sheet.tile(0, column, pixels, shortened(caption, _PAIR_ID_CHARACTERS), colour)
    return sheet.figure


def _id(result: SeedResult, row: int) -> str:
    return shortened(result.images[row].image_id)


def shortened(image_id: str, most: int = _ID_CHARACTERS) -> str:
    """Return an image id that fits under its tile: the end says more than the middle."""
    if len(image_id) <= most:
        return image_id
    kept = most - 1
    return f"{image_id[: kept // 3]}…{image_id[-(kept - kept // 3) :]}"


@dataclass(frozen=True, slots=True)
class _Inches:
    """Layout of a sheet."""

    tile: float = 1.6
    gap: float = 0.2
    caption: float = 0.5
    margin: float = 0.3
    header: float = 0.8


_SEED_INCHES = _Inches()
_PAIR_INCHES = _Inches(tile=4.0, caption=0.4)


class _Sheet:
    """A grid of tiles with captions, laid out in inches from the top left."""

    def __init__(
        self, rows: int, title: str, note: str, columns: int = _COLUMNS, inches: _Inches = _SEED_INCHES
    ) -> None:
        self._inches = inches
        self._width = 2 * inches.margin + columns * (inches.tile + inches.gap)
        self._height = inches.header + inches.margin + rows * (inches.tile + inches.caption)
        self.figure = Figure(figsize=(self._width, self._height), dpi=100, facecolor="white")
        FigureCanvasAgg(self.figure)
        self._text(inches.margin, 0.3, title, fontsize=14, fontweight="bold", va="center")
        self._text(inches.margin, 0.58, note, fontsize=9, color=_GREY, va="center")

    def _text(self, x: float, y: float, text: str, **style: Any) -> None:  # noqa: ANN401 - matplotlib's
        # A file name with two dollar signs is no formula.
        self.figure.text(x / self._width, 1 - y / self._height, text, parse_math=False, **style)

    def _corner(self, row: int, column: int) -> tuple[float, float]:
        inches = self._inches
        return (
            inches.margin + column * (inches.tile + inches.gap),
            inches.header + row * (inches.tile + inches.caption),
        )

    def tile(self, row: int, column: int, pixels: Pixels | None, caption: str, colour: str) -> None:
        """Draw one image with a frame and a caption of two lines."""
        side = self._inches.tile
        x, y = self._corner(row, column)
        bounds = (x / self._width, 1 - (y + side) / self._height, side / self._width, side / self._height)
        axes = self.figure.add_axes(bounds, xticks=[], yticks=[])
        axes.set_anchor("S")  # a wide image stands on its caption
        axes.imshow(np.full((1, 1, 3), 235, dtype=np.uint8) if pixels is None else pixels)
        _frame(axes.spines.values(), colour)
        first, _, second = caption.partition("\n")
        self._text(x + side / 2, y + side + 0.06, first, fontsize=7, ha="center", va="top")
        self._text(x + side / 2, y + side + 0.2, second, fontsize=8, ha="center", va="top", color=colour)

    def beside(self, row: int, column: int, text: str) -> None:
        """Write right of a tile."""
        x, y = self._corner(row, column)
        at = x + self._inches.tile + 0.06
        self._text(at, y + self._inches.tile / 2, text, fontsize=9, color=_GREY, va="center")


def _frame(spines: Iterable[object], colour: str) -> None:
    for spine in spines:
        spine.set(edgecolor=colour, linewidth=2)  # type: ignore[attr-defined]
