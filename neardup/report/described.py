"""Where shown images lie: their descriptors, as far as they can be had, and what follows from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.errors import CorruptIndex
from neardup.index.stored.codec import decode_member, dimension_of
from neardup.relation.kept import Parts, divided
from neardup.report.entry import Entry, Kind, Source
from neardup.report.making import Looking
from neardup.report.nearest import nearest_before
from neardup.report.pixels import descriptor_by
from neardup.report.plane import first_components
from neardup.report.shown import Shown
from neardup.report.tally import Tally
from neardup.search.cells import Cells
from neardup.types import Descriptors, Kept, Member

Place = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Described:
    """What is known of shown images beside their verdicts.

    Attributes
    ----------
    nearest, distances
        By row: the row that each was compared with, -1 for none, and the distance; of unique images, too.
    places
        On the map.
    clusters
        Their numbers, -1 for none.
    kept
        The thumbnails that an index keeps, by row: uint8 (`THUMBNAIL_BYTES`,), grey.
    """

    nearest: NDArray[np.intp]
    distances: Sequence[float | None]
    places: Sequence[Place]
    clusters: Sequence[int]
    kept: dict[int, Kept]


def described(source: Source, shown: Shown, tally: Tally, looking: Looking, notes: list[str]) -> Described:
    """Find out what is known of shown images; add to the notes what a reader should know of that.

    Raises
    ------
    Misconfigured, Unavailable
        The images cannot be looked for, or the descriptor that was named is another.
    """
    members = _members(shown.entries)
    rows = {row: member.descriptor for row, member in members.items()}
    # The places of seeds are known, and a topic is not read for all that is shown.
    if source.about.kind is Kind.FOLDER and len(shown):
        rows |= _of_files(source, shown, tally, looking, notes)
    small = {row: divided(member.kept).get(Parts.THUMBNAIL) for row, member in members.items()}
    nearest, distances = _nearest(shown, rows, tally.radius)
    kept = {row: each for row, each in small.items() if each is not None}
    clusters = [entry.cluster for entry in shown.entries] if tally.clusters else _clusters(shown, rows, notes)
    return Described(nearest, distances, _places(shown, rows, notes), clusters, kept)


def _members(entries: Sequence[Entry]) -> dict[int, Member]:
    """Return the members that verdicts carry, by row."""
    found: dict[int, Member] = {}
    dimension = 0
    for row, entry in enumerate(entries):
        if entry.record is not None:
            try:
                dimension = dimension or dimension_of(entry.record)
                found[row] = decode_member(entry.record, dimension)
            except CorruptIndex:  # damaged, or of another descriptor: what it would add is not shown
                continue
    return found


def _of_files(source: Source, shown: Shown, tally: Tally, looking: Looking, notes: list[str]) -> dict[int, Descriptors]:
    fingerprint = tally.fingerprints.most_common(1)[0][0]
    descriptor = descriptor_by(fingerprint, looking.making.descriptor, looking.making.weights)
    if descriptor is None:
        notes.append(
            "There is no map, and nothing is known beyond the radius: the descriptor of these verdicts is none that "
            "ships; name it by --descriptor"
        )
        return {}
    thumbnail, look = tally.kept.most_common(1)[0][0]
    parts = (Parts.THUMBNAIL if thumbnail else Parts.NOTHING) | (Parts.LOOK if look else Parts.NOTHING)
    rows, found = {entry.key: row for row, entry in enumerate(shown.entries)}, dict[int, Descriptors]()
    with looking.making.shows("describe", len(rows)) as progress:
        for entry, made in looking.decoding.descriptors(source.images(shown.entries), descriptor, parts):
            if made is not None:
                found[rows[entry.key]] = made
            progress(1)
    return found


def _nearest(
    shown: Shown, descriptors: dict[int, Descriptors], radius: float
) -> tuple[NDArray[np.intp], list[float | None]]:
    nearest = shown.others.copy()
    distances = [entry.distance for entry in shown.entries]
    rows = [row for row in sorted(descriptors) if not shown.entries[row].is_duplicate]
    own = [place for place, row in enumerate(rows) if not shown.entries[row].is_outside]
    if not own:
        return nearest, distances
    found, l2 = nearest_before(np.stack([descriptors[row] for row in rows]), own)
    for place, other, distance in zip(own, found.tolist(), l2.tolist(), strict=True):
        row = rows[place]
        told = shown.entries[row].distance
        # What is within the radius and unique all the same is told apart by something else. And where the verdict knows
        # of a nearer one, that one is not shown.
        if other >= 0 and told is not None and radius < distance <= told:
            nearest[row], distances[row] = rows[other], distance
    return nearest, distances


def _clusters(shown: Shown, descriptors: dict[int, Descriptors], notes: list[str]) -> list[int]:
    """Return the number of each image's cluster: of clusters found for the page, as a bootstrap finds them."""
    clusters = [-1] * len(shown)
    unique = [row for row in sorted(descriptors) if not shown.entries[row].is_duplicate]
    if unique:
        from neardup.search.kmeans import fit_bounded_centroids  # noqa: PLC0415 - scikit-learn takes a second

        cells = Cells(fit_bounded_centroids(np.stack([descriptors[row] for row in unique])))
        rows = sorted(descriptors)
        for row, number in zip(rows, cells.assign(np.stack([descriptors[row] for row in rows])).tolist(), strict=True):
            clusters[row] = number
        notes.append("The verdicts name no clusters: those here are of the images shown, and were found for this page")
    return clusters


def _places(shown: Shown, descriptors: dict[int, Descriptors], notes: list[str]) -> list[Place]:
    places: list[Place] = [(entry.x, entry.y) for entry in shown.entries]
    if descriptors:
        rows = sorted(descriptors)
        stacked = np.stack([descriptors[row] for row in rows])
        points, _, _ = first_components(stacked, np.empty((0, stacked.shape[1]), dtype=np.float32))
        for row, (x, y) in zip(rows, points.tolist(), strict=True):
            places[row] = (x, y)
    beside = 0
    for row, (entry, other) in enumerate(zip(shown.entries, shown.others.tolist(), strict=True)):
        if entry.is_duplicate and places[row][0] is None and other >= 0 and places[other][0] is not None:
            places[row] = places[other]
            beside += 1
    if beside:
        notes.append("On the map a duplicate lies where the image lies that it duplicates")
    return places
