"""Judges a radius by marked pairs and a run's own verdicts, with no index. Read-only."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from bootstrap.marked.labels import LabelledPair, errors_at, fewest_errors, named_images, refuse
from neardup.decoding.limits import DecodeLimits
from neardup.errors import Misconfigured
from neardup.relation.kept import Parts
from neardup.report.entry import Entry, Judged, Place, Source
from neardup.report.pixels import Decoding, descriptor_by
from neardup.report.sources.files import Files
from neardup.report.sources.opening import open_source
from neardup.report.sources.page import PageSource
from neardup.report.tally import Tally
from neardup.search.distance import paired_l2_distances
from neardup.types import Descriptors

Document = dict[str, Any]
Named = dict[str, list[Entry]]
"""The images of a run that a name means; of a stream several may have one name."""
_RUN, _PAGE, _CELL = "--run", ".html", "./"
"""What begins a name that a spreadsheet would run as a formula."""


def calibrate_run(
    run: Path,
    pairs: Path,
    labels: Sequence[LabelledPair],
    *,
    descriptor: str | None = None,
    weights: str | None = None,
) -> Document:
    """Return what radii get right of marked pairs, and what they would change of a run, as a document for JSON.

    The distance of an image and the one that it was compared with is that of its verdict; the images of other pairs are
    described once more.

    Parameters
    ----------
    run
        Verdicts, a line each, the folder of a bootstrap's report, or a report's page.
    pairs, labels
        File of labelled pairs (for messages), and its contents.
    descriptor, weights
        Spec and weights of the run's descriptor, where it is none that ships.

    Raises
    ------
    Misconfigured
        The run cannot be read; or a labelled image is neither one of the run nor a readable file.
    """
    source = PageSource(run) if run.suffix == _PAGE else open_source(run, Files(DecodeLimits().max_bytes), _RUN)
    lines, tally, named = named_images(labels), Tally(), Named()
    tally.count(_noted(source.read(), lines, named))
    if not tally.images:
        raise Misconfigured(f"{_RUN}: there are no verdicts in {run}")
    known = [_told(label, named) for label in labels]
    asked = {name for label, l2 in zip(labels, known, strict=True) if l2 is None for name in label.images}
    described: dict[str, Descriptors] = {}
    if asked:
        if isinstance(source, PageSource):
            refuse(pairs, [_not_compared(label) for label, l2 in zip(labels, known, strict=True) if l2 is None])
        described = _described(source, tally, {name: _entry(name, named) for name in asked}, descriptor, weights)
        refuse(pairs, [_unknown(name, lines[name], named) for name in lines if name in asked - {*described}])
    distances = np.array(
        [_between(label, described) if l2 is None else l2 for label, l2 in zip(labels, known, strict=True)]
    )
    now, best = errors_at(labels, distances, tally.radius), fewest_errors(labels, distances)
    return {
        "run": str(run),
        "radius": tally.radius,
        "images": sum(_counts(source, tally, tally.radius)),
        "notes": list(source.notes()),
        "changes": [
            dict(zip(("unique", "duplicates"), _counts(source, tally, radius), strict=True), radius=radius)
            for radius in (tally.radius, best["radius"])
        ],
        "marked": {
            "same": sum(label.same for label in labels),
            "different": sum(not label.same for label in labels),
            "now": now,
            "proposed": None,
            "fewest_errors": best,
            "pairs": [
                {"line": label.line, "images": list(label.images), "same": label.same, "distance": l2}
                for label, l2 in zip(labels, distances.tolist(), strict=True)
            ],
        },
    }


def _noted(found: Iterator[Any], wanted: Mapping[str, int], named: Named) -> Iterator[Any]:
    """Iterate over all, and note the images that are asked for by name or by key."""
    for each in found:
        if isinstance(each, Judged):
            for name in {each.entry.name, each.entry.key, f"{_CELL}{each.entry.name}"} & wanted.keys():
                named.setdefault(name, []).append(each.entry)
        yield each


def _told(label: LabelledPair, named: Named) -> float | None:
    """Return the distance of two images as a verdict tells it; None where none does."""
    for image, other in permutations(label.images):
        others = {other, other.removeprefix(_CELL), *(each.key for each in named.get(other, []))}
        for entry in named.get(image, []):
            if entry.distance is not None and {entry.other, entry.other_name} & others:
                return entry.distance
    return None


def _entry(name: str, named: Named) -> Entry:
    """Return the image of the run that a name means, or else the file of that name."""
    if name in named:
        return named[name][0]
    place = Place(path=str(Path(name).absolute()))
    return Entry(name, name, is_duplicate=False, place=place, is_outside=True)


def _described(
    source: Source, tally: Tally, entries: Mapping[str, Entry], spec: str | None, weights: str | None
) -> dict[str, Descriptors]:
    """Return the descriptors of images by the names they were asked for; those that cannot be read are left out."""
    fingerprint = tally.fingerprints.most_common(1)[0][0]
    descriptor = descriptor_by(fingerprint, spec or source.about.descriptor, weights)
    if descriptor is None:
        raise Misconfigured(f"{_RUN}: its descriptor is none that ships: name it by --descriptor")
    thumbnail, look = tally.kept.most_common(1)[0][0]
    parts = (Parts.THUMBNAIL if thumbnail else Parts.NOTHING) | (Parts.LOOK if look else Parts.NOTHING)
    by_key = {entry.key: entry for entry in entries.values()}
    with Decoding(work_limits=None).opened() as decoding:
        images = source.images(list(by_key.values()))
        found = [(entry.key, row) for entry, row in decoding.descriptors(images, descriptor, parts)]
    made = {key: row for key, row in found if row is not None}
    return {name: made[entry.key] for name, entry in entries.items() if entry.key in made}


def _unknown(name: str, line: int, named: Named) -> str:
    if name in named:
        return f"line {line}: {name!r} cannot be read any more, or was changed since the run"
    return f"line {line}: {name!r} is neither an image of the run nor a file that can be described"


def _not_compared(label: LabelledPair) -> str:
    one, two = label.images
    return f"line {label.line}: a page tells only how far compared images are apart, and not {one!r} and {two!r}"


def _between(label: LabelledPair, described: Mapping[str, Descriptors]) -> float:
    one, two = (described[name][np.newaxis] for name in label.images)
    return float(paired_l2_distances(one, two)[0])


def _counts(source: Source, tally: Tally, radius: float) -> tuple[int, int]:
    """Return how many images would be unique and duplicates, each compared with what it was compared with before."""
    if isinstance(source, PageSource) and source.is_sample:
        return source.counts_at(radius)
    # At the run's own radius it is what the verdicts say, as on the page: other radii, or more than the distance, may
    # have decided.
    is_unique = ~tally.is_duplicate
    reached = np.where(is_unique, tally.distances, np.fmin(tally.distances, tally.radius)) <= radius
    duplicates = int((reached & ~(is_unique & (tally.distances <= tally.radius))).sum())
    return tally.images - duplicates, duplicates
