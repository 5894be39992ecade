"""A report's page as a source: what it shows of images, without these themselves."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from neardup.errors import Misconfigured
from neardup.report.entry import About, Bad, Entry, Judged, Kind, Missing, Read

_DATA = re.compile(rb'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
_LARGEST_BYTES = 64 * 1024 * 1024
_KEY = "\0"
"""Begins the keys of images, of which a page tells only names: no image is called like one."""
_NO_IMAGES = "a report tells only how far an image is from the one that it was compared with"


class PageSource:
    """The images that a page shows, each with the one that it was compared with.

    Parameters
    ----------
    path
        Of the HTML file.

    Raises
    ------
    Misconfigured
        It cannot be read, or is no report.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                found = _DATA.search(file.read(_LARGEST_BYTES))
            self._document: Mapping[str, Any] = json.loads(found[1]) if found else {}
        except OSError as exc:
            raise Misconfigured(f"cannot read {path}: {exc.strerror or exc}") from exc
        except ValueError:
            self._document = {}
        try:
            self._all = list(self._judged())
            self.about = About(Kind(self._document["source"]["kind"]), str(self._document["source"]["name"]))
        except (KeyError, TypeError, ValueError, IndexError) as exc:
            raise Misconfigured(f"{path} is no page of neardup report") from exc

    def _judged(self) -> Iterator[Judged]:
        document, images = self._document, self._document["images"]
        columns = ("name", "verdict", "nearest", "distance")
        rows = list(zip(*(images[column] for column in columns), strict=True))
        outside = images.get("outside", [0] * len(rows))
        for row, (name, verdict, nearest, distance) in enumerate(rows):
            other = rows[nearest] if nearest >= 0 else None
            entry = Entry(
                key=f"{_KEY}{row}",
                name=str(name),
                is_duplicate=verdict == 1,
                other=f"{_KEY}{nearest}" if other else None,
                other_name=str(other[0]) if other else None,
                distance=None if distance is None else float(distance),
            )
            if not outside[row]:
                yield Judged(entry, float(document["radius"]), str(document["descriptor"]))

    def read(self) -> Iterator[Judged | Bad]:
        """See `Source`."""
        return iter(self._all)

    def counts_at(self, radius: float) -> tuple[int, int]:
        """Return how many of all images would be unique, and how many duplicates, by the page's histogram."""
        histogram, counts = self._document["histogram"], self._document["counts"]
        below = np.concatenate([[0], np.cumsum(histogram["counts"])])
        duplicates = round(float(np.interp(radius, histogram["edges"], below)))
        if radius == self._document["radius"]:
            duplicates = int(counts["duplicate"])
        return int(counts["images"]) - duplicates, duplicates

    @property
    def is_sample(self) -> bool:
        """Whether it shows some of many images."""
        return self._document["sampled"] is not None

    def notes(self) -> Sequence[str]:
        """See `Source`."""
        return ["it shows a sample: counts are read off its histogram"] if self.is_sample else []

    def kept(self) -> frozenset[str]:
        """See `Source`."""
        return frozenset()

    def images(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Read]]:
        """See `Source`; a page has no images that could be described."""
        return ((entry, partial(Missing, _NO_IMAGES)) for entry in entries)
