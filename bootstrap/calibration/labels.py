"""Pairs of images that a person marked as same or different: reading them, and counting what a radius gets right."""

import csv
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


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """What a person said of two images.

    Attributes
    ----------
    line
        Of the file, from 1.
    images
        Image ids, keys or files.
    same
        Whether one duplicates the other.
    """

    line: int
    images: tuple[str, str]
    same: bool


def read_labels(path: Path) -> list[LabelledPair]:
    """Read a CSV file of ``image_a,image_b,same`` or ``...,different`` lines; such a header may stand first.

    Raises
    ------
    Misconfigured
        It cannot be read, or lines of it are wrong: each with its number.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            marks, wrong = _parsed(csv.reader(file, strict=True))
    except OSError as exc:
        raise Misconfigured(f"--pairs: cannot read {path}: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise Misconfigured(f"--pairs: {path} is not UTF-8 text") from exc
    if not marks and not wrong:
        wrong = ["there is no pair in it: write image_a,image_b,same or image_a,image_b,different, a pair a line"]
    refuse(path, wrong + list(_contradictions(marks)))
    return marks


def refuse(path: Path, wrong: Sequence[str]) -> None:
    """Raise `Misconfigured` with what is wrong, if anything is, a line each."""
    if not wrong:
        return
    lines = [f"--pairs: {path}: {text}" for text in wrong[:_LISTED]]
    if len(wrong) > _LISTED:
        lines.append(f"--pairs: {path}: and {len(wrong) - _LISTED} more")
    raise Misconfigured("\n".join(lines))


def _parsed(reader: Any) -> tuple[list[LabelledPair], list[str]]:  # noqa: ANN401 - the csv module names no type for it
    marks: list[LabelledPair] = []
    wrong: list[str] = []
    try:
        for cells in reader:
            row = [cell.strip() for cell in cells]
            if not any(row) or (reader.line_num == 1 and tuple(row[:2]) == HEADER):
                continue
            try:
                marks.append(_mark(reader.line_num, row))
            except ValueError as exc:
                wrong.append(f"line {reader.line_num}: {exc}")
    except csv.Error as exc:
        wrong.append(f"line {reader.line_num}: {exc}")
    return marks, wrong


def _mark(line: int, row: list[str]) -> LabelledPair:
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


def _contradictions(marks: Iterable[LabelledPair]) -> Iterator[str]:
    said: dict[frozenset[str], LabelledPair] = {}
    for mark in marks:
        before = said.setdefault(frozenset(mark.images), mark)
        if before.same is not mark.same:
            yield f"line {mark.line}: line {before.line} says the opposite of the same two images"


def errors_at(marks: Sequence[LabelledPair], l2_distances: NDArray[np.float64], radius: float) -> Document:
    """Return what a radius gets right and wrong.

    Parameters
    ----------
    marks
        n of them.
    l2_distances
        float64 (n,): of each pair.
    radius
        Inclusive.
    """
    same = np.array([mark.same for mark in marks], dtype=np.bool_)
    near = l2_distances <= radius
    return {
        "radius": radius,
        "right": int((near == same).sum()),
        "same_missed": int((same & ~near).sum()),
        "different_taken_for_duplicates": int((~same & near).sum()),
    }


def fewest_errors(marks: Sequence[LabelledPair], l2_distances: NDArray[np.float64]) -> Document:
    """Return the smallest radius with the fewest errors, as `errors_at` does.

    Errors change only at the distances of the pairs, so one of these is the best, or 0.
    """
    order = np.argsort(l2_distances, kind="stable")
    distances = np.concatenate([[0.0], l2_distances[order]])
    same = np.array([mark.same for mark in marks], dtype=np.int64)[order]
    gained = np.concatenate([[0], np.cumsum(2 * same - 1)])
    # Pairs at one distance are inside together: only the last of them stands for a radius.
    last = np.append(np.diff(distances) > 0.0, True)
    best = np.flatnonzero(last)[int(gained[last].argmax())]
    return errors_at(marks, l2_distances, float(distances[best]))


def named_images(marks: Iterable[LabelledPair]) -> Mapping[str, int]:
    """Return the first line that names each image."""
    lines: dict[str, int] = {}
    for mark in marks:
        for image in mark.images:
            lines.setdefault(image, mark.line)
    return lines
