"""The duplicates of a seed set in full: its groups as tables, and what `neardup report` makes a page of."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bootstrap.seeds.result import SeedResult
from neardup.decoding.limits import DecodeLimits
from neardup.relation.edit import Edit, edit_of
from neardup.relation.nearest import nearest_variants
from neardup.report.entry import Bad
from neardup.report.nearest import nearest_before
from neardup.report.plane import first_components
from neardup.report.sources.seeds import SEEDS_FILE, Seed, write_seeds
from neardup.sources.files import Clip, ImageSet
from neardup.sources.images import FileImage
from neardup.tidy.groups import told_done
from neardup.tidy.lines import Document
from neardup.tidy.places import Places
from neardup.tidy.tables import Row, iso_time, write_tables

GROUPS_FILE = "groups.csv"
_VERDICTS = "verdicts.jsonl"
_PAIRS_NUMBERS = 1 << 23
_MOST_PAIRS = 2_000_000_000
"""Pairs of unique images of which one asks for its nearest: some seconds. Of more images fewer ask."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The file of a seed: path, and of an image bytes and modification time."""

    path: str | None = None
    image: FileImage | None = None
    size: int | None = None
    mtime_ns: int | None = None


def write_listing(result: SeedResult, seeds: ImageSet, folder: Path, head: Document, limits: DecodeLimits) -> None:
    """Write the tables of groups, and a line for each seed.

    Parameters
    ----------
    result
        What the job found out.
    seeds
        The seeds, for where their files are; none is read, but for the headers of those in groups.
    folder
        Where to.
    head
        What the first line of the seeds' file tells besides what `result` knows: ``name``, ``index``, ``fps``.
    limits
        Whose formats have headers that are read.

    Raises
    ------
    Misconfigured
        A file cannot be written.
    """
    found = {source.image_id: _found(source) for source in seeds.sources}
    edits = dict(_edits(result))
    write_tables(Places.beside(folder / _VERDICTS), _rows(result, found, edits, limits))
    told = {
        **head,
        "descriptor": result.descriptor,
        "fingerprint": result.fingerprint,
        "radius": result.radius,
        "local_change": result.relation.local_change,
        "agreement": result.relation.agreement,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    unreadable = (Bad(each.image_id, each.reason, each.detail) for each in result.unreadable)
    write_seeds(folder / SEEDS_FILE, told, _seeds(result, found, edits), unreadable)


def _found(source: object) -> _Found:
    if isinstance(source, Clip):
        return _Found(source.path)
    if not isinstance(source, FileImage):
        return _Found()
    try:
        status = Path(source.path).stat()
    except (OSError, ValueError):
        return _Found(source.path, source)
    return _Found(source.path, source, status.st_size, status.st_mtime_ns)


def _edits(result: SeedResult) -> Iterator[tuple[int, tuple[Edit | None, str]]]:
    """Iterate over (row, what was done to it) of the seeds that duplicate a member."""
    assembly = result.assembly
    images, found = assembly.finder.images, result.duplicates
    rows = np.array([row for rows in assembly.groups().values() for row in rows], dtype=np.intp)
    first = assembly.candidates.start
    # The variants are of the seeds alone, which are numbered from the first of them.
    seeds = images.with_variants().at(np.arange(first, assembly.candidates.stop)).with_variants(images.variants)
    step = max(1, _PAIRS_NUMBERS // images.descriptors.shape[1])
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        others = images.with_variants().at(found.unique_of[part])
        for row, near in zip(
            part.tolist(), nearest_variants(seeds, part - first, others, result.relation), strict=True
        ):
            edit = None if near.look is None else edit_of(near.look, near.symmetry)
            yield row, (edit, told_done(edit, near.symmetry.value))


def _rows(
    result: SeedResult, found: Mapping[str, _Found], edits: Mapping[int, tuple[Edit | None, str]], limits: DecodeLimits
) -> Iterator[Row]:
    assembly, distances = result.assembly, result.duplicates.l2_distance
    for number, (member, duplicates) in enumerate(assembly.groups().items(), 1):
        # A member that was carried over is no seed: then the first of them stays.
        rows = [member, *duplicates] if member in assembly.candidates else duplicates
        for row in rows:
            file = found.get(result.images[row].image_id, _Found())
            width, height = file.image.size_px(limits.formats) if file.image else (0, 0)
            is_member = row == member
            yield Row(
                group=number,
                image=result.images[row].image_id,
                keep=row == rows[0],
                why="",
                duplicate_of=None if is_member else result.images[member].image_id,
                distance=None if is_member else float(distances[row]),
                done=edits[row][1] if row in edits else "",
                bytes=file.size or 0,
                width=width,
                height=height,
                modified="" if file.mtime_ns is None else iso_time(file.mtime_ns),
            )


def _seeds(
    result: SeedResult, found: Mapping[str, _Found], edits: Mapping[int, tuple[Edit | None, str]]
) -> Iterator[Seed]:
    assembly, members = result.assembly, result.images
    of = {row: member for member, rows in assembly.groups().items() for row in rows}
    points, _, _ = first_components(result.descriptors, result.cells.centroids)
    nearest = _nearest(result, of)
    for row in assembly.candidates:
        member = members[row]
        file = found.get(member.image_id) or found.get(member.image_id.rpartition("#t=")[0], _Found())
        other, l2 = (
            (of[row], float(result.duplicates.l2_distance[row])) if row in of else nearest.get(row, (None, None))
        )
        is_ruled_out = row not in of and l2 is not None and l2 <= result.radius
        edit, done = edits.get(row, (None, ""))
        yield Seed(
            key=member.key,
            name=member.image_id,
            path=file.path,
            bytes=file.size,
            mtime_ns=file.mtime_ns,
            duplicate_of=members[of[row]].image_id if row in of else None,
            duplicate_of_key=members[of[row]].key if row in of else None,
            nearest=None if row in of or other is None or is_ruled_out else members[other].key,
            distance=None if is_ruled_out else l2,
            is_ruled_out=is_ruled_out,
            cluster=int(result.clusters[row]),
            x=float(points[row, 0]),
            y=float(points[row, 1]),
            done=done,
            shown=edit.inset if edit else None,
            shows=edit.box if edit else None,
        )


def _nearest(result: SeedResult, duplicates: Iterable[int]) -> dict[int, tuple[int, float]]:
    """Return for unique seeds the nearest row that is unique and stands before, and the distance."""
    left_out = set(duplicates) | {*result.assembly.known}
    settled = result.duplicates.is_unique
    rows = np.array([row for row in range(len(result.images)) if settled[row] and row not in left_out], dtype=np.intp)
    own = np.flatnonzero(rows >= result.assembly.candidates.start)
    step = max(1, -(-len(own) * len(rows) // _MOST_PAIRS))
    asking = own[::step]
    if not len(asking):
        return {}
    found, l2 = nearest_before(result.descriptors[rows], asking.tolist())
    told = zip(rows[asking].tolist(), found.tolist(), l2.tolist(), strict=True)
    return {row: (int(rows[other]), distance) for row, other, distance in told if other >= 0}
