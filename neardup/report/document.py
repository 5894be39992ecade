"""The document that a report's page is made of: plain data, of all verdicts counted, and of some shown."""

import base64
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np

from neardup import __version__
from neardup.report.described import Described, described
from neardup.report.entry import Source
from neardup.report.making import Looking, Making
from neardup.report.pixels import THUMB_TYPE, Picture
from neardup.report.shown import Shown, gathered
from neardup.report.tally import OfCluster, Tally
from neardup.report.thumbs import Thumbs, thumbs_of

Document = dict[str, Any]
FORMAT = 1
SETTING = "--radius"
_BINS = 60
_SMALLEST_REACH = 0.1
_FARTHEST = 2.0
_MOST_CLUSTERS = 2000
_MOST_CHARACTERS = 300
_STEPS, _MAP_DIGITS = 1e6, 4
"""A distance is told in steps of a millionth."""
_NEXT_TO_RADIUS = 1e-5
Told = TypeVar("Told")


def document_of(source: Source, making: Making | None = None) -> Document:
    """Return the document of a report, as `neardup.report.page` renders it.

    Beside what that needs, `images` has a column ``outside``: 1 for an image that was there before, and is shown only
    because others duplicate it.

    Parameters
    ----------
    source
        Where the verdicts come from.
    making
        How it is made.

    Raises
    ------
    Misconfigured, Unavailable
        The source cannot be read, or the descriptor that was named is another.
    """
    making = making or Making()
    tally = Tally()
    with making.shows("count", None) as progress:
        tally.count(_told(source.read(), progress))
    about, radius = source.about, tally.radius
    shown = gathered(source, tally, making.size.images, making.size.text_bytes, radius)
    notes = [*_about_all(tally), *source.notes()]
    with making.decoding.opened() as decoding:
        looking = Looking(making, decoding)
        known = described(source, shown, tally, looking, notes)
        thumbs = thumbs_of(source, shown, known, looking, notes)
    furthest = min(_FARTHEST, max(_SMALLEST_REACH, 2.0 * radius))
    return {
        "format": FORMAT,
        "title": f"Duplicates of {about.name}",
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "source": {"kind": about.kind.value, "name": about.name, "span": about.span, "key": about.key},
        "descriptor": about.descriptor or next(iter(tally.fingerprints), None),
        "radius": radius,
        "furthest": furthest,
        "setting": SETTING,
        "counts": {
            "images": tally.images,
            "unique": tally.unique,
            "duplicate": tally.duplicate,
            "bad": sum(each.count for each in tally.bad.values()),
        },
        "sampled": {"shown": shown.own, "of": tally.images} if shown.own < tally.images else None,
        "notes": notes,
        "images": _columns(shown, known, thumbs, radius),
        "thumbs": [base64.b64encode(thumb).decode() for thumb in thumbs.images],
        "thumb_type": THUMB_TYPE,
        "bad": _bad(tally),
        "clusters": _clusters(shown, tally, known, thumbs, notes),
        "histogram": _histogram(tally, radius, furthest),
    }


def _told(found: Iterator[Told], progress: Callable[[int], object]) -> Iterator[Told]:
    for each in found:
        yield each
        progress(1)


def _about_all(tally: Tally) -> Iterator[str]:
    """Yield what a reader should know of the verdicts as a whole."""
    if not tally.images:
        yield "There are no images"
    elif not tally.duplicate:
        yield "There are no duplicates"
    if len(tally.radii) > 1:
        told = ", ".join(f"{radius:g} ({count})" for radius, count in tally.radii.most_common(5))
        yield f"The verdicts are by different radii, of which the most frequent is drawn: {told}"
    if len(tally.fingerprints) > 1:
        yield "The verdicts are by different descriptors: their distances cannot be compared"
    if tally.ruled_out:
        yield (
            f"{tally.ruled_out} unique images are within the radius of another: what else the index compares tells "
            "them apart, and they have no distance here"
        )


def _columns(shown: Shown, known: Described, thumbs: Thumbs, radius: float) -> Document:
    entries = shown.entries
    pictures = [thumbs.pictures.get(row) or Picture(entry) for row, entry in enumerate(entries)]
    return {
        "name": [entry.name for entry in entries],
        "verdict": [int(entry.is_duplicate) for entry in entries],
        "nearest": known.nearest.tolist(),
        "distance": [_distance(distance, radius) for distance in known.distances],
        "cluster": known.clusters,
        "x": [_short(x) for x, _ in known.places],
        "y": [_short(y) for _, y in known.places],
        "thumb": thumbs.by_row,
        "width": [picture.width for picture in pictures],
        "height": [picture.height for picture in pictures],
        "bytes": [picture.size or entry.place.size or 0 for picture, entry in zip(pictures, entries, strict=True)],
        "done": [_cut(entry.done) for entry in entries],
        "keep": shown.kept.astype(int).tolist(),
        "outline": [entry.outline for entry in entries],
        "nearest_outline": [entry.other_outline for entry in entries],
        "outside": [int(entry.is_outside) for entry in entries],
    }


def _distance(distance: float | None, radius: float) -> float | None:
    """Return a distance with few digits, unless rounding might take it to the other side of the radius.

    It is rounded up: a radius that is chosen by it includes the image.
    """
    if distance is None or abs(distance - radius) < _NEXT_TO_RADIUS:
        return distance
    return math.ceil(round(distance * _STEPS, 3)) / _STEPS


def _short(place: float | None) -> float | None:
    return None if place is None else round(place, _MAP_DIGITS) + 0.0  # not -0.0


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}\N{HORIZONTAL ELLIPSIS}"


def _bad(tally: Tally) -> list[Document]:
    return [
        {
            "reason": reason,
            "count": found.count,
            "files": [{"name": each.name, "detail": _cut(each.detail)} for each in found.files],
        }
        for reason, found in sorted(tally.bad.items(), key=lambda item: (-item[1].count, item[0]))
    ]


def _clusters(shown: Shown, tally: Tally, known: Described, thumbs: Thumbs, notes: list[str]) -> list[Document]:
    thumb_of: dict[int, int] = {}
    for entry, cluster, thumb in zip(shown.entries, known.clusters, thumbs.by_row, strict=True):
        if thumb >= 0 and not entry.is_duplicate:
            thumb_of.setdefault(cluster, thumb)
    largest = sorted((tally.clusters or _counted(shown, known)).items(), key=lambda item: (-item[1].images, item[0]))
    if len(largest) > _MOST_CLUSTERS:
        notes.append(f"Of {len(largest)} clusters the {_MOST_CLUSTERS} largest are listed")
    return [
        {
            "id": number,
            "images": found.images,
            "unique": found.unique,
            "duplicate": found.duplicate,
            "thumb": thumb_of.get(number, -1),
        }
        for number, found in largest[:_MOST_CLUSTERS]
    ]


def _counted(shown: Shown, known: Described) -> dict[int, OfCluster]:
    """Return the clusters that were found for the page alone."""
    clusters: dict[int, OfCluster] = {}
    for entry, number in zip(shown.entries, known.clusters, strict=True):
        if number >= 0 and not entry.is_outside:
            cluster = clusters.setdefault(number, OfCluster())
            cluster.unique += not entry.is_duplicate
            cluster.duplicate += entry.is_duplicate
    return clusters


def _histogram(tally: Tally, radius: float, furthest: float) -> Document:
    """Return how many distances of all images lie in each bin; its upper edge belongs to it, as the radius does."""
    edges = np.linspace(0.0, furthest, _BINS + 1)
    if 0.0 < 2.0 * radius == furthest:
        edges[_BINS // 2] = radius
    known = tally.distances[np.isfinite(tally.distances)]
    counts = np.bincount(np.searchsorted(edges[1:], known, side="left"), minlength=_BINS + 1)
    return {"edges": edges.tolist(), "counts": counts[:_BINS].tolist(), "beyond": int(counts[_BINS])}
