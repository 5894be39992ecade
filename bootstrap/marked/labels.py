"""Pairs of images that a person labelled as same or different: reading them, and counting what a radius gets right."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neardup.errors import Misconfigured

Document = dict[str, Any]

SAME, DIFFERENT = "same", "different"
HEADER = ("image_a", "image_b")
_COLUMNS = 3
_LISTED = 20
_WRITTEN = 1e5
"""Steps of 1 in which a radius is proposed."""


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """A person's label for two images.

    Attributes
    ----------
    line
        Line of the file, from 1.
    images
        Image ids, keys or files.
    same
        Whether one duplicates the other.
    """

    line: int
    images: tuple[str, str]
    same: bool


def read_labels(path: Path) -> list[LabelledPair]:
    """Read a CSV file of ``image_a,image_b,same`` or ``...,different`` lines; a header is optional.

    Raises
    ------
    Misconfigured
        The file cannot be read, or some lines are wrong; the message has a line for each.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            labels, wrong = _parsed(csv.reader(file, strict=True))
    except OSError as exc:
        raise Misconfigured(f"--pairs: cannot read {path}: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise Misconfigured(f"--pairs: {path} is not UTF-8 text") from exc
    if not labels and not wrong:
        wrong = ["there is no pair in it: write image_a,image_b,same or image_a,image_b,different, a pair a line"]
    refuse(path, wrong + list(_contradictions(labels)))
    return labels


def refuse(path: Path, wrong: Sequence[str]) -> None:
    """Raise `Misconfigured` if anything is wrong, with a line for each."""
    if not wrong:
        return
    lines = [f"--pairs: {path}: {text}" for text in wrong[:_LISTED]]
    if len(wrong) > _LISTED:
        lines.append(f"--pairs: {path}: and {len(wrong) - _LISTED} more")
    raise Misconfigured("\n".join(lines))


def _parsed(reader: Any) -> tuple[list[LabelledPair], list[str]]:  # noqa: ANN401 - the csv module names no type for it
    labels: list[LabelledPair] = []
    wrong: list[str] = []
    try:
        for cells in reader:
            row = [cell.strip() for cell in cells]
            if not any(row) or (reader.line_num == 1 and tuple(row[:2]) == HEADER):
                continue
            try:
                labels.append(_labelled_pair(reader.line_num, row))
            except ValueError as exc:
                wrong.append(f"line {reader.line_num}: {exc}")
    except csv.Error as exc:
        wrong.append(f"line {reader.line_num}: {exc}")
    return labels, wrong


def _labelled_pair(line: int, row: list[str]) -> LabelledPair:
    if len(row) != _COLUMNS:
        raise ValueError(f"it has {len(row)} columns, it should have {_COLUMNS}: image_a,image_b,{SAME}|{DIFFERENT}")
    one, two, said = row
    if said not in {SAME, DIFFERENT}:
        raise ValueError(f"the third column is {said!r}, it should be {SAME} or {DIFFERENT}")
    if not one or not two:
        raise ValueError("an image has no name")
    if one == two:
        raise ValueError(f"both images are {one!r}")
    return LabelledPair(line, (one, two), said == SAME)


def _contradictions(labels: Iterable[LabelledPair]) -> Iterator[str]:
    said: dict[frozenset[str], LabelledPair] = {}
    for label in labels:
        before = said.setdefault(frozenset(label.images), label)
        if before.same is not label.same:
            yield f"line {label.line}: line {before.line} says the opposite of the same two images"


def errors_at(labels: Sequence[LabelledPair], l2_distances: NDArray[np.float64], radius: float) -> Document:
    """Return what a radius gets right and wrong.

    Parameters
    ----------
    labels
        n labelled pairs.
    l2_distances
        float64 (n,), one for each pair; infinite where they are no duplicates at any radius.
    radius
        Inclusive.
    """
    same = np.array([label.same for label in labels], dtype=np.bool_)
    near = l2_distances <= radius
    return {
        "radius": radius,
        "right": int((near == same).sum()),
        "same_missed": int((same & ~near).sum()),
        "different_taken_for_duplicates": int((~same & near).sum()),
    }


def fewest_errors(labels: Sequence[LabelledPair], l2_distances: NDArray[np.float64]) -> Document:
    """Return the smallest radius with the fewest errors, in the form of `errors_at`.

    The number of errors changes only at the distances of the pairs, so the best radius is one of these, or 0; rounded
    up to what one can write, where no other pair lies between.
    """
    order = np.argsort(l2_distances, kind="stable")
    distances = np.concatenate([[0.0], l2_distances[order]])
    same = np.array([label.same for label in labels], dtype=np.int64)[order]
    gained = np.concatenate([[0], np.cumsum(2 * same - 1)])
    # Pairs at the same distance fall within a radius together: only the last of them counts.
    with np.errstate(invalid="ignore"):  # infinity less infinity
        last = np.append(np.diff(distances) > 0.0, True) & np.isfinite(distances)
    best = np.flatnonzero(last)[int(gained[last].argmax())]
    return errors_at(labels, l2_distances, _rounded_up(*distances[best : best + 2].tolist()))


def _rounded_up(radius: float, other: float = math.inf) -> float:
    """Return a radius that is as good and has few digits: rounded down, it would leave out the very pair it is for."""
    up = math.ceil(round(radius * _WRITTEN, 6)) / _WRITTEN
    return up if radius <= up < other else radius


def named_images(labels: Iterable[LabelledPair]) -> Mapping[str, int]:
    """Return the first line that names each image."""
    lines: dict[str, int] = {}
    for label in labels:
        for image in label.images:
            lines.setdefault(image, label.line)
    return lines
